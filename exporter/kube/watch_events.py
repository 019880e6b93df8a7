"""Decodes lists and watches: pages and lines in, events out. Pure."""

import re
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, TypeVar

import msgspec

from exporter.bounds import LIST_VALUES, OBJECT_VALUES, WATCH_LINE
from exporter.kube.api_errors import KubernetesError, TooLargeError
from exporter.kube.json_decoding import Json, decode, decode_in_thread

T = TypeVar("T")


class EventType(StrEnum):
    """A list comes between its start and its end; without an end it failed midway."""

    LIST_START = "list start"
    LIST_END = "list end"
    PUT = "put"
    DROP = "drop"
    BOOKMARK = "bookmark"


@dataclass(frozen=True, slots=True)
class WatchEvent:
    """One change. `document` is the object's JSON, empty for a list's start and end."""

    type: EventType
    document: Json = b""
    version: str = ""


class _ListMetadata(msgspec.Struct, frozen=True):
    """Both are part of the next request's address. A version is a number of 64 bits."""

    resource_version: Annotated[str, msgspec.Meta(max_length=64)] = msgspec.field(
        default="", name="resourceVersion"
    )
    continue_token: Annotated[str, msgspec.Meta(max_length=4096)] = msgspec.field(
        default="", name="continue"
    )


class ListPage(msgspec.Struct, frozen=True):
    """One page of a list; its items are still JSON."""

    metadata: _ListMetadata
    items: tuple[msgspec.Raw, ...]


class _Page(msgspec.Struct, frozen=True):
    """The same as it comes: an answer without items, as a Status has none, is no list."""

    metadata: _ListMetadata = _ListMetadata()
    items: tuple[msgspec.Raw, ...] | msgspec.UnsetType | None = msgspec.UNSET


class _SinglePage(msgspec.Struct, frozen=True):
    """A page of one object."""

    items: msgspec.Raw
    metadata: _ListMetadata = _ListMetadata()


class _Line(msgspec.Struct, frozen=True):
    """One line of a watch."""

    type: str
    object: msgspec.Raw


class _Object(msgspec.Struct, frozen=True):
    """An object's resource version."""

    metadata: _ListMetadata = _ListMetadata()


class _Status(msgspec.Struct, frozen=True):
    """The error in a line of type ERROR."""

    code: Annotated[int, msgspec.Meta(ge=0, le=999)] = 0
    message: str = ""


_TEXT = re.compile(rb'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
_NOT_BLANK = re.compile(rb"\S[^\n]*")
"""A line from its first byte that is no blank."""

_PAGE = msgspec.json.Decoder(_Page)
_SINGLE = msgspec.json.Decoder(_SinglePage)
_LINE = msgspec.json.Decoder(_Line)
_OBJECT = msgspec.json.Decoder(_Object)
_STATUS = msgspec.json.Decoder(_Status)
_TYPES = {
    "ADDED": EventType.PUT,
    "MODIFIED": EventType.PUT,
    "DELETED": EventType.DROP,
    "BOOKMARK": EventType.BOOKMARK,
}


def page_of(document: bytes, *, is_single: bool = False) -> ListPage:
    """One page of a list; `is_single`: one object was requested, and it is not taken apart.

    Raises KubernetesError, TooLargeError where the page has too many values.
    """
    if document.count(b",") <= LIST_VALUES:
        read = _decoded(_PAGE, document)
        if isinstance(read.items, msgspec.UnsetType):
            raise KubernetesError(0, "not a list of the Kubernetes API: it has no items")
        return ListPage(read.metadata, read.items or ())
    if not is_single:
        raise TooLargeError(0, f"a page of the list has more than {LIST_VALUES} values")
    _refuse_too_many_values(document)
    page = _decoded(_SINGLE, document)
    item = bytes(page.items).strip().removeprefix(b"[").removesuffix(b"]").strip()
    return ListPage(page.metadata, (msgspec.Raw(item),))


def event_of(line: bytes) -> WatchEvent | None:
    """The event in a line; None for an unknown type. Raises KubernetesError."""
    _refuse_too_many_values(line)
    read = _decoded(_LINE, line)
    if read.type == "ERROR":
        status = _decoded(_STATUS, read.object)
        raise KubernetesError.of(status.code, status.message[:200])
    event_type = _TYPES.get(read.type)
    return WatchEvent(event_type, read.object, _version_of(read.object)) if event_type else None


def _refuse_too_many_values(document: bytes) -> None:
    """Raise TooLargeError for more than an object can have; a text may have any commas."""
    commas = document.count(b",")
    if commas > OBJECT_VALUES:
        commas -= sum(found[0].count(b",") for found in _TEXT.finditer(document))
    if commas > OBJECT_VALUES:
        raise TooLargeError(0, f"an object has more than {OBJECT_VALUES} values")


def _version_of(document: msgspec.Raw) -> str:
    """An object's version; empty where none can be read: the watch goes on."""
    try:
        return decode(_OBJECT, document).metadata.resource_version
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""


def _decoded(decoder: "msgspec.json.Decoder[T]", document: Json) -> T:
    try:
        return decode_in_thread(decoder, document)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise KubernetesError(0, f"not a response of the Kubernetes API: {error}") from None


async def lines_of(chunks: AsyncIterator[bytes]) -> AsyncGenerator[bytes]:
    """Whole lines from chunks of any size; aiohttp's own reader refuses the line of a big pod.

    Without the blanks before them, and without blank ones, of which a chunk may have thousands.
    """
    rest = bytearray()
    async for chunk in chunks:
        searched = len(rest)
        rest += chunk
        end = rest.rfind(b"\n", searched)
        if end >= 0:
            for line in _NOT_BLANK.finditer(bytes(rest[:end])):
                yield line[0]
            del rest[: end + 1]
        if len(rest) > WATCH_LINE:
            raise KubernetesError(0, f"a line of the watch is longer than {WATCH_LINE} bytes")
