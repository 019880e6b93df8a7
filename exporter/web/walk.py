"""The walk over all targets that lists and summaries are made from: filters in, counts out.

It goes in slices with a turn of the event loop in between, so that ten thousand targets do not
hold up a scrape.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

from aiohttp import web

from exporter.diagnosis import CAUSES
from exporter.model import Role, Target, TargetRecord
from exporter.web.context import WebContext
from exporter.web.documents import Standing, standing_of

DEFAULT_LIMIT = 100
MAX_LIMIT = 500
"""A page of this size takes a few milliseconds to make."""

MAX_OFFSET = 999_999_999
MAX_TEXT = 200
SLICE = 500


@dataclass(frozen=True, slots=True)
class Found:
    """One target as the walk meets it; `record` None: it was not looked at yet."""

    target: Target
    record: TargetRecord | None
    standing: Standing
    cause: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """What a list was asked for; empty means everything. `text` is in lower case."""

    namespace: str = ""
    role: str = ""
    state: str = ""
    cause: str = ""
    text: str = ""

    def is_in_scope(self, target: Target) -> bool:
        """Whether namespace and role let the target through."""
        return self.namespace in ("", target.key.namespace) and self.role in ("", target.role)

    def lets_through(self, found: Found) -> bool:
        """Whether every filter lets the target through."""
        return (
            self.is_in_scope(found.target)
            and self.state in ("", found.standing)
            and self.cause in ("", found.cause)
            and (not self.text or self.text in _words_of(found))
        )


@dataclass(frozen=True, slots=True)
class Part:
    """Which part of a list was asked for."""

    offset: int
    limit: int

    def of(self, found: list[Found]) -> list[Found]:
        """The part of what was found."""
        return found[self.offset : self.offset + self.limit]


async def walk(context: WebContext) -> AsyncIterator[Found]:
    """Every target by namespace and pod, with a turn of the event loop now and then."""
    targets = context.targets()
    await asyncio.sleep(0)
    keys = sorted(targets, key=lambda key: (key.namespace, key.pod))
    for start in range(0, len(keys), SLICE):
        await asyncio.sleep(0)
        for key in keys[start : start + SLICE]:
            record = context.state.get(key)
            cause = record.diagnosis.cause if record and record.diagnosis else ""
            yield Found(targets[key], record, standing_of(record), cause)


def read_filters(request: web.Request) -> Filters:
    """The filters of a request; raises HTTPBadRequest with a sentence for a bad value."""
    query = request.query
    return Filters(
        namespace=query.get("namespace", ""),
        role=_one_of("role", query.get("role", ""), tuple(Role)),
        state=_one_of("state", query.get("state", ""), tuple(Standing)),
        cause=_one_of("cause", query.get("cause", ""), tuple(CAUSES)),
        text=_text(query.get("q", "")),
    )


def read_part(request: web.Request) -> Part:
    """The part of a list that a request wants; raises HTTPBadRequest as `read_filters` does."""
    query = request.query
    return Part(
        offset=_whole("offset", query.get("offset", "0"), 0, MAX_OFFSET),
        limit=_whole("limit", query.get("limit", str(DEFAULT_LIMIT)), 1, MAX_LIMIT),
    )


def _words_of(found: Found) -> str:
    """What a text filter looks in."""
    target = found.target
    words = (
        str(target.key),
        *target.addresses,
        target.node,
        target.workload,
        target.revision,
        target.istio_version,
        found.cause,
    )
    return "\n".join(words).lower()


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
