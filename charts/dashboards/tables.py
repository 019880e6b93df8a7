"""Tables: what their columns are, how their cells look, and in which order the rows are."""

from collections.abc import Sequence
from typing import Any

from grafana_foundation_sdk.builders import table as tables
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from charts.dashboards.panels import WIDTH, Panel, drawn, instant, or_text
from charts.dashboards.values import (
    ALERT_TO_RUNBOOK,
    SEVERITY,
    SINCE,
    TEXT,
    TO_PROXY,
    TO_RUNBOOK,
    Column,
    Query,
    Scale,
    firing,
)

_LOOKS: dict[str, dict[str, Any]] = {
    "alertname": {"custom.minWidth": 290},
    "cause": {"custom.width": 220},
    "class": {"custom.width": 100},
    "cluster": {"custom.width": 100},
    "instance": {"custom.width": 150},
    "ip": {"custom.width": 120},
    "port": {"unit": "none", "custom.align": "left", "custom.width": 70},
    "python": {"custom.width": 80},
    "reported version": {"custom.width": 220},
    "role": {"custom.width": 100},
    "scope": {"custom.width": 100},
    "severity": {"custom.width": 90},
    "since": {"custom.width": 145},
    "Value": {"custom.width": 100},
    "version": {"custom.width": 110},
}
"""Columns by their label's first word or their heading: names that end in dots are of no use."""


def table(
    title: str,
    about: str,
    queries: Sequence[str],
    columns: Sequence[Column],
    width: int = 12,
    nothing: str = "",
) -> Panel:
    """Rows of this moment: results of several queries with the same labels share one row.

    The columns' values are `Value` with one query, else `Value #A`, `Value #B` and so on.
    Headings are always set, so that they stay where the chart renames a label. Rows are in the
    order of their ports where there are any, unless the query has an order of its own.
    """
    queried = [instant(Query(expr)).format(PromQueryFormat.TABLE) for expr in queries]
    panel = drawn(tables.Panel(), title, about, TEXT, (width, 9), queried)
    panel.override_by_regexp(".*", _settings({"custom.minWidth": 60}))
    names = [column.label for column in columns]
    _transform(panel, "filterFieldsByName", {"include": {"names": names}})
    if len(queries) > 1:
        _transform(panel, "merge", {})
    if "port" in names:
        ports = {"targetField": "port", "destinationType": "number"}
        _transform(panel, "convertFieldType", {"conversions": [ports]})
        if not any(expr.startswith("sort") for expr in queries):
            _sort(panel, "port")
    elif "severity" in names:
        _sort(panel, "severity")
    headings = {column.label: column.heading or column.label for column in columns}
    order = {name: index for index, name in enumerate(names)}
    _transform(panel, "organize", {"indexByName": order, "renameByName": headings})
    if nothing:
        # It is the whole table's, and Grafana would write it into empty cells.
        panel.override_by_field_type("string", _settings({"noValue": " "}))
    for column in columns:
        own = _LOOKS.get(column.label.partition(" ")[0], {}) | _LOOKS.get(column.heading, {})
        looks = [*_settings(own), *_cells(column.scale, column.link)]
        if looks:
            panel.override_by_name(column.heading or column.label, looks)
    return or_text(panel, nothing)


def alerts(where: str, files: Sequence[str] = (), about: str = "") -> Panel:
    """The firing alerts of all rules, or of those in these files, and since when."""
    about = about or "The alerts of this product's rules that fire, and since when."
    columns = (
        Column("severity", scale=SEVERITY),
        Column("alertname", "alert", link=ALERT_TO_RUNBOOK),
        *map(Column, ("scope", "name", "cluster", "namespace")),
        Column("pod", link=TO_PROXY),
        *map(Column, ("revision", "instance")),
        Column("cause", link=TO_RUNBOOK),
        Column("Value", "since", SINCE),
    )
    nothing = "No alert is firing, or no rules are loaded"
    return table("Firing alerts", about, [firing(where, files)], columns, WIDTH, nothing).height(7)


def ports_matrix(
    title: str, about: str, expr: str, rows: Sequence[str], scale: Scale, column: int = 80
) -> Panel:
    """A column of so many pixels for each port, and a row for each combination of these labels."""
    joined = ", ".join(f'"{label}"' for label in rows)
    named = f'label_join({expr}, "row", " ", {joined})'
    queried = [instant(Query(named)).format(PromQueryFormat.TABLE)]
    panel = drawn(tables.Panel(), title, about, TEXT, (WIDTH, 9), queried)
    _transform(panel, "filterFieldsByName", {"include": {"names": ["row", "port", "Value"]}})
    ports = {"targetField": "port", "destinationType": "number"}
    _transform(panel, "convertFieldType", {"conversions": [ports]})
    _sort(panel, "port")
    axes = {"rowField": "row", "columnField": "port", "valueField": "Value", "emptyValue": "null"}
    _transform(panel, "groupingToMatrix", axes)
    _sort(panel, "row\\port")
    _transform(panel, "organize", {"renameByName": {"row\\port": " and ".join(rows[-1:])}})
    looks = [*_settings({"custom.width": column}), *_cells(scale, None)]
    return panel.override_by_field_type("number", looks)


def _transform(panel: Panel, name: str, options: dict[str, Any]) -> None:
    panel.with_transformation(model.DataTransformerConfig(id_val=name, options=options))


def _sort(panel: Panel, field: str) -> None:
    _transform(panel, "sortBy", {"sort": [{"field": field}]})


def _cells(scale: Scale | None, link: tuple[str, str] | None) -> list[model.DynamicConfigValue]:
    looks: dict[str, Any] = {}
    if scale:
        looks["unit"] = scale.unit
        looks["thresholds"] = scale.thresholds
        looks["mappings"] = scale.cell_mappings
    if scale and (scale.words or len(scale.steps) > 1):
        looks["custom.cellOptions"] = {"type": "color-background", "mode": "basic"}
    if link:
        looks["links"] = [_link(*link)]
    return _settings(looks)


def _settings(looks: dict[str, Any]) -> list[model.DynamicConfigValue]:
    return [model.DynamicConfigValue(id_val=name, value=value) for name, value in looks.items()]


def _link(title: str, url: str) -> dict[str, Any]:
    return {"title": title, "url": url, "targetBlank": url.startswith("${runbooks}")}
