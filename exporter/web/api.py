"""/api/v1: targets, ports and what they come to as JSON, filtered and in parts."""

import asyncio

import msgspec
from aiohttp import web

from exporter import __version__
from exporter.catalogue import PORTS
from exporter.model import TargetKey
from exporter.report.matrix import MatrixBuilder
from exporter.report.summary import SummaryBuilder
from exporter.report.target_documents import PortDocument, TargetState, port_document, target_state
from exporter.web.context import CONTEXT
from exporter.web.responses import json_answer
from exporter.web.static_pages import OWN_RUNBOOKS
from exporter.web.target_filters import iterate_targets, read_filters, read_part

DOCUMENTS_A_TURN = 50
"""Documents of targets made before the event loop gets a turn; 50 take some 4 ms."""


class TargetList(msgspec.Struct, frozen=True, kw_only=True):
    """A part of the targets. `total` counts what the filters let through."""

    total: int
    offset: int
    limit: int
    targets: tuple[TargetState, ...]


class PortList(msgspec.Struct, frozen=True, kw_only=True):
    """The catalogue."""

    ports: tuple[PortDocument, ...]


async def show_summary(request: web.Request) -> web.Response:
    """Causes, states and freshness of what namespace and role let through."""
    context = request.app[CONTEXT]
    config = context.session.config
    filters = read_filters(request)
    total = SummaryBuilder(config.poll.interval, context.state.is_expired)
    async for found in iterate_targets(context):
        total.add(found, filters)
    runbooks = config.web.runbook_url or OWN_RUNBOOKS
    unseen = context.session.unseen()
    return await json_answer(request, total.summary(__version__, runbooks, unseen))


async def show_matrix(request: web.Request) -> web.Response:
    """Short rows of targets by ports that the filters let through, worst first, one part."""
    filters, part = read_filters(request), read_part(request)
    board = MatrixBuilder()
    async for found in iterate_targets(request.app[CONTEXT]):
        if filters.lets_through(found):
            board.add(found)
    return await json_answer(request, board.matrix(part))


async def list_targets(request: web.Request) -> web.Response:
    """All that is known of the targets that the filters let through, by name, one part."""
    context = request.app[CONTEXT]
    filters, part = read_filters(request), read_part(request)
    found = [one async for one in iterate_targets(context) if filters.lets_through(one)]
    extra = context.session.config.ports
    targets = []
    for number, one in enumerate(part.of(found)):
        targets.append(target_state(one.target, one.record, extra))
        if number % DOCUMENTS_A_TURN == 0:
            await asyncio.sleep(0)
    listed = TargetList(
        total=len(found), offset=part.offset, limit=part.limit, targets=tuple(targets)
    )
    return await json_answer(request, listed)


async def show_target(request: web.Request) -> web.Response:
    """One target; 404 when nothing by that name is watched."""
    context = request.app[CONTEXT]
    key = TargetKey(request.match_info["namespace"], request.match_info["pod"])
    target = context.session.targets.get(key)
    if target is None:
        raise web.HTTPNotFound(text=f"No target is named {key}.")
    state = target_state(target, context.state.get(key), context.session.config.ports)
    return await json_answer(request, state)


async def list_ports(request: web.Request) -> web.Response:
    """The catalogue, one row per port and role."""
    return await json_answer(request, PortList(ports=tuple(map(port_document, PORTS))))


async def no_such_path(request: web.Request) -> web.Response:
    """Anything else under /api."""
    raise web.HTTPNotFound(text=f"{request.path} is not part of this API.")


ROUTES = (
    web.get("/api/v1/summary", show_summary),
    web.get("/api/v1/matrix", show_matrix),
    web.get("/api/v1/targets", list_targets),
    web.get("/api/v1/targets/{namespace}/{pod}", show_target),
    web.get("/api/v1/ports", list_ports),
    web.route("*", "/api/{path:.*}", no_such_path),
)
