"""A whole dashboard: its variables, its links, and its panels in rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.models import dashboard as model

from charts.dashboards.panels import DATASOURCE, WIDTH, Panel

TAG = "istio-ports"
_EVERYTHING = model.VariableOption(selected=True, text="All", value="$__all")
_TARGETS = "istio_target_last_poll_timestamp_seconds"


class Row(NamedTuple):
    """A row of panels; a closed one shows its title alone, which says what it needs."""

    title: str
    panels: Sequence[Panel]
    is_closed: bool = False


@dataclass(frozen=True)
class Page:
    """A dashboard: what it is called and is about, its variables, and rows, closed ones last."""

    uid: str
    title: str
    about: str
    variables: Sequence[str]
    rows: Sequence[Row]


def _labels(
    name: str, *, of: str, many: bool, about: str, label: str = ""
) -> dashboard.QueryVariable:
    """A choice of what a label (that of its name) has; All matches targets without it too."""
    choice = (
        dashboard.QueryVariable(name)
        .description(about)
        .datasource(DATASOURCE)
        .query(f"label_values({of}, {label or name})")
        .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(model.VariableSort.ALPHABETICAL_ASC)
    )
    if many:
        choice.include_all(True).all_value(".*").multi(True).current(_EVERYTHING)  # noqa: FBT003
    return choice


def _variables() -> dict[str, Any]:
    clustered = f'{_TARGETS}{{cluster=~"$cluster"}}'
    placed = f'{_TARGETS}{{cluster=~"$cluster", namespace=~"$namespace"}}'
    return {
        "datasource": dashboard.DatasourceVariable("datasource")
        .label("data source")
        .description("The Prometheus that scrapes the exporter.")
        .type("prometheus"),
        "cluster": _labels(
            "cluster",
            of=_TARGETS,
            many=True,
            about="The label that your scrape or Prometheus adds; All where there is none.",
        ),
        "one cluster": _labels(
            "cluster",
            of=_TARGETS,
            many=True,
            about="The cluster of the proxy; All where there is no such label.",
        ).multi(False),  # noqa: FBT003 - a builder's
        "namespace": _labels(
            "namespace", of=clustered, many=True, about="Of the targets, not of the exporter."
        ),
        "istiod_namespace": _labels(
            "istiod_namespace",
            of=f'{_TARGETS}{{cluster=~"$cluster", role="istiod"}}',
            many=True,
            about="Of istiod; the proxies shown are those of every namespace.",
            label="namespace",
        ),
        "one namespace": _labels(
            "namespace", of=clustered, many=False, about="The namespace of the proxy."
        ),
        "role": _labels("role", of=placed, many=True, about="What the targets are in the mesh."),
        "pod": _labels("pod", of=placed, many=False, about="The proxy."),
        "instance": _labels(
            "instance",
            of='istio_port_exporter_build_info{cluster=~"$cluster"}',
            many=True,
            about="Replicas and shards of the exporter.",
        ),
        "runbooks": dashboard.TextBoxVariable("runbooks")
        .description("The address of the folder with alerts.md and diagnosis.md, where links lead.")
        .default_value(""),
    }


def built(page: Page) -> model.Dashboard:
    """The dashboard with its panels placed and numbered from 1."""
    board = (
        dashboard.Dashboard(page.title)
        .uid(page.uid)
        .description(page.about)
        .tags([TAG])
        .editable()
        .refresh("30s")
        .time("now-6h", "now")
        .timezone("browser")
        .tooltip(model.DashboardCursorSync.CROSSHAIR)
        .link(
            dashboard.DashboardLink("Istio ports")
            .type(model.DashboardLinkType.DASHBOARDS)
            .tags([TAG])
            .include_vars(True)  # noqa: FBT003 - a builder's
            .keep_time(True)  # noqa: FBT003 - a builder's
        )
        .link(
            dashboard.DashboardLink("Runbooks")
            .type(model.DashboardLinkType.LINK)
            .icon("doc")
            .url("${runbooks}/alerts.md")
            .target_blank(True)  # noqa: FBT003 - a builder's
        )
    )
    variables = _variables()
    for name in ("datasource", *page.variables, "runbooks"):
        board.with_variable(variables[name])
    for title, panels, is_closed in page.rows:
        row = dashboard.Row(title)
        board.with_row(row)
        holder = row if is_closed else board
        for panel in panels:
            holder.with_panel(panel)
    whole = board.build()
    _place_closed(whole)
    _number(whole)
    return whole


def _place_closed(whole: model.Dashboard) -> None:
    """Closed rows lie one below the other; what is in one begins below its title."""
    rows = [panel for panel in whole.panels or () if getattr(panel, "collapsed", False)]
    places = [panel.grid_pos for panel in whole.panels or () if panel not in rows]
    bottom = max(place.y + place.h for place in places if place)
    for row in rows:
        row.grid_pos = model.GridPos(x=0, y=bottom, w=WIDTH, h=1)
        bottom += 1
        x, y, height = 0, bottom, 0
        for panel in row.panels:
            place = panel.grid_pos
            if x + place.w > WIDTH:
                x, y, height = 0, y + height, 0
            place.x, place.y = x, y
            x, height = x + place.w, max(height, place.h)


def _number(whole: model.Dashboard) -> None:
    panels = [one for panel in whole.panels or () for one in (panel, *getattr(panel, "panels", ()))]
    for number, panel in enumerate(panels, start=1):
        panel.id_val = number
