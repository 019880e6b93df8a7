"""Lists and watches one Kubernetes resource: a client in, events out, until cancelled.

Generators with one concern each: `pages` reads a paged list, `stream` one HTTP stream, `_watch`
resumes that, `_list_and_watch` joins both, `events` repeats it. The rule: a failure goes to the
callbacks, is retried after a backoff and yields no event, so that what was known stays known.
"""

import asyncio
import logging
import math
import random
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import partial

from exporter.bounds import LIST_PAGE, LISTED_OBJECTS, WATCH_LINE
from exporter.kube.api_errors import GoneError, KubernetesError, SilentWatchError, TooLargeError
from exporter.kube.client import KubernetesClient
from exporter.kube.json_decoding import LONG
from exporter.kube.watch_events import EventType, ListPage, WatchEvent, event_of, page_of
from exporter.kube.watch_options import Resource, WatchCallbacks, WatchOptions
from exporter.parsing import parse_number
from exporter.turn import current_turn, in_thread

log = logging.getLogger(__name__)

_SMALLER = 8
"""By so much a page is made smaller that was too large: somebody's objects are."""

_EMPTY_PAGES = 20
"""So many pages in a row without an object: the list goes on without end."""

_TOO_LARGE = "Too large resource version"
"""How a restored API server refuses a version that it has not reached yet."""


@dataclass(frozen=True, slots=True)
class ResourceWatch:
    """A resource of an API server; what happens meanwhile goes to `callbacks`."""

    api: KubernetesClient
    resource: Resource
    callbacks: WatchCallbacks = field(default_factory=WatchCallbacks)
    options: WatchOptions = field(default_factory=WatchOptions)

    async def events(self) -> AsyncGenerator[WatchEvent]:
        """List and watch until cancelled; lists again when the version has expired."""
        backoff = Backoff(self.options)
        clock = asyncio.get_running_loop().time
        while True:
            failed: KubernetesError | None = None
            started = clock()
            try:
                async with aclosing(self._list_and_watch()) as events:
                    async for event in events:
                        yield event
            except KubernetesError as error:
                failed = error
            except Exception as error:  # noqa: BLE001 - no thread, no memory: what is known stays
                failed = KubernetesError(0, f"the exporter failed: {type(error).__name__}")
            if failed:
                self.callbacks.failed(failed)
            if clock() - started > self.options.max_backoff:
                backoff.reset()
            await backoff.wait(failed)
            self.callbacks.relisted()

    async def _list_and_watch(self) -> AsyncGenerator[WatchEvent]:
        """The list and then every change; ends when the list has to be read again."""
        version = ""
        yield WatchEvent(EventType.LIST_START)
        async with aclosing(self.pages()) as pages:
            async for page in pages:
                version = page.metadata.resource_version
                for document in page.items:
                    yield WatchEvent(EventType.PUT, document)
        yield WatchEvent(EventType.LIST_END)
        async with aclosing(self._watch(version)) as events:
            async for event in events:
                yield event

    async def pages(self) -> AsyncGenerator[ListPage]:
        """Every page of a list; all pages are of one version. Raises KubernetesError."""
        query = dict(self.resource.query)
        size, room, empty = self.options.page_size, int(LISTED_OBJECTS), _EMPTY_PAGES
        while room >= 0 and empty:
            query["limit"] = str(size)
            most = LIST_PAGE if size > 1 else WATCH_LINE
            try:
                document = await self.api.get(self.resource.path, query, most)
                page = await in_thread(partial(page_of, document, is_single=size == 1))
            except TooLargeError as error:
                self.callbacks.requested("list", "200")
                if size == 1:
                    raise
                size = max(1, size // _SMALLER)
                log.info(
                    "kubernetes list in smaller pages path=%s reason=%r", self.resource.path, error
                )
                continue
            except KubernetesError as error:
                self.callbacks.requested("list", _code(error))
                raise
            self.callbacks.requested("list", "200")
            yield page
            following = page.metadata.continue_token
            if not following:
                return
            if following == query.get("continue"):  # the same page again
                break
            size = min(self.options.page_size, size * 2)
            room -= len(page.items)
            empty = _EMPTY_PAGES if page.items else empty - 1
            query["continue"] = following
        raise KubernetesError(0, f"the list of {self.resource.name} does not end")

    async def _watch(self, version: str) -> AsyncGenerator[WatchEvent]:
        """Every change after this version, over any number of streams; ends when it has expired.

        A stream that was open for a while is followed by the next at once, with or without an
        event: a proxy may close whatever is quiet.
        """
        backoff = Backoff(self.options)
        while True:
            failed: KubernetesError | None = None
            try:
                async with aclosing(self.stream(version, backoff)) as events:
                    async for event in events:
                        backoff.reset()
                        version = _later(version, event.version)
                        if event.type is not EventType.BOOKMARK:
                            yield event
            except SilentWatchError:
                return
            except GoneError as error:
                self.callbacks.failed(error)
                return
            except KubernetesError as error:
                self.callbacks.failed(error)
                if _TOO_LARGE in str(error):
                    return
                failed = error
            await backoff.wait(failed)

    async def stream(self, version: str, backoff: "Backoff") -> AsyncGenerator[WatchEvent]:
        """The events of one HTTP stream.

        A silent watch is not resumed: an API server that was restored to an older state has not
        reached the version yet, and a watch from there stays silent without an error. Nor is it an
        outage: nothing may have changed, and not every resource has bookmarks then. The list is
        current until reading it again fails.

        Raises KubernetesError, SilentWatchError after `idle_timeout`.
        """
        query = {
            **self.resource.query,
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": version,
            "timeoutSeconds": str(max(1, round(self.options.server_timeout))),
        }
        is_open, turn = False, current_turn()
        try:
            async with self.api.stream(self.resource.path, query) as lines:
                is_open = True
                self.callbacks.requested("watch", "200")
                backoff.note_opened()
                self.callbacks.opened()
                async with aclosing(_until_idle(lines, self.options.idle_timeout)) as received:
                    async for line in received:
                        if event := await _read(line):
                            yield event
                        await turn.maybe_yield()
        except KubernetesError as error:
            if not is_open:
                self.callbacks.requested("watch", _code(error))
            raise


_LONGEST_RETRY_AFTER = 300.0


class Backoff:
    """The wait before the next retry; doubles with each failure until a success resets it."""

    def __init__(self, options: WatchOptions) -> None:
        self._options = options
        self._failures = 0
        self._opened = math.inf

    def reset(self) -> None:
        """A request succeeded."""
        self._failures = 0

    def note_opened(self) -> None:
        """A stream is open: it counts as a success if it stays so for a while."""
        self._opened = time.monotonic()

    async def wait(self, error: KubernetesError | None = None) -> None:
        """Wait, at least as long as the error's Retry-After."""
        if time.monotonic() - self._opened >= self._options.initial_backoff:
            self._failures = 0
        self._opened = math.inf
        doubled = self._options.initial_backoff * 2 ** min(self._failures, 16)
        self._failures += 1
        wait = min(self._options.max_backoff, doubled) * random.uniform(0.5, 1.0)  # noqa: S311 - no secret
        retry_after = (error.retry_after if error else None) or 0.0
        await asyncio.sleep(wait + min(retry_after, _LONGEST_RETRY_AFTER))


async def _read(line: bytes) -> WatchEvent | None:
    """The event in a line; that of a long one is read in a thread."""
    return await in_thread(event_of, line) if len(line) > LONG else event_of(line)


async def _until_idle(lines: AsyncIterator[bytes], seconds: float) -> AsyncGenerator[bytes]:
    while True:
        try:
            async with asyncio.timeout(seconds):
                line = await anext(lines)
        except StopAsyncIteration:
            return
        except TimeoutError:
            raise SilentWatchError(0, f"the watch was silent for {seconds:g} s") from None
        yield line


def _later(before: str, version: str) -> str:
    """The version to resume from. Raises GoneError when the server went back to an older state."""
    old, new = parse_number(before), parse_number(version)
    if old is not None and new is not None and new < old:
        raise GoneError(0, f"the API server went back from version {before} to {version}")
    return version or before


def _code(error: KubernetesError) -> str:
    return str(error.status) if error.status else "error"
