"""Debian's Prometheus with the chart's rules, on this machine; it scrapes by the API server."""

import asyncio
import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import quote

import yaml

from tests.cluster.control_plane import ControlPlane
from tests.cluster.product import CHART, Exporter
from tests.real.programs import fetch, free_address, serving

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
        url = f"http://{self._address}/api/v1/query?query={quote(f'{selector}[{minutes}m]')}"
        answer = await asyncio.to_thread(fetch, url)
        assert answer, f"no answer to {selector}"
        rows = json.loads(answer)["data"]["result"]
        return [
            (row["metric"], [(float(at), value) for at, value in row["values"]]) for row in rows
        ]


@contextlib.contextmanager
def scraping(
    folder: Path, plane: ControlPlane, reporter: Exporter, alone: Mapping[str, str]
) -> Iterator[Prometheus]:
    """A Prometheus that scrapes an exporter's pod.

    `alone`: pods (regular expressions of namespace/pod) that are a mesh of their own to the rules,
    by the name of its cluster: what fails in one mesh at the same time is one outage.
    """
    folder.mkdir()
    root, certificate, key = map(str, plane.credentials)
    job = {
        "job_name": "istio-port-exporter",
        "honor_labels": True,
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
    every = f"{SECONDS}s"
    config = {
        "global": {"scrape_interval": every, "evaluation_interval": every},
        "rule_files": [str(CHART / "rules" / "*.yaml")],
        "scrape_configs": [job],
    }
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    address = free_address()
    command = (
        "prometheus",
        f"--config.file={folder}/prometheus.yml",
        f"--storage.tsdb.path={folder}/data",
        f"--web.listen-address={address}",
    )
    with serving(folder / "prometheus.log", address, *command):
        yield Prometheus(address)
