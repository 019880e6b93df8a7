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
    by the name of its cluster: what fails in one mesh at the same time is one outage. Each mesh has
    the exporter's own metrics, too, by which the rules know of a scrape that was missed.
    """
    root, certificate, key = map(str, plane.credentials)
    address = plane.url.removeprefix("https://")
    job = {
        "job_name": "istio-port-exporter",
        "scheme": "https",
        "metrics_path": f"{reporter.path}/metrics",
        "tls_config": {"ca_file": root, "cert_file": certificate, "key_file": key},
        "static_configs": [
            {"targets": [address], "labels": labels}
            for labels in ({}, *({"cluster": name} for name in alone))
        ],
        "metric_relabel_configs": list(_apart(alone)),
    }
    rules = [str(CHART / "rules" / "*.yaml")]
    with scraping(folder, job, every=f"{SECONDS}s", rule_files=rules) as address:
        yield Prometheus(address)


def _apart(alone: Mapping[str, str]) -> Iterator[Labels]:
    """Relabelling that leaves each mesh its own pods, and all others the rest of them."""
    rows = {"source_labels": ["cluster", "namespace", "pod"], "separator": "/"}
    every = "|".join(alone.values())
    own = "|".join(f"{name}/({pods}|/)" for name, pods in alone.items())
    yield {**rows, "action": "drop", "regex": f"/({every})"}
    yield {**rows, "action": "keep", "regex": f"/.*|{own}"}
