"""The dashboards of Grafana as code: `make chart` writes them as JSON into the chart.

They are made of `values`, `panels` and `page`; a file for each dashboard says what is on it.
"""

import json
from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from charts.dashboards import control_plane, exporter, overview, proxy
from charts.dashboards.page import built

FOLDER = Path(__file__).parent.parent / "istio-port-exporter" / "dashboards"
PAGES = {
    "overview.json": overview.PAGE,
    "proxy.json": proxy.PAGE,
    "control-plane.json": control_plane.PAGE,
    "exporter.json": exporter.PAGE,
}


def documents() -> dict[str, str]:
    """The text of each dashboard's file, by the file's name."""
    return {
        name: json.dumps(built(page), cls=JSONEncoder, indent=2, sort_keys=True) + "\n"
        for name, page in PAGES.items()
    }
