"""The landing page: what is wrong, what is watched, what this instance can and cannot see.

Plain HTML without scripts, from the same records as everything else; every word that came from
elsewhere is escaped.
"""

import heapq
from collections.abc import Iterable, Iterator
from html import escape
from importlib.resources import files
from itertools import count

from aiohttp import web

from exporter import __version__
from exporter.model import Target, TargetRecord
from exporter.web.context import CONTEXT, WebContext
from exporter.web.documents import Standing, standing_of

SHOWN = 200
"""Rows on the page; the API has them all."""

_STYLE = files("exporter.web").joinpath("page.css").read_bytes()
_WORST_FIRST = (Standing.UNHEALTHY, Standing.UNJUDGED, Standing.HEALTHY)
_MARKS = {True: ("up", "✓"), False: ("down", "✗"), None: ("unjudged", "?")}

Row = tuple[Target, TargetRecord | None]


async def show_page(request: web.Request) -> web.Response:
    """The landing page."""
    context = request.app[CONTEXT]
    return web.Response(text="".join(_page(context)), content_type="text/html")


async def serve_style(_request: web.Request) -> web.Response:
    """The page's stylesheet."""
    headers = {"Cache-Control": "max-age=3600"}
    return web.Response(body=_STYLE, content_type="text/css", headers=headers)


def _page(context: WebContext) -> Iterator[str]:
    targets = context.targets()
    rows = [(target, context.state.get(key)) for key, target in targets.items()]
    order = count()
    worst = heapq.nsmallest(
        SHOWN,
        ((_WORST_FIRST.index(standing_of(r)), str(t.key), next(order), (t, r)) for t, r in rows),
    )
    yield (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<title>Istio port exporter</title><link rel="stylesheet" href="/static/page.css"></head>'
        f"<body><main><h1>Istio port exporter <small>{escape(__version__)}</small></h1>"
    )
    yield _links(context)
    yield from _causes(record for _, record in rows)
    yield from _targets([row for *_, row in worst], len(rows))
    yield from _unseen(context.unseen())
    yield "</main></body></html>\n"


def _links(context: WebContext) -> str:
    paths = {
        "Metrics": context.config().web.telemetry_path,
        "Targets as JSON": "/api/v1/targets",
        "Ports as JSON": "/api/v1/ports",
        "Healthy?": "/-/healthy",
        "Ready?": "/-/ready",
    }
    links = (f'<a href="{escape(path)}">{name}</a>' for name, path in paths.items())
    return f"<nav>{' '.join(links)}</nav>"


def _causes(records: Iterable[TargetRecord | None]) -> Iterator[str]:
    found: dict[str, list[TargetRecord]] = {}
    for record in records:
        if record and record.diagnosis:
            found.setdefault(record.diagnosis.cause, []).append(record)
    yield "<section><h2>Causes</h2>"
    if not found:
        yield "<p>No target has a cause.</p>"
    for cause, having in sorted(found.items(), key=lambda item: (-len(item[1]), item[0])):
        diagnosis = having[0].diagnosis
        if diagnosis is None:
            continue
        yield (
            f"<h3>{escape(cause)} <small>{len(having)}, {diagnosis.cause_class}</small></h3>"
            f"<p>{escape(diagnosis.sentence)} {escape(diagnosis.advice)}</p>"
        )
    yield "</section>"


def _targets(rows: list[Row], total: int) -> Iterator[str]:
    yield f"<section><h2>Targets <small>{total}</small></h2>"
    if total > len(rows):
        yield f"<p>The {len(rows)} most pressing of {total}; the JSON has them all.</p>"
    yield (
        "<table><thead><tr><th>Target<th>Role<th>State<th>Cause"
        "<th>Ports<th>A plain connect says</thead><tbody>"
    )
    yield from map(_row, rows)
    yield "</tbody></table></section>"


def _row(row: Row) -> str:
    target, record = row
    standing = standing_of(record)
    key = target.key
    link = f"/api/v1/targets/{escape(key.namespace)}/{escape(key.pod)}"
    cause = record.diagnosis.cause if record and record.diagnosis else ""
    return (
        f'<tr class="{standing}"><td><a href="{link}">{escape(str(key))}</a><td>{target.role}'
        f"<td>{standing if record else 'waiting'}<td>{escape(cause)}"
        f"<td>{_verdicts(record)}<td>{_naive(record)}</tr>\n"
    )


def _verdicts(record: TargetRecord | None) -> str:
    marks = ((v.port, *_MARKS[v.up], v.outcome) for v in (record.verdicts if record else ()))
    return " ".join(
        f'<span class="{name}" title="{outcome}">{port}&nbsp;{mark}</span>'
        for port, name, mark, outcome in marks
    )


def _naive(record: TargetRecord | None) -> str:
    tried = [v for v in (record.verdicts if record else ()) if v.naive is not None]
    return " ".join(f"{v.port}&nbsp;{_MARKS[v.naive][1]}" for v in tried)


def _unseen(sentences: tuple[str, ...]) -> Iterator[str]:
    yield "<section><h2>What this instance cannot see</h2><ul>"
    yield from (f"<li>{escape(sentence)}</li>" for sentence in sentences)
    yield "</ul>" if sentences else "<li>Nothing is out of its sight.</li></ul>"
    yield "</section>"


ROUTES = (web.get("/", show_page), web.get("/static/page.css", serve_style))
