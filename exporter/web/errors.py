"""Errors as the reader of each path expects them: JSON under /api, one sentence elsewhere."""

from collections.abc import Awaitable, Callable

import msgspec
from aiohttp import web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

API_PREFIX = "/api/"
_KEPT = ("Allow", "Retry-After")


@web.middleware
async def errors_as_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn an HTTP error under /api into `{"error": ...}`; others pass as they are."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        if not request.path.startswith(API_PREFIX):
            raise
        kept = {name: error.headers[name] for name in _KEPT if name in error.headers}
        answer = web.Response(
            body=msgspec.json.encode({"error": error.text or error.reason}),
            status=error.status,
            headers=kept,
            content_type="application/json",
        )
        if error.keep_alive is False:
            answer.force_close()
        return answer
