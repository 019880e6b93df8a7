"""List and watch one Kubernetes resource: an API in, events out, for ever.

Generators with one concern each: `list_pages` follows a paged list, `watch_once` reads one HTTP
stream, `watch_on` resumes it, `list_and_watch` joins both, `follow` starts anew. The rule: a
failure is told to the witness and waited out, and never ends in an event, so what was known
stays known.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

from exporter.discovery.backoff import Backoff
from exporter.discovery.events import Event, Kind, Page, event_of, page_of
from exporter.discovery.following import Api, Pace, Resource, Witness
from exporter.model import GoneError, KubernetesError

_TOO_LARGE = "Too large resource version"
"""What a restored API server says to a version that it has not reached yet."""


async def follow(
    api: Api, resource: Resource, witness: Witness, pace: Pace
) -> AsyncGenerator[Event]:
    """List and watch for ever; reads the list anew when its version is gone."""
    backoff = Backoff(pace)
    clock = asyncio.get_running_loop().time
    while True:
        failed: KubernetesError | None = None
        began = clock()
        try:
            async with aclosing(list_and_watch(api, resource, witness, pace)) as events:
                async for event in events:
                    yield event
        except KubernetesError as error:
            witness.failed(error)
            failed = error
        if clock() - began > pace.longest_wait:
            backoff.reset()
        await backoff.wait(failed)
        witness.relisted()


async def list_and_watch(
    api: Api, resource: Resource, witness: Witness, pace: Pace
) -> AsyncGenerator[Event]:
    """The list and then every change; ends when the list has to be read anew."""
    version = ""
    yield Event(Kind.LISTING)
    async with aclosing(list_pages(api, resource, witness, pace)) as pages:
        async for page in pages:
            version = page.metadata.resource_version
            for document in page.items or ():
                yield Event(Kind.PUT, document)
    yield Event(Kind.LISTED)
    async with aclosing(watch_on(api, resource, version, witness, pace)) as events:
        async for event in events:
            yield event


async def list_pages(
    api: Api, resource: Resource, witness: Witness, pace: Pace
) -> AsyncGenerator[Page]:
    """Every page of a list; all pages are of one version. Raises KubernetesError."""
    query = {**resource.query, "limit": str(pace.page_size)}
    while True:
        try:
            page = page_of(await api.get(resource.path, query))
        except KubernetesError as error:
            witness.asked("list", _code(error))
            raise
        witness.asked("list", "200")
        yield page
        if not page.metadata.following:
            return
        query["continue"] = page.metadata.following


async def watch_on(
    api: Api, resource: Resource, version: str, witness: Witness, pace: Pace
) -> AsyncGenerator[Event]:
    """Every change after this version, over as many streams as it takes; ends when it is gone."""
    backoff = Backoff(pace)
    while True:
        failed: KubernetesError | None = None
        try:
            stream = watch_once(api, resource, version, witness, pace)
            async with aclosing(stream) as events:
                async for event in events:
                    backoff.reset()
                    version = _later(version, event.version)
                    if event.kind is not Kind.BOOKMARK:
                        yield event
        except GoneError as error:
            witness.failed(error)
            return
        except KubernetesError as error:
            witness.failed(error)
            if _TOO_LARGE in str(error):
                return
            failed = error
        await backoff.wait(failed)


async def watch_once(
    api: Api, resource: Resource, version: str, witness: Witness, pace: Pace
) -> AsyncGenerator[Event]:
    """The events of one HTTP stream. Raises KubernetesError, GoneError when it falls silent.

    Silence is not resumed: behind an API server that was restored to an older state the
    version lies in the future, and a watch from there stays silent without an error.
    """
    query = {
        **resource.query,
        "watch": "true",
        "allowWatchBookmarks": "true",
        "resourceVersion": version,
        "timeoutSeconds": str(max(1, round(pace.lifetime))),
    }
    is_open = False
    try:
        async with api.stream(resource.path, query) as lines:
            is_open = True
            witness.asked("watch", "200")
            witness.began()
            async with aclosing(_unless_silent(lines, pace.silence)) as heard:
                async for line in heard:
                    event = event_of(line)
                    if event:
                        yield event
    except KubernetesError as error:
        if not is_open:
            witness.asked("watch", _code(error))
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
    if known.isdecimal() and version.isdecimal() and int(version) < int(known):
        raise GoneError(0, f"the API server went back from version {known} to {version}")
    return version or known


def _code(error: KubernetesError) -> str:
    return str(error.status) if error.status else "error"
