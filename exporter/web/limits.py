"""How many requests are answered at once, and what none of them may bring."""

import asyncio
from collections import Counter

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from exporter.web.context import CONTEXT

MAX_BODY_BYTES = 1024
"""Nothing here reads a body; some clients send a few bytes with a POST all the same."""

MAX_REQUEST_SECONDS = 120.0
"""Longer than any look at a target takes, and than a scrape waits."""

_ALWAYS_ANSWERED = frozenset({"/-/healthy", "/-/ready"})
_PROBE = "/probe"


def limit_requests(max_seconds: float = MAX_REQUEST_SECONDS) -> Middleware:
    """A middleware that counts requests in flight, `/probe` also on its own.

    What is over `web.max_requests` or `web.max_probes` gets a 503 at once rather than a place in
    a queue; the orchestrator's questions are always answered. A request that takes longer than
    `max_seconds` is cut off: its client does not read.
    """
    in_flight: Counter[str] = Counter()

    @web.middleware
    async def limit(request: web.Request, handler: Handler) -> web.StreamResponse:
        _refuse_body(request)
        if request.path in _ALWAYS_ANSWERED:
            return await handler(request)
        kind = _PROBE if request.path == _PROBE else ""
        _refuse_too_many(request, in_flight, kind)
        in_flight[kind] += 1
        try:
            async with asyncio.timeout(max_seconds):
                return await handler(request)
        except TimeoutError:
            if request.transport:
                request.transport.abort()
            raise
        finally:
            in_flight[kind] -= 1

    return limit


def _refuse_too_many(request: web.Request, in_flight: Counter[str], kind: str) -> None:
    config = request.app[CONTEXT].session.config.web
    if in_flight.total() >= config.max_requests:
        limit = f"web.max_requests, {config.max_requests}"
    elif kind and in_flight[kind] >= config.max_probes:
        limit = f"web.max_probes, {config.max_probes}"
    else:
        return
    raise web.HTTPServiceUnavailable(
        text=f"Too many requests at once ({limit}).\n", headers={"Retry-After": "1"}
    )


def _refuse_body(request: web.Request) -> None:
    """Refuse a body that is large, or does not say how large it is."""
    size = request.content_length
    if request.body_exists and (size is None or size > MAX_BODY_BYTES):
        refusal = web.HTTPRequestEntityTooLarge(
            max_size=MAX_BODY_BYTES, actual_size=size or 0, text="No body is wanted here.\n"
        )
        refusal.force_close()
        raise refusal
