r"""JSON of the Kubernetes API, however deeply it is nested, and with half characters. Pure.

The API server takes fields nested some ten thousand levels deep (`metadata.managedFields`) from
anybody who may create a pod. The decoder raises RecursionError there, for the whole page of a list
that has such a pod. No field that is read here is nested deeply, so deeper ones are cut off: of a
long document where pages and lines are taken apart, in a thread, for that takes long.
So with an escaped half of a character (`\\ud800`), which no decoder takes: it is replaced.
"""

import re
from collections.abc import Callable
from typing import TypeVar

import msgspec

from exporter.bounds import JSON_DEPTH

T = TypeVar("T")

Json = bytes | msgspec.Raw
"""The text of a document, or of a part of one."""

_BRACKET = re.compile(rb'(?:[^"\[\]{}]++|"(?:[^"\\]++|\\.)*+")*+([\[\]{}])', re.DOTALL)
"""Everything up to the next bracket outside of text."""


_UNTIL_HALF = re.compile(
    rb"(?:[^\\]++|\\[^u]|\\u(?![dD][89a-fA-F])|\\u[dD][89abAB]..\\u[dD][c-fC-F]..)*+"
    rb"(\\u[dD][89a-fA-F]..)",
    re.DOTALL,
)
"""Everything up to the next half of a character: other escapes, and the two halves of one, too."""

LONG = 32_768
"""A document of fewer bytes is made shallow in 12 ms, whatever is in it."""

_REPLACEMENT = rb"\ufffd"
_MOST_HALVES = 1000
"""An object with more than so many is none."""


def decode_in_thread(decoder: "msgspec.json.Decoder[T]", document: Json) -> T:
    """As `decode`, also of a long document that is nested too deeply.

    How deep that is depends on how much of the stack the caller uses, so that it is tried with less
    than anybody else has: no part of what is decoded here is too deep for others.
    """
    if memoryview(document).nbytes <= LONG:
        return decode(decoder, document)
    return _with_less_stack(_SPARE, lambda: decode(decoder, document, in_thread=True))


_SPARE = 100
"""The event loop's callbacks and coroutines take some thirty."""


def _with_less_stack(levels: int, action: Callable[[], T]) -> T:
    """What `action` returns, called from so much deeper: in Python, and in C, which count apart."""
    if not levels:
        return action()
    return next(_with_less_stack(levels - 1, action) for _ in "1")


def decode(decoder: "msgspec.json.Decoder[T]", document: Json, *, in_thread: bool = False) -> T:
    """The value of a document; of a long one that is nested too deeply only where `in_thread`.

    Raises msgspec.DecodeError and UnicodeDecodeError.
    """
    try:
        return decoder.decode(document)
    except RecursionError:
        pass
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError:
        mended = with_whole_characters(bytes(document))
        if mended is None:
            raise
        return decode(decoder, mended, in_thread=in_thread)
    if not in_thread and memoryview(document).nbytes > LONG:
        raise msgspec.DecodeError("the document is nested too deeply")
    try:
        return decoder.decode(shallow(bytes(document)))
    except RecursionError:  # it never closes what it opens
        raise msgspec.DecodeError("the document is nested too deeply") from None


def with_whole_characters(document: bytes) -> bytes | None:
    """The document without escaped halves of characters; None where it has none, or very many."""
    kept: list[bytes] = []
    start = 0
    while half := _UNTIL_HALF.match(document, start):
        if len(kept) >= 2 * _MOST_HALVES:
            return None
        kept += document[start : half.start(1)], _REPLACEMENT
        start = half.end()
    return b"".join((*kept, document[start:])) if kept else None


def shallow(document: bytes) -> bytes:
    """The document with `null` in the place of everything that is nested too deeply."""
    kept: list[bytes] = []
    depth = start = 0
    for found in _BRACKET.finditer(document):
        at = found.start(1)
        if found[1] in b"[{":
            depth += 1
            if depth == JSON_DEPTH + 1:
                kept += document[start:at], b"null"
        else:
            depth -= 1
            if depth == JSON_DEPTH:
                start = at + 1
    return b"".join((*kept, document[start:])) if depth <= JSON_DEPTH else document
