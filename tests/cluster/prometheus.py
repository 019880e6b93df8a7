"""Debian's Prometheus with the chart's rules, on this machine; it scrapes by the API server."""

import asyncio
import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.cluster.control_plane import ControlPlane
from tests.cluster.product import CHART, Exporter
from tests.real.prometheus import query, scraping

SECONDS = 30
"""Between two scrapes, and between two evaluations of the rules."""
Labels = Mapping[str, str]
Series = tuple[Labels, list[tuple[float, str]]]
"""Labels, and samples: when (seconds since the epoch), and the value."""


class Prometheus:
    """What it has stored."""

    def __init__(self, address: str) -> None:
        self._address = address

    async def samples(self, selector: str, minutes: int = 60) -> list[Series]:
        """All samples of some series in the last minutes, as they were stored."""
        rows = await asyncio.to_thread(query, self._address, f"{selector}[{minutes}m]")
        return [
            (row["metric"], [(float(at), value) for at, value in row["values"]]) for row in rows
        ]


@contextlib.contextmanager
def scraping_pod(
    folder: Path, plane: ControlPlane, reporter: Exporter, alone: Mapping[str, str]
) -> Iterator[Prometheus]:
    """A Prometheus that scrapes an exporter's pod.

    `alone`: pods (regular expressions of namespace/pod) that are a mesh of their own to the rules,
    by the name of its cluster: what fails in one mesh at the same time is one outage.
    """
    root, certificate, key = map(str, plane.credentials)
    job = {
        "job_name": "istio-port-exporter",
        "scheme": "https",
        "metrics_path": f"{reporter.path}/metrics",
        "tls_config": {"ca_file": root, "cert_file": certificate, "key_file": key},
        "static_configs": [{"targets": [plane.url.removeprefix("https://")]}],
        "metric_relabel_configs": [
            {
                "source_labels": ["namespace", "pod"],
                "separator": "/",
                "regex": pods,
                "target_label": "cluster",
                "replacement": name,
            }
            for name, pods in alone.items()
        ],
    }
    rules = [str(CHART / "rules" / "*.yaml")]
    with scraping(folder, job, every=f"{SECONDS}s", rule_files=rules) as address:
        yield Prometheus(address)
