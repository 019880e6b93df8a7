"""/api/v1: targets, ports and summaries as JSON, filtered and in pages."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import msgspec
from aiohttp import web

from exporter import __version__, clock
from exporter.catalogue import PORTS
from exporter.model import Target, TargetKey, TargetRecord
from exporter.report.matrix import MatrixBuilder
from exporter.report.port_documents import PortDocument, port_document
from exporter.report.summary import SummaryBuilder
from exporter.report.target_documents import TargetState, target_state
from exporter.report.target_views import TargetView
from exporter.turn import current_turn
from exporter.web.context import CONTEXT
from exporter.web.guarded_reports import REPORTS
from exporter.web.responses import json_answer
from exporter.web.static_pages import OWN_RUNBOOKS
from exporter.web.target_filters import (
    EVERY_PARAMETER,
    SCOPE,
    read_filters,
    read_page,
    refuse_others,
)


class TargetList(msgspec.Struct, frozen=True, kw_only=True):
    """A page of the targets. `total` counts what the filters match."""

    total: int
    offset: int
    limit: int
    targets: tuple[TargetState, ...]


class PortList(msgspec.Struct, frozen=True, kw_only=True):
    """The catalogue."""

    ports: tuple[PortDocument, ...]


async def show_summary(request: web.Request) -> web.Response:
    """Causes, states and freshness of the targets of a namespace and role."""
    context = request.app[CONTEXT]
    config = context.session.config
    is_expired = partial(context.state.is_expired, now=clock.now())
    builder = SummaryBuilder(read_filters(request), is_expired, clock.wall())
    refuse_others(request, SCOPE)
    await request.app[REPORTS].add_targets(request, builder.add)
    runbooks = config.web.runbook_url or OWN_RUNBOOKS
    unseen = await context.session.unseen()
    summary = builder.summary(__version__, config.poll.interval, runbooks, unseen)
    return await json_answer(request, summary)


async def show_matrix(request: web.Request) -> web.Response:
    """Short rows of the matching targets by ports, unhealthy ones first, one page."""
    builder, page = MatrixBuilder(read_filters(request)), read_page(request)
    refuse_others(request, EVERY_PARAMETER)
    reports = request.app[REPORTS]
    await reports.add_targets(request, builder.add)
    return await json_answer(request, builder.matrix(page, reports.document))


async def list_targets(request: web.Request) -> web.Response:
    """All that is known of the matching targets, by name, one page."""
    filters, page, reports = read_filters(request), read_page(request), request.app[REPORTS]
    refuse_others(request, EVERY_PARAMETER)
    matching: list[TargetView] = []

    def add(views: Sequence[TargetView]) -> None:
        matching.extend([view for view in views if filters.matches(view)])

    await reports.add_targets(request, add)
    turn = current_turn()
    targets = []
    for view in page.of(matching):
        if document := _document(request, view.target, view.record):
            targets.append(document)
        await turn.maybe_yield()
    shown = TargetList(
        total=len(matching), offset=page.offset, limit=page.limit, targets=tuple(targets)
    )
    return await json_answer(request, shown)


async def show_target(request: web.Request) -> web.Response:
    """One target; 404 when nothing by that name is watched."""
    refuse_others(request)
    context = request.app[CONTEXT]
    key = TargetKey(request.match_info["namespace"], request.match_info["pod"])
    target = context.session.targets.get(key)
    if target is None:
        raise web.HTTPNotFound(text=f"No target is named {key}.")
    document = _document(request, target, context.state.get(key))
    if document is None:
        raise web.HTTPInternalServerError(text=f"{key} cannot be reported; the log says why.")
    return await json_answer(request, document)


def _document(request: web.Request, target: Target, record: TargetRecord | None) -> Any:  # noqa: ANN401 - JSON
    """A target's document: without its record where that cannot be shown; None without both."""
    extra = request.app[CONTEXT].session.config.ports
    document = partial(request.app[REPORTS].document, target.key)
    shown = document(partial(target_state, target, record, extra))
    return shown or document(partial(target_state, target, None, extra))


async def list_ports(request: web.Request) -> web.Response:
    """The catalogue, one row per port and role."""
    refuse_others(request)
    return await json_answer(request, PortList(ports=tuple(map(port_document, PORTS))))


ROUTES = (
    web.get("/api/v1/summary", show_summary),
    web.get("/api/v1/matrix", show_matrix),
    web.get("/api/v1/targets", list_targets),
    web.get("/api/v1/targets/{namespace}/{pod}", show_target),
    web.get("/api/v1/ports", list_ports),
)
