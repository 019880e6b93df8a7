"""The dashboards, committed and renamed: their panels and queries, as Grafana would read them."""

import json
from collections.abc import Mapping
from typing import NamedTuple

from charts.dashboards import FOLDER
from tests.charts.render import RENAMED, Document, render


class Asked(NamedTuple):
    """A query of a panel: the dashboard's file, the panel's title, the query's letter, PromQL."""

    file: str
    panel: str
    letter: str
    expr: str

    @property
    def name(self) -> str:
        return f"{self.file}: {self.panel}: {self.letter}"


def dashboards() -> dict[str, Document]:
    """Each committed dashboard by its file's name."""
    return {path.name: json.loads(path.read_text()) for path in sorted(FOLDER.iterdir())}


def rendered(labels: Mapping[str, str]) -> dict[str, str]:
    """The text of each dashboard as the chart makes it where Prometheus has these labels."""
    documents = render({"dashboards": {"enabled": True}, "sampleLabels": dict(labels)})
    held = [row["data"] for row in documents if "-dashboard-" in row["metadata"]["name"]]
    return {name: text for row in held for name, text in row.items()}


def renamed() -> dict[str, Document]:
    """Each dashboard for a Prometheus that renames the samples' labels."""
    return {name: json.loads(text) for name, text in rendered(RENAMED).items()}


def panels(dashboard: Document) -> list[Document]:
    """The panels that show something: all but the rows, with those in closed rows."""
    every = [one for panel in dashboard["panels"] for one in (panel, *panel.get("panels", ()))]
    return [panel for panel in every if panel["type"] != "row"]


def queries(boards: Mapping[str, Document] | None = None) -> list[Asked]:
    """Every query of every panel of these dashboards, or of the committed ones."""
    return [
        Asked(file, panel["title"], target["refId"], target["expr"])
        for file, dashboard in (boards or dashboards()).items()
        for panel in panels(dashboard)
        for target in panel["targets"]
    ]
