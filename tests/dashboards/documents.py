"""The committed dashboards: their panels and queries, as Grafana would read them."""

import json
from typing import Any, NamedTuple

from charts.dashboards import FOLDER

Document = dict[str, Any]


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


def panels(dashboard: Document) -> list[Document]:
    """The panels that show something: all but the rows."""
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def queries() -> list[Asked]:
    """Every query of every panel."""
    return [
        Asked(file, panel["title"], target["refId"], target["expr"])
        for file, dashboard in dashboards().items()
        for panel in panels(dashboard)
        for target in panel["targets"]
    ]
