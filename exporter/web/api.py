"""/api/v1: targets and ports as JSON, filtered and in pages.

The list is walked in slices with a turn of the event loop in between, so that ten thousand
targets do not hold up a scrape; documents are made for the asked page only.
"""

import asyncio
from collections import Counter
from dataclasses import dataclass, field

import msgspec
from aiohttp import web

from exporter.catalogue import PORTS
from exporter.diagnosis import CAUSES
from exporter.model import Role, Target, TargetKey, TargetRecord
from exporter.web.context import CONTEXT, WebContext
from exporter.web.documents import (
    PortRow,
    Standing,
    TargetState,
    port_row,
    standing_of,
    target_state,
)
from exporter.web.errors import json_answer

DEFAULT_LIMIT = 100
MAX_LIMIT = 500
"""A page of this size takes a few milliseconds to make."""

MAX_OFFSET = 999_999_999
SLICE = 500


class CauseCount(msgspec.Struct, frozen=True, kw_only=True):
    """How many of the targets have a cause, and what to do about it."""

    cause: str
    cause_class: str = msgspec.field(name="class")
    sentence: str
    advice: str
    targets: int


class TargetList(msgspec.Struct, frozen=True, kw_only=True):
    """A page of targets. `total` counts what the filters let through.

    `states` and `causes` count what namespace and role let through, whatever the other
    filters. `unseen`: what this instance cannot see.
    """

    total: int
    offset: int
    limit: int
    states: dict[str, int]
    causes: tuple[CauseCount, ...]
    unseen: tuple[str, ...]
    targets: tuple[TargetState, ...]


class PortList(msgspec.Struct, frozen=True, kw_only=True):
    """The catalogue."""

    ports: tuple[PortRow, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """What a list was asked for; empty means everything."""

    namespace: str = ""
    role: str = ""
    state: str = ""
    cause: str = ""
    offset: int = 0
    limit: int = DEFAULT_LIMIT


@dataclass(slots=True)
class _Sifted:
    """What the walk over all targets found."""

    matching: list[tuple[Target, TargetRecord | None]] = field(default_factory=list)
    states: Counter[str] = field(default_factory=Counter)
    causes: Counter[str] = field(default_factory=Counter)


async def list_targets(request: web.Request) -> web.Response:
    """The targets that the filters let through, by namespace and pod, one page of them."""
    context = request.app[CONTEXT]
    filters = read_filters(request)
    sifted = await _sift(context, filters)
    page = sifted.matching[filters.offset : filters.offset + filters.limit]
    extra = context.config().ports
    listed = TargetList(
        total=len(sifted.matching),
        offset=filters.offset,
        limit=filters.limit,
        states={standing: sifted.states[standing] for standing in Standing},
        causes=tuple(_cause_count(cause, n) for cause, n in sifted.causes.most_common()),
        unseen=context.unseen(),
        targets=tuple(target_state(target, record, extra) for target, record in page),
    )
    return json_answer(listed)


async def show_target(request: web.Request) -> web.Response:
    """One target; 404 when nothing by that name is watched."""
    context = request.app[CONTEXT]
    key = TargetKey(request.match_info["namespace"], request.match_info["pod"])
    target = context.targets().get(key)
    if target is None:
        raise web.HTTPNotFound(text=f"No target is named {key}.")
    return json_answer(target_state(target, context.state.get(key), context.config().ports))


async def list_ports(_request: web.Request) -> web.Response:
    """The catalogue, one row per port and role."""
    return json_answer(PortList(ports=tuple(map(port_row, PORTS))))


async def no_such_path(request: web.Request) -> web.Response:
    """Anything else under /api."""
    raise web.HTTPNotFound(text=f"{request.path} is not part of this API.")


def read_filters(request: web.Request) -> Filters:
    """The filters of a request; raises HTTPBadRequest with a sentence for a bad value."""
    query = request.query
    return Filters(
        namespace=query.get("namespace", ""),
        role=_one_of("role", query.get("role", ""), tuple(Role)),
        state=_one_of("state", query.get("state", ""), tuple(Standing)),
        cause=_one_of("cause", query.get("cause", ""), tuple(CAUSES)),
        offset=_whole("offset", query.get("offset", "0"), 0, MAX_OFFSET),
        limit=_whole("limit", query.get("limit", str(DEFAULT_LIMIT)), 1, MAX_LIMIT),
    )


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> str:
    if value and value not in allowed:
        raise web.HTTPBadRequest(text=f"{name} must be one of {', '.join(allowed)}.")
    return value


def _whole(name: str, value: str, least: int, most: int) -> int:
    is_whole = value.isascii() and value.isdigit() and len(value) <= len(str(MAX_OFFSET))
    if not is_whole or not least <= int(value) <= most:
        text = f"{name} must be a whole number, between {least} and {most}."
        raise web.HTTPBadRequest(text=text)
    return int(value)


async def _sift(context: WebContext, filters: Filters) -> _Sifted:
    sifted = _Sifted()
    targets = context.targets()
    keys = sorted(targets, key=str)
    for start in range(0, len(keys), SLICE):
        for key in keys[start : start + SLICE]:
            _count(sifted, targets[key], context.state.get(key), filters)
        await asyncio.sleep(0)
    return sifted


def _count(sifted: _Sifted, target: Target, record: TargetRecord | None, filters: Filters) -> None:
    if filters.namespace not in ("", target.key.namespace):
        return
    if filters.role not in ("", target.role):
        return
    standing = standing_of(record)
    cause = record.diagnosis.cause if record and record.diagnosis else ""
    sifted.states[standing] += 1
    if cause:
        sifted.causes[cause] += 1
    if filters.state in ("", standing) and filters.cause in ("", cause):
        sifted.matching.append((target, record))


def _cause_count(cause: str, targets: int) -> CauseCount:
    known = CAUSES[cause]
    return CauseCount(
        cause=cause,
        cause_class=known.cause_class,
        sentence=known.sentence,
        advice=known.advice,
        targets=targets,
    )


ROUTES = (
    web.get("/api/v1/targets", list_targets),
    web.get("/api/v1/targets/{namespace}/{pod}", show_target),
    web.get("/api/v1/ports", list_ports),
    web.route("*", "/api/{path:.*}", no_such_path),
)
