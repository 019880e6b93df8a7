"""List and watch one Kubernetes resource: an API in, events out, for ever.

Generators with one concern each: `list_pages` follows a paged list, `watch_once` reads one HTTP
stream, `watch_on` resumes it, `list_and_watch` joins both, `follow` starts anew. The rule: a
failure is told to the witness and waited out, and never ends in an event, so what was known
stays known.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

from exporter.kube.backoff import Backoff
from exporter.kube.errors import GoneError, KubernetesError
from exporter.kube.watch_events import EventType, ListPage, WatchEvent, event_of, page_of
from exporter.kube.watch_options import ApiClient, Resource, WatchCallbacks, WatchOptions
from exporter.parsing import parse_number

_TOO_LARGE = "Too large resource version"
"""What a restored API server says to a version that it has not reached yet."""


async def follow(
    api: ApiClient, resource: Resource, callbacks: WatchCallbacks, options: WatchOptions
) -> AsyncGenerator[WatchEvent]:
    """List and watch for ever; reads the list anew when its version is gone."""
    backoff = Backoff(options)
    clock = asyncio.get_running_loop().time
    while True:
        failed: KubernetesError | None = None
        began = clock()
        try:
            async with aclosing(list_and_watch(api, resource, callbacks, options)) as events:
                async for event in events:
                    yield event
        except KubernetesError as error:
            callbacks.failed(error)
            failed = error
        if clock() - began > options.longest_wait:
            backoff.reset()
        await backoff.wait(failed)
        callbacks.relisted()


async def list_and_watch(
    api: ApiClient, resource: Resource, callbacks: WatchCallbacks, options: WatchOptions
) -> AsyncGenerator[WatchEvent]:
    """The list and then every change; ends when the list has to be read anew."""
    version = ""
    yield WatchEvent(EventType.LISTING)
    async with aclosing(list_pages(api, resource, callbacks, options)) as pages:
        async for page in pages:
            version = page.metadata.resource_version
            for document in page.items or ():
                yield WatchEvent(EventType.PUT, document)
    yield WatchEvent(EventType.LISTED)
    async with aclosing(watch_on(api, resource, version, callbacks, options)) as events:
        async for event in events:
            yield event


async def list_pages(
    api: ApiClient, resource: Resource, callbacks: WatchCallbacks, options: WatchOptions
) -> AsyncGenerator[ListPage]:
    """Every page of a list; all pages are of one version. Raises KubernetesError."""
    query = {**resource.query, "limit": str(options.page_size)}
    while True:
        try:
            page = page_of(await api.get(resource.path, query))
        except KubernetesError as error:
            callbacks.asked("list", _code(error))
            raise
        callbacks.asked("list", "200")
        yield page
        if not page.metadata.following:
            return
        query["continue"] = page.metadata.following


async def watch_on(
    api: ApiClient,
    resource: Resource,
    version: str,
    callbacks: WatchCallbacks,
    options: WatchOptions,
) -> AsyncGenerator[WatchEvent]:
    """Every change after this version, over as many streams as it takes; ends when it is gone."""
    backoff = Backoff(options)
    while True:
        failed: KubernetesError | None = None
        try:
            stream = watch_once(api, resource, version, callbacks, options)
            async with aclosing(stream) as events:
                async for event in events:
                    backoff.reset()
                    version = _later(version, event.version)
                    if event.kind is not EventType.BOOKMARK:
                        yield event
        except GoneError as error:
            callbacks.failed(error)
            return
        except KubernetesError as error:
            callbacks.failed(error)
            if _TOO_LARGE in str(error):
                return
            failed = error
        await backoff.wait(failed)


async def watch_once(
    api: ApiClient,
    resource: Resource,
    version: str,
    callbacks: WatchCallbacks,
    options: WatchOptions,
) -> AsyncGenerator[WatchEvent]:
    """The events of one HTTP stream. Raises KubernetesError, GoneError when it falls silent.

    Silence is not resumed: behind an API server that was restored to an older state the
    version lies in the future, and a watch from there stays silent without an error.
    """
    query = {
        **resource.query,
        "watch": "true",
        "allowWatchBookmarks": "true",
        "resourceVersion": version,
        "timeoutSeconds": str(max(1, round(options.lifetime))),
    }
    is_open = False
    try:
        async with api.stream(resource.path, query) as lines:
            is_open = True
            callbacks.asked("watch", "200")
            callbacks.began()
            async with aclosing(_unless_silent(lines, options.silence)) as heard:
                async for line in heard:
                    event = event_of(line)
                    if event:
                        yield event
    except KubernetesError as error:
        if not is_open:
            callbacks.asked("watch", _code(error))
        raise


async def _unless_silent(lines: AsyncIterator[bytes], silence: float) -> AsyncGenerator[bytes]:
    while True:
        try:
            async with asyncio.timeout(silence):
                line = await anext(lines)
        except StopAsyncIteration:
            return
        except TimeoutError:
            raise GoneError(0, f"the watch was silent for {silence:g} s") from None
        yield line


def _later(known: str, version: str) -> str:
    """The version to resume from. Raises GoneError when the server went back to an older state."""
    before, now = parse_number(known), parse_number(version)
    if before is not None and now is not None and now < before:
        raise GoneError(0, f"the API server went back from version {known} to {version}")
    return version or known


def _code(error: KubernetesError) -> str:
    return str(error.status) if error.status else "error"
