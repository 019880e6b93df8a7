"""The headers of every answer; answers whose content is known whole, gzipped where that pays.

Those have an ETag: a browser that has the same content already gets a 304 without a body
(RFC 9110 section 13.1.2).
"""

import gzip
import hashlib
from dataclasses import dataclass
from functools import partial

import msgspec
from aiohttp import web

from exporter.turn import in_thread
from exporter.web.negotiation import accepts_gzip

_GZIP_FROM_BYTES = 1024
_GZIP_LEVEL = 5
_ASK_AGAIN = "no-cache"
"""A Cache-Control: a browser may keep the content, and asks each time whether it still holds."""

SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "Server": "istio-port-exporter",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
"""Of every answer, whoever makes it. `Server` has no version: it would say what to try."""


@dataclass(frozen=True, slots=True)
class Content:
    """A body with its type, its ETag, and itself gzipped where that is worth it (else None)."""

    body: bytes
    content_type: str
    etag: str
    zipped: bytes | None = None


def content_of(body: bytes, content_type: str) -> Content:
    """The content, gzipped at once: for what is made once and served often."""
    zipped = gzip.compress(body, mtime=0) if len(body) >= _GZIP_FROM_BYTES else None
    return Content(body, content_type, _etag_of(body), zipped)


async def json_answer(request: web.Request, value: object) -> web.Response:
    """A value of structs, mappings and scalars as JSON, compressed off the event loop."""
    body = msgspec.json.encode(value)
    etag = _etag_of(body)
    zipped = None
    if len(body) >= _GZIP_FROM_BYTES and not _has(request, etag):
        zipped = await in_thread(partial(gzip.compress, body, _GZIP_LEVEL, mtime=0))
    return answer(request, Content(body, "application/json", etag, zipped))


def answer(request: web.Request, content: Content) -> web.Response:
    """The content as this request wants it: whole, gzipped, or not again."""
    headers = {"Cache-Control": _ASK_AGAIN, "Vary": "Accept-Encoding"}
    if _has(request, content.etag):
        response = web.Response(status=304, headers=headers)
    else:
        body = content.body
        if content.zipped and accepts_gzip(request.headers.get("Accept-Encoding", "")):
            headers["Content-Encoding"] = "gzip"
            body = content.zipped
        response = web.Response(body=body, headers=headers, content_type=content.content_type)
    response.headers["ETag"] = f'W/"{content.etag}"'
    return response


def _etag_of(body: bytes) -> str:
    return hashlib.blake2b(body, digest_size=12).hexdigest()


def _has(request: web.Request, etag: str) -> bool:
    return any(known.value in (etag, "*") for known in request.if_none_match or ())
