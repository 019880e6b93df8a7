"""The walk over all targets that lists and summaries are made from: filters in, counts out.

It goes in slices with a turn of the event loop in between, so that ten thousand targets do not
hold up a scrape.
"""

import asyncio
from collections.abc import AsyncIterator

from aiohttp import web

from exporter.diagnosis import CAUSES
from exporter.model import Role
from exporter.report.target_documents import Health, health_of
from exporter.report.target_views import Filters, Page, TargetView
from exporter.web.context import WebContext

DEFAULT_LIMIT = 100
MAX_LIMIT = 500
"""A page of this size takes a few milliseconds to make."""

MAX_OFFSET = 999_999_999
MAX_TEXT = 200
SLICE = 500


async def iterate_targets(context: WebContext) -> AsyncIterator[TargetView]:
    """Every target by namespace and pod, with a turn of the event loop now and then."""
    targets = context.session.targets
    await asyncio.sleep(0)
    keys = sorted(targets, key=lambda key: (key.namespace, key.pod))
    for start in range(0, len(keys), SLICE):
        await asyncio.sleep(0)
        for key in keys[start : start + SLICE]:
            target = targets.get(key)
            if target is None:
                continue
            record = context.state.get(key)
            cause = record.diagnosis.cause if record and record.diagnosis else ""
            yield TargetView(target, record, health_of(record), cause)


def read_filters(request: web.Request) -> Filters:
    """The filters of a request; raises HTTPBadRequest with a sentence for a bad value."""
    query = request.query
    return Filters(
        namespace=query.get("namespace", ""),
        role=_one_of("role", query.get("role", ""), tuple(Role)),
        state=_one_of("state", query.get("state", ""), tuple(Health)),
        cause=_one_of("cause", query.get("cause", ""), tuple(CAUSES)),
        text=_text(query.get("q", "")),
    )


def read_part(request: web.Request) -> Page:
    """The part of a list that a request wants; raises HTTPBadRequest as `read_filters` does."""
    query = request.query
    return Page(
        offset=_whole("offset", query.get("offset", "0"), 0, MAX_OFFSET),
        limit=_whole("limit", query.get("limit", str(DEFAULT_LIMIT)), 1, MAX_LIMIT),
    )


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> str:
    if value and value not in allowed:
        raise web.HTTPBadRequest(text=f"{name} must be one of {', '.join(allowed)}.")
    return value


def _text(value: str) -> str:
    if len(value) > MAX_TEXT:
        raise web.HTTPBadRequest(text=f"q must not be longer than {MAX_TEXT} characters.")
    return value.strip().lower()


def _whole(name: str, value: str, least: int, most: int) -> int:
    is_whole = value.isascii() and value.isdigit() and len(value) <= len(str(MAX_OFFSET))
    if not is_whole or not least <= int(value) <= most:
        text = f"{name} must be a whole number, between {least} and {most}."
        raise web.HTTPBadRequest(text=text)
    return int(value)
