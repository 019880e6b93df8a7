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
from grafana_foundation_sdk.models import common as common_model
from grafana_foundation_sdk.models import dashboard as model

from charts.dashboards.values import (
    SERIES_TO_RUNBOOK,
    Query,
    Scale,
)

DATASOURCE = model.DataSourceRef(type_val="prometheus", uid="${datasource}")
WIDTH = 24
"""Columns of Grafana's grid."""

Panel = Any
"""A builder of one kind of panel: the kinds share their methods, and no class that has them."""


def stat(
    title: str,
    about: str,
    queries: Sequence[Query],
    scale: Scale,
    width: int = 4,
    nothing: str = "",
) -> Panel:
    """Large numbers, or the words for them, of this moment; one for each cluster."""
    panel = (
        stats.Panel()
        .color_mode(common_model.BigValueColorMode.BACKGROUND)
        .graph_mode(common_model.BigValueGraphMode.NONE)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    )
    if any(query.legend not in ("", "{{cluster}}") for query in queries):
        panel.text_mode(common_model.BigValueTextMode.VALUE_AND_NAME)
    panel = drawn(panel, title, about, scale, (width, 4), [instant(query) for query in queries])
    return or_text(panel, nothing)


def names(title: str, about: str, queries: Sequence[Query], nothing: str, scale: Scale) -> Panel:
    """The series of this moment by their names; `nothing` is the text for none."""
    panel = stat(title, about, queries, scale, width=8)
    return panel.text_mode(common_model.BigValueTextMode.NAME).no_value(nothing)


def bars(
    title: str,
    about: str,
    queries: Sequence[Query],
    scale: Scale,
    width: int = 12,
    nothing: str = "",
) -> Panel:
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
    panel = drawn(panel, title, about, scale, (width, 9), [instant(query) for query in queries])
    return or_text(panel, nothing)


def trend(
    title: str,
    about: str,
    queries: Sequence[Query],
    scale: Scale,
    width: int = 12,
    nothing: str = "",
) -> Panel:
    """Lines over time."""
    panel = (
        timeseries.Panel()
        .fill_opacity(10)
        .show_points(common_model.VisibilityMode.NEVER)
        .min(0)
        .axis_soft_max(1)
        .legend(_legend())
        .color_scheme(dashboard.FieldColor().mode(model.FieldColorModeId.PALETTE_CLASSIC))
        .tooltip(
            common.VizTooltipOptions()
            .mode(common_model.TooltipDisplayMode.MULTI)
            .sort(common_model.SortOrder.DESCENDING)
        )
    )
    panel = drawn(panel, title, about, scale, (width, 9), [_ranged(query) for query in queries])
    return or_text(panel, nothing)


def stacked(panel: Panel) -> Panel:
    """The lines of a trend on top of each other."""
    stacking = common.StackingConfig().mode(common_model.StackingMode.NORMAL).group("A")
    return panel.stacking(stacking).fill_opacity(40)


def timeline(
    title: str,
    about: str,
    queries: Sequence[Query],
    scale: Scale,
    width: int = 12,
    nothing: str = "",
) -> Panel:
    """A band of states for each series."""
    panel = (
        statetimeline.Panel()
        .show_value(common_model.VisibilityMode.NEVER)
        .merge_values(True)  # noqa: FBT003 - a builder's
        .row_height(0.8)
        .legend(_legend())
    )
    panel = drawn(panel, title, about, scale, (width, 9), [_ranged(query) for query in queries])
    return or_text(panel, nothing)


def or_text(panel: Panel, nothing: str) -> Panel:
    """The panel with what it means that nothing was found."""
    return panel.no_value(nothing) if nothing else panel


def _legend() -> common.VizLegendOptions:
    return (
        common.VizLegendOptions()
        .show_legend(True)  # noqa: FBT003 - a builder's
        .display_mode(common_model.LegendDisplayMode.LIST)
        .placement(common_model.LegendPlacement.BOTTOM)
    )


def drawn(
    panel: Panel,
    title: str,
    about: str,
    scale: Scale,
    size: tuple[int, int],
    queries: Sequence[prometheus.Dataquery],
) -> Panel:
    """What every kind shares; `size`: width and height."""
    width, height = size
    panel.title(title).description(about).datasource(DATASOURCE)
    panel.span(width).height(height).unit(scale.unit).mappings(scale.mappings)
    panel.thresholds(
        dashboard.ThresholdsConfig().mode(scale.thresholds.mode).steps(scale.thresholds.steps)
    )
    if scale.top is not None:
        panel.max(scale.top)
    for letter, query in zip("ABCDEFGHIJ", queries, strict=False):
        panel.with_target(query.ref_id(letter))
    return panel


def instant(query: Query) -> prometheus.Dataquery:
    """A query of this moment."""
    return _dataquery(query).instant()


def _ranged(query: Query) -> prometheus.Dataquery:
    return _dataquery(query).range()


def _dataquery(query: Query) -> prometheus.Dataquery:
    queried = prometheus.Dataquery().expr(query.expr).datasource(DATASOURCE)
    return queried.legend_format(query.legend or "__auto")
