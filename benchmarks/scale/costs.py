"""What the exporter costs others: bytes, scrapes of applications, series, seconds of rules."""

import json
import shutil
import tempfile
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import yaml

from benchmarks.processes import Failed, running
from benchmarks.scale.mesh import Mesh
from benchmarks.scale.subject import PORT, Subject

RULES = Path(__file__).parents[2] / "charts" / "istio-port-exporter" / "rules"
_EVERY = "15s"
_EVALUATIONS_SECONDS = 75.0
"""Until each group was evaluated with samples of several scrapes."""

_PROMETHEUS = "127.0.0.1:19090"


@dataclass(frozen=True, slots=True)
class Counts:
    """What was counted until a moment: bytes that came over the network, pages of agents."""

    at: float
    received: int
    pages: int


def counts(mesh: Mesh) -> Counts:
    """The counts now; the caller is in the exporter's network namespace."""
    rows = Path("/proc/thread-self/net/dev").read_text().splitlines()[2:]
    received = (row.split(":")[1].split()[0] for row in rows if not row.strip().startswith("lo:"))
    return Counts(time.monotonic(), sum(map(int, received)), mesh.pages())


def per_second(before: Counts, after: Counts) -> dict[str, float]:
    """Bytes and pages a second."""
    seconds = after.at - before.at
    return {
        "received": (after.received - before.received) / seconds,
        "pages": (after.pages - before.pages) / seconds,
    }


def series(subject: Subject) -> int:
    """The samples of a scrape."""
    page = subject.get("/metrics").body
    return sum(not line.startswith(b"#") for line in page.splitlines())


def rule_seconds(folder: Path) -> dict[str, float]:
    """Seconds that Prometheus takes for each group of the chart's rules; none without one."""
    program = shutil.which("prometheus")
    if program is None:
        return {}
    with tempfile.TemporaryDirectory(dir=folder) as name:
        data = Path(name)
        configuration = _configuration()
        (data / "prometheus.yml").write_text(yaml.safe_dump(configuration))
        options = (
            f"--config.file={data}/prometheus.yml",
            f"--storage.tsdb.path={data}/data",
            f"--web.listen-address={_PROMETHEUS}",
        )
        with running(data / "log", program, *options):
            time.sleep(_EVALUATIONS_SECONDS)
            return _evaluated()


def _configuration() -> dict[str, object]:
    job = {
        "job_name": "istio-ports",
        "honor_labels": True,
        "static_configs": [{"targets": [f"127.0.0.1:{PORT}"]}],
    }
    return {
        "global": {"scrape_interval": _EVERY, "evaluation_interval": _EVERY},
        "rule_files": [str(file) for file in sorted(RULES.glob("*.yaml"))],
        "scrape_configs": [job],
    }


def _evaluated() -> dict[str, float]:
    with urllib.request.urlopen(f"http://{_PROMETHEUS}/api/v1/rules", timeout=10) as answer:
        groups = json.load(answer)["data"]["groups"]
    if not groups:
        raise Failed("Prometheus has loaded no rules")
    return {group["name"]: float(group["evaluationTime"]) for group in groups}
