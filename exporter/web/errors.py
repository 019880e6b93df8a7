"""Errors as the reader of each path expects them: JSON under /api, one sentence elsewhere."""

from collections.abc import Awaitable, Callable

import msgspec
from aiohttp import web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

API_PREFIX = "/api/"


@web.middleware
async def errors_as_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn an HTTP error under /api into `{"error": ...}`; others pass as they are."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        if not request.path.startswith(API_PREFIX):
            raise
        allow = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else None
        return json_answer({"error": error.text or error.reason}, error.status, allow)


def json_answer(
    value: object, status: int = 200, headers: dict[str, str] | None = None
) -> web.Response:
    """A value of structs, mappings and scalars as a JSON answer."""
    return web.Response(
        body=msgspec.json.encode(value),
        status=status,
        headers=headers,
        content_type="application/json",
    )
