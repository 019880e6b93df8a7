"""Requests that another site's page makes in a reader's browser: those that change something end.

The rule: reading is open to whoever may read; a browser keeps the answer from the other page.
Sources: RFC 6454 section 7 (Origin), W3C Fetch Metadata (Sec-Fetch-Site).
"""

from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler

_READING = frozenset({"GET", "HEAD", "OPTIONS"})
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}


@web.middleware
async def refuse_other_origins(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse with 403 what a page of another origin sends; programs send neither header."""
    if request.method not in _READING and not _is_own(request):
        raise web.HTTPForbidden(text="A page of another site may not ask for this.\n")
    return await handler(request)


def _is_own(request: web.Request) -> bool:
    sites = request.headers.getall("Sec-Fetch-Site", [])
    origins = request.headers.getall("Origin", [])
    return all(site == "same-origin" for site in sites) and all(
        _is_host(origin, request.headers.get("Host", "")) for origin in origins
    )


def _is_host(origin: str, host: str) -> bool:
    """Whether an origin is this host; its scheme is left alone, a proxy may have ended TLS."""
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    port = _DEFAULT_PORTS.get(parts.scheme)
    own = parts.netloc.lower()
    return port is not None and own != "" and own in (host.lower(), host.lower().removesuffix(port))
