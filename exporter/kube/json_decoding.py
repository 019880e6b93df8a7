"""JSON of the Kubernetes API, however deeply it is nested. Pure.

The API server takes fields nested some ten thousand levels deep (`metadata.managedFields`) from
anybody who may create a pod. The decoder raises RecursionError there, for the whole page of a list
that has such a pod. No field that is read here is nested deeply, so deeper ones are cut off.
"""

import re
from typing import TypeVar

import msgspec

from exporter.bounds import JSON_DEPTH

T = TypeVar("T")

Json = bytes | msgspec.Raw
"""The text of a document, or of a part of one."""

_BRACKET = re.compile(rb'(?:[^"\[\]{}]++|"(?:[^"\\]++|\\.)*+")*+([\[\]{}])', re.DOTALL)
"""Everything up to the next bracket outside of text."""


def decode(decoder: "msgspec.json.Decoder[T]", document: Json) -> T:
    """The value of a document. Raises msgspec.DecodeError and UnicodeDecodeError."""
    try:
        return decoder.decode(document)
    except RecursionError:
        pass
    try:
        return decoder.decode(shallow(bytes(document)))
    except RecursionError:  # it never closes what it opens
        raise msgspec.DecodeError("the document is nested too deeply") from None


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
