"""The kinds of panels, each with a title, what it is about, its queries and how values look.

Sizes are in Grafana's grid of 24 columns.
"""

from collections.abc import Sequence
from typing import Any

from grafana_foundation_sdk.builders import (
    bargauge,
    common,
    dashboard,
    prometheus,
    statetimeline,
    timeseries,
)
from grafana_foundation_sdk.builders import stat as stats
from grafana_foundation_sdk.builders import table as tables
from grafana_foundation_sdk.models import common as common_model
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from charts.dashboards.values import PLAIN, SERIES_TO_RUNBOOK, Column, Query, Scale

DATASOURCE = model.DataSourceRef(type_val="prometheus", uid="${datasource}")
_FULL_WIDTH = 24

Panel = Any
"""A builder of one kind of panel: the kinds share their methods, and no class that has them."""


def stat(title: str, about: str, queries: Sequence[Query], scale: Scale, width: int = 4) -> Panel:
    """Large numbers, or the words for them, of this moment."""
    panel = (
        stats.Panel()
        .color_mode(common_model.BigValueColorMode.BACKGROUND)
        .graph_mode(common_model.BigValueGraphMode.NONE)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    )
    if any(query.legend for query in queries):
        panel.text_mode(common_model.BigValueTextMode.VALUE_AND_NAME)
    return _drawn(panel, title, about, scale, (width, 4), [_instant(query) for query in queries])


def names(title: str, about: str, queries: Sequence[Query], nothing: str, scale: Scale) -> Panel:
    """The series of this moment by their names; `nothing` is the text for none."""
    panel = stat(title, about, queries, scale, width=8)
    return panel.text_mode(common_model.BigValueTextMode.NAME).no_value(nothing)


def bars(title: str, about: str, queries: Sequence[Query], scale: Scale, width: int = 12) -> Panel:
    """A bar for each series at this moment; those of causes lead to their runbooks."""
    panel = (
        bargauge.Panel()
        .display_mode(common_model.BarGaugeDisplayMode.BASIC)
        .orientation(common_model.VizOrientation.HORIZONTAL)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .min(0)
    )
    if any("{{cause}}" in query.legend for query in queries):
        title_of, url = SERIES_TO_RUNBOOK
        panel.data_links([dashboard.DashboardLink(title_of).url(url).target_blank(True)])  # noqa: FBT003 - a builder's
    return _drawn(panel, title, about, scale, (width, 9), [_instant(query) for query in queries])


def trend(title: str, about: str, queries: Sequence[Query], scale: Scale, width: int = 12) -> Panel:
    """Lines over time."""
    panel = (
        timeseries.Panel()
        .fill_opacity(10)
        .show_points(common_model.VisibilityMode.NEVER)
        .min(0)
        .color_scheme(dashboard.FieldColor().mode(model.FieldColorModeId.PALETTE_CLASSIC))
        .tooltip(
            common.VizTooltipOptions()
            .mode(common_model.TooltipDisplayMode.MULTI)
            .sort(common_model.SortOrder.DESCENDING)
        )
    )
    return _drawn(panel, title, about, scale, (width, 9), [_ranged(query) for query in queries])


def stacked(panel: Panel) -> Panel:
    """The lines of a trend on top of each other."""
    stacking = common.StackingConfig().mode(common_model.StackingMode.NORMAL).group("A")
    return panel.stacking(stacking).fill_opacity(40)


def timeline(
    title: str, about: str, queries: Sequence[Query], scale: Scale, width: int = 12
) -> Panel:
    """A band of states for each series."""
    panel = (
        statetimeline.Panel()
        .show_value(common_model.VisibilityMode.NEVER)
        .merge_values(True)  # noqa: FBT003 - a builder's
        .row_height(0.8)
    )
    return _drawn(panel, title, about, scale, (width, 9), [_ranged(query) for query in queries])


def table(
    title: str, about: str, queries: Sequence[str], columns: Sequence[Column], width: int = 12
) -> Panel:
    """Rows of this moment: results of several queries with the same labels share one row.

    The columns' values are `Value` with one query, else `Value #A`, `Value #B` and so on.
    Headings are always set, so that they stay where the chart renames a label.
    """
    queried = [_instant(Query(expr)).format(PromQueryFormat.TABLE) for expr in queries]
    panel = _drawn(tables.Panel(), title, about, PLAIN, (width, 9), queried)
    names = [column.label for column in columns]
    _transform(panel, "filterFieldsByName", {"include": {"names": names}})
    if len(queries) > 1:
        _transform(panel, "merge", {})
    headings = {column.label: column.heading or column.label for column in columns}
    order = {name: index for index, name in enumerate(names)}
    _transform(panel, "organize", {"indexByName": order, "renameByName": headings})
    for column in columns:
        if looks := _cells(column.scale, column.link):
            panel.override_by_name(column.heading or column.label, looks)
    return panel


def matrix(title: str, about: str, expr: str, axes: tuple[str, str], scale: Scale) -> Panel:
    """A cell for each pair of two labels, rows first."""
    queried = [_instant(Query(expr)).format(PromQueryFormat.TABLE)]
    panel = _drawn(tables.Panel(), title, about, scale, (_FULL_WIDTH, 9), queried)
    row, column = axes
    options = {"rowField": row, "columnField": column, "valueField": "Value", "emptyValue": "null"}
    _transform(panel, "groupingToMatrix", options)
    return panel.override_by_field_type("number", _cells(scale, None))


def _transform(panel: Panel, name: str, options: dict[str, Any]) -> None:
    panel.with_transformation(model.DataTransformerConfig(id_val=name, options=options))


def _cells(scale: Scale | None, link: tuple[str, str] | None) -> list[model.DynamicConfigValue]:
    looks: dict[str, Any] = {}
    if scale:
        looks["unit"] = scale.unit
        looks["thresholds"] = scale.thresholds
        looks["mappings"] = scale.mappings
        looks["custom.cellOptions"] = {"type": "color-background", "mode": "basic"}
    if link:
        looks["links"] = [_link(*link)]
    return [model.DynamicConfigValue(id_val=name, value=value) for name, value in looks.items()]


def _drawn(
    panel: Panel,
    title: str,
    about: str,
    scale: Scale,
    size: tuple[int, int],
    queries: Sequence[prometheus.Dataquery],
) -> Panel:
    width, height = size
    panel.title(title).description(about).datasource(DATASOURCE)
    panel.span(width).height(height).unit(scale.unit).mappings(scale.mappings)
    panel.thresholds(
        dashboard.ThresholdsConfig().mode(scale.thresholds.mode).steps(scale.thresholds.steps)
    )
    if scale.top is not None:
        panel.max(scale.top)
    for letter, query in zip("ABCDEFGH", queries, strict=False):
        panel.with_target(query.ref_id(letter))
    return panel


def _instant(query: Query) -> prometheus.Dataquery:
    return _dataquery(query).instant()


def _ranged(query: Query) -> prometheus.Dataquery:
    return _dataquery(query).range()


def _dataquery(query: Query) -> prometheus.Dataquery:
    queried = prometheus.Dataquery().expr(query.expr).datasource(DATASOURCE)
    return queried.legend_format(query.legend or "__auto")


def _link(title: str, url: str) -> dict[str, Any]:
    return {"title": title, "url": url, "targetBlank": url.startswith("${runbooks}")}
