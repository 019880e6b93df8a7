"""How many requests are answered at once, what none of them may bring, and from where."""

import asyncio
from collections import Counter
from contextlib import suppress
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from exporter.web.context import CONTEXT

_MAX_BODY_BYTES = 1024
"""Nothing here reads a body; some clients send a few bytes with a POST all the same."""

_MAX_SECONDS = 120.0
"""Longer than any poll of a target takes, and than a scrape waits."""

_ALWAYS_ANSWERED = frozenset({"/-/healthy", "/-/ready"})
_PROBE = "/probe"
_RESERVED = 4
"""One of so many places is kept for clients that have no request under way."""


_Slot = tuple[str, str]
"""A client, and which of the paths with a limit of its own: /probe, the metrics, or neither."""


def limit_requests() -> Middleware:
    """A middleware that counts requests in flight, `/probe` also on its own.

    What is over `web.max_requests` or `web.max_probes` gets a 503 at once rather than a place in
    a queue; the orchestrator's questions are always answered. No client takes the last quarter of
    either, where it has the metrics, or anything else, under way already. A request is under way
    until its answer is sent, and cut off where that takes too long: its client does not read.
    """
    in_flight: Counter[_Slot] = Counter()

    @web.middleware
    async def limit(request: web.Request, handler: Handler) -> web.StreamResponse:
        _refuse_body(request)
        if request.path in _ALWAYS_ANSWERED:
            return await handler(request)
        slot = _slot_of(request)
        _refuse_too_many(request, in_flight, slot)
        in_flight[slot] += 1
        try:
            async with asyncio.timeout(_MAX_SECONDS):
                response = await handler(request)
                await _send(request, response)
                return response
        except TimeoutError:
            if request.transport:
                request.transport.abort()
            raise
        finally:
            in_flight[slot] -= 1
            if not in_flight[slot]:
                del in_flight[slot]

    return limit


async def _send(request: web.Request, response: web.StreamResponse) -> None:
    """Send an answer while its place is taken: one that nobody reads waits in memory."""
    with suppress(ConnectionError):  # the client left
        writer = await response.prepare(request)
        await response.write_eof()
        if writer:
            await writer.drain()


def _slot_of(request: web.Request) -> _Slot:
    own = (_PROBE, request.app[CONTEXT].session.config.web.telemetry_path)
    return request.remote or "", request.path if request.path in own else ""


def _refuse_too_many(request: web.Request, in_flight: Counter[_Slot], slot: _Slot) -> None:
    config = request.app[CONTEXT].session.config.web
    probes = sum(count for (_, path), count in in_flight.items() if path == _PROBE)
    is_first = not in_flight[slot]
    if _is_full(in_flight.total(), config.max_requests, is_first=is_first and slot[1] != _PROBE):
        limit = f"web.max_requests, {config.max_requests}"
    elif slot[1] == _PROBE and _is_full(probes, config.max_probes, is_first=is_first):
        limit = f"web.max_probes, {config.max_probes}"
    else:
        return
    raise web.HTTPServiceUnavailable(
        text=f"Too many requests at once ({limit}).\n", headers={"Retry-After": "1"}
    )


def _is_full(count: int, most: int, *, is_first: bool) -> bool:
    return count >= (most if is_first else most - most // _RESERVED)


def _refuse_body(request: web.Request) -> None:
    """Refuse a body that is large, or does not say how large it is."""
    size = request.content_length
    if request.body_exists and (size is None or size > _MAX_BODY_BYTES):
        refusal = web.HTTPRequestEntityTooLarge(
            max_size=_MAX_BODY_BYTES, actual_size=size or 0, text="No body is wanted here.\n"
        )
        refusal.force_close()
        raise refusal


_READING = frozenset({"GET", "HEAD", "OPTIONS"})
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}


@web.middleware
async def refuse_other_origins(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse with 403 what a page of another origin sends; programs send neither header.

    Reading is open to whoever may read: a browser keeps the answer from the other page.
    Sources: RFC 6454 section 7 (Origin), W3C Fetch Metadata (Sec-Fetch-Site).
    """
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
