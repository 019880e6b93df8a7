"""A whole dashboard: its variables, its links, and its panels in rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.models import dashboard as model

from charts.dashboards.panels import DATASOURCE, Panel

TAG = "istio-ports"
_EVERYTHING = model.VariableOption(selected=True, text="All", value="$__all")
_TARGETS = "istio_target_last_poll_timestamp_seconds"


@dataclass(frozen=True)
class Page:
    """A dashboard: what it is called and is about, its variables, and rows of panels."""

    uid: str
    title: str
    about: str
    variables: Sequence[str]
    rows: Sequence[tuple[str, Sequence[Panel]]]


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
    for name in ("datasource", "cluster", *page.variables, "runbooks"):
        board.with_variable(variables[name])
    for title, panels in page.rows:
        board.with_row(dashboard.Row(title))
        for panel in panels:
            board.with_panel(panel)
    whole = board.build()
    for number, panel in enumerate(whole.panels or (), start=1):
        panel.id_val = number
    return whole
