"""List and watch one Kubernetes resource: an API in, events out, for ever.

Generators with one concern each: `list_pages` follows a paged list, `watch_once` reads one HTTP
stream, `watch_on` resumes it, `list_and_watch` joins both, `follow` starts anew. The rule: a
failure is told to the witness and waited out, and never ends in an event, so what was known
stays known.
"""

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol, TypeVar

import msgspec

from exporter.model import GoneError, KubernetesError

T = TypeVar("T")

_TOO_LARGE = "Too large resource version"
"""What a restored API server says to a version that it has not reached yet."""

_LONGEST_RETRY_AFTER = 300.0


class Api(Protocol):
    """What is asked; both methods raise KubernetesError."""

    async def get(self, path: str, query: Mapping[str, str]) -> bytes:
        """One whole document."""

    def stream(
        self, path: str, query: Mapping[str, str]
    ) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """The lines of an answer that goes on; entered once it began."""


@dataclass(frozen=True, slots=True)
class Resource:
    """What to follow: its plural name, the path of its list, selectors."""

    name: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How much at a time and how patiently; seconds.

    The API server sends a bookmark every minute, so `silence` is a watch that is dead, and
    `lifetime`, after which the server ends a watch, has to be longer.
    """

    page_size: int = 250
    silence: float = 150.0
    lifetime: float = 300.0
    first_wait: float = 0.5
    longest_wait: float = 30.0


@dataclass(frozen=True, slots=True)
class Witness:
    """Who is told what happened on the way.

    `asked(verb, code)`; `began` when a watch opened, so that the list is complete and followed;
    `failed` when it, or the list, broke; `relisted` when the list is read again.
    """

    asked: Callable[[str, str], None]
    began: Callable[[], None]
    failed: Callable[[KubernetesError], None]
    relisted: Callable[[], None]


class Kind(StrEnum):
    """What an event says. A list stands between `listing` and `listed`, or broke off."""

    LISTING = "listing"
    LISTED = "listed"
    PUT = "put"
    DROP = "drop"
    BOOKMARK = "bookmark"


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened. `document` is the object's JSON, empty for the list's limits."""

    kind: Kind
    document: bytes | msgspec.Raw = b""
    version: str = ""


class _ListMetadata(msgspec.Struct, frozen=True):
    resource_version: str = msgspec.field(default="", name="resourceVersion")
    following: str = msgspec.field(default="", name="continue")


class Page(msgspec.Struct, frozen=True):
    """One page of a list; its items are still JSON."""

    metadata: _ListMetadata = _ListMetadata()
    items: tuple[msgspec.Raw, ...] | None = None


class _Line(msgspec.Struct, frozen=True):
    """One line of a watch."""

    type: str
    object: msgspec.Raw


class _Object(msgspec.Struct, frozen=True):
    """Of an object its version; of an error, which is a Status, what it says."""

    metadata: _ListMetadata = _ListMetadata()
    code: int = 0
    message: str = ""


_PAGE = msgspec.json.Decoder(Page)
_LINE = msgspec.json.Decoder(_Line)
_OBJECT = msgspec.json.Decoder(_Object)
_KINDS = {
    "ADDED": Kind.PUT,
    "MODIFIED": Kind.PUT,
    "DELETED": Kind.DROP,
    "BOOKMARK": Kind.BOOKMARK,
}


class _Backoff:
    """How long to wait after the next failure: doubled each time, spread by chance."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._failures = 0

    def reset(self) -> None:
        """Something went well."""
        self._failures = 0

    async def wait(self, error: KubernetesError | None = None) -> None:
        """Wait; at least as long as the server asked for."""
        doubled = self._pace.first_wait * 2 ** min(self._failures, 16)
        self._failures += 1
        wait = min(self._pace.longest_wait, doubled) * random.uniform(0.5, 1.0)  # noqa: S311 - no secret
        asked_for = (error.retry_after if error else None) or 0.0
        await asyncio.sleep(wait + min(asked_for, _LONGEST_RETRY_AFTER))


async def follow(
    api: Api, resource: Resource, witness: Witness, pace: Pace
) -> AsyncGenerator[Event]:
    """List and watch for ever; reads the list anew when its version is gone."""
    backoff = _Backoff(pace)
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
            page = _decoded(_PAGE, await api.get(resource.path, query))
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
    backoff = _Backoff(pace)
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
                    event = _event_of(line)
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


def _event_of(line: bytes) -> Event | None:
    """The event in a line; None for one of a type that is not known. Raises KubernetesError."""
    read = _decoded(_LINE, line)
    told = _decoded(_OBJECT, read.object)
    if read.type == "ERROR":
        raise KubernetesError.of(told.code, told.message[:200])
    kind = _KINDS.get(read.type)
    return Event(kind, read.object, told.metadata.resource_version) if kind else None


def _later(known: str, version: str) -> str:
    """The version to resume from. Raises GoneError when the server went back to an older state."""
    if known.isdecimal() and version.isdecimal() and int(version) < int(known):
        raise GoneError(0, f"the API server went back from version {known} to {version}")
    return version or known


def _decoded(decoder: "msgspec.json.Decoder[T]", document: bytes | msgspec.Raw) -> T:
    try:
        return decoder.decode(document)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise KubernetesError.of(0, f"the answer is not Kubernetes': {error}") from None


def _code(error: KubernetesError) -> str:
    return str(error.status) if error.status else "error"
