"""A real Prometheus scrapes the exporter: it names the broken pods, and no others.

The same pods through Debian's blackbox exporter show what status codes and connects say.
"""

import contextlib
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping

import pytest
import yaml

from tests.real.pod import Pod, Shape, running
from tests.real.programs import exporting, fetch, free_address, serving, wait_for
from tests.real.prometheus import query, scraping, target

pytestmark = pytest.mark.real("prometheus", "promtool", "prometheus-blackbox-exporter")

SHAPES = {
    "permissive": Shape(),
    "strict": Shape(strict=True),
    "envoy-stopped": Shape(),
    "agent-killed": Shape(),
    "redirection-missing": Shape(),
    "status-port-taken": Shape(taken=(15020,)),
}
FAULTS = {
    "envoy-stopped": "envoy_stuck",
    "agent-killed": "agent_gone",
    "redirection-missing": "redirection_missing",
    "status-port-taken": "port_taken",
}
DOWN = {
    ("envoy-stopped", "15000"),
    ("envoy-stopped", "15006"),
    ("envoy-stopped", "15021"),
    ("envoy-stopped", "15090"),
    ("agent-killed", "15020"),
    ("status-port-taken", "15020"),
}
LIES = (
    ("permissive", "tcp_connect", 9999, "", "nobody listens there"),
    ("envoy-stopped", "http_2xx", 15020, "/healthz/ready", "Envoy serves nothing"),
    ("status-port-taken", "http_2xx", 15021, "/healthz/ready", "an application answers for it"),
    ("redirection-missing", "http_2xx", 15021, "/healthz/ready", "mTLS is bypassed"),
)
"""What the blackbox exporter calls successful: pod, module, port, path, and what is true."""


@pytest.fixture(scope="module")
def mesh(machine: None) -> Iterator[dict[str, Pod]]:  # noqa: ARG001 - cleaned before the first pod
    """Two healthy pods and four broken ones."""
    with running(SHAPES) as pods:
        pods["envoy-stopped"].freeze("envoy")
        pods["agent-killed"].kill("agent")
        pods["redirection-missing"].network.release()
        yield pods


@pytest.fixture(scope="module")
def exporter(mesh: Mapping[str, Pod], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The exporter's `serve` on these pods; its address."""
    folder = tmp_path_factory.mktemp("exporter")
    address = free_address()
    targets = [
        {"namespace": "real", "pod": name, "role": "sidecar", "address": pod.address}
        for name, pod in mesh.items()
    ]
    config = {
        "discovery": {"kubernetes": {"enabled": False}, "static": {"files": ["targets.yaml"]}},
        "poll": {
            "interval": "1s",
            "detail_interval": "2s",
            "page_interval": "2s",
            "identity_interval": "4s",
            "timeout": "500ms",
        },
    }
    (folder / "targets.yaml").write_text(yaml.safe_dump(targets))
    with exporting(folder, config, address):
        yield address


@pytest.fixture(scope="module")
def prometheus(exporter: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Debian's Prometheus, scraping the exporter every second; its address."""
    with scraping(tmp_path_factory.mktemp("prometheus"), target(exporter)) as address:
        yield address


@pytest.fixture(scope="module")
def blackbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Debian's blackbox exporter with its two plainest modules; its address."""
    folder = tmp_path_factory.mktemp("blackbox")
    modules = {
        "tcp_connect": {"prober": "tcp", "timeout": "2s"},
        "http_2xx": {"prober": "http", "timeout": "2s"},
    }
    (folder / "blackbox.yml").write_text(yaml.safe_dump({"modules": modules}))
    address = free_address()
    command = (
        "prometheus-blackbox-exporter",
        f"--config.file={folder}/blackbox.yml",
        f"--web.listen-address={address}",
    )
    with serving(folder / "out", address, *command):
        yield address


def labels(address: str, expression: str) -> list[dict[str, str]]:
    """The labels of every series that Prometheus finds."""
    return [row["metric"] for row in query(address, expression)]


def test_prometheus_names_exactly_the_broken_pods(prometheus: str) -> None:
    def faults() -> dict[str, str]:
        rows = labels(prometheus, 'istio_target_diagnosis{class="fault"} == 1')
        return {row["pod"]: row["cause"] for row in rows}

    def down() -> set[tuple[str, str]]:
        return {(row["pod"], row["port"]) for row in labels(prometheus, "istio_port_up == 0")}

    with contextlib.suppress(AssertionError):
        wait_for(lambda: (faults(), down()) == (FAULTS, DOWN), "what is true")
    assert faults() == FAULTS
    assert down() == DOWN
    assert {row["pod"] for row in labels(prometheus, "istio_port_up")} == set(SHAPES)


@pytest.mark.parametrize("accept", ["text/plain", "application/openmetrics-text; version=1.0.0"])
def test_promtool_has_nothing_to_say(exporter: str, accept: str) -> None:
    request = urllib.request.Request(f"http://{exporter}/metrics", headers={"Accept": accept})
    with urllib.request.urlopen(request, timeout=5) as answer:
        page, kind = answer.read(), answer.headers["Content-Type"]
    assert kind.startswith(accept.partition(";")[0])
    if kind.startswith("text/plain"):
        done = subprocess.run(
            ("promtool", "check", "metrics"), input=page, capture_output=True, check=False
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_blackbox_exporter_calls_each_of_them_successful(
    mesh: Mapping[str, Pod], exporter: str, blackbox: str, say: Callable[[str], None]
) -> None:
    rows, succeeded = [], []
    for name, module, port, path, truth in LIES:
        probed = f"{mesh[name].address}:{port}{path}"
        requested = urllib.parse.urlencode({"target": probed, "module": module})
        page = fetch(f"http://{blackbox}/probe?{requested}") or b""
        succeeded.append(b"\nprobe_success 1" in page)
        shown = FAULTS.get(name, f"no verdict on {port}: captured")
        rows.append(
            f"{name:20} {module:12} {port:6} {'success' if succeeded[-1] else 'failure'}"
            f"   true: {truth:30} this exporter: {shown}"
        )
    for row in rows:
        say(row)
    assert succeeded == [True] * len(LIES)
    page = (fetch(f"http://{exporter}/metrics") or b"").decode()
    assert 'port="9999"' not in page
