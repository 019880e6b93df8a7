"""The serving process as a whole: start, reload, a file that breaks, shutdown."""

import asyncio
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from exporter.app import is_in_mesh

TARGET = "- {namespace: shop, pod: %s, role: proxyless, address: 127.0.0.9}\n"
CONFIG = """
discovery: {kubernetes: {enabled: false}, static: {files: [targets.yaml]}}
poll: {interval: 300ms, detail_interval: 600ms, timeout: 100ms}
web: {listen_address: "127.0.0.1:0"}
"""


class Served:
    """A serving process, its log and its address."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = folder / "exporter.yaml"
        self.targets = folder / "targets.yaml"
        self.log = folder / "log"
        self.config.write_text(CONFIG)
        self.targets.write_text(TARGET % "cart")
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "exporter.cli", "serve", "--config.file", self.config],
                stderr=log,
                stdout=log,
                cwd=folder,
                env={**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)},
            )
        until(lambda: "listening address=" in self.log.read_text(), "listens")
        self.address = self.log.read_text().split("listening address=")[1].split()[0]

    def get(self, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://{self.address}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def samples(self) -> dict[tuple[str, str], float]:
        """The value by sample name and pod (or file), of the last label set."""
        found = {}
        for family in text_string_to_metric_families(self.get("/metrics")[1]):
            for sample in family.samples:
                label = sample.labels.get("pod") or Path(sample.labels.get("file", "")).name
                found[sample.name, label] = sample.value
        return found


def until(condition: Callable[[], bool], what: str, seconds: float = 15.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"did not happen: {what}"
        time.sleep(0.05)


@contextmanager
def serving(folder: Path) -> Iterator[Served]:
    served = Served(folder)
    try:
        yield served
    finally:
        served.process.kill()
        served.process.wait()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with serving(tmp_path) as process:
        yield process


def test_it_becomes_ready_and_serves_its_targets(served: Served) -> None:
    until(lambda: served.get("/-/ready")[0] == 200, "ready")
    assert served.get("/-/healthy")[0] == 200
    samples = served.samples()
    assert samples["istio_port_up", "cart"] == 0
    assert samples["istio_port_exporter_config_last_reload_successful", ""] == 1
    assert samples["istio_port_exporter_polls_total", ""] > 0


def test_a_changed_configuration_is_taken_on_sighup_and_a_bad_one_is_not(served: Served) -> None:
    until(lambda: served.get("/-/ready")[0] == 200, "ready")
    served.config.write_text(CONFIG + "metrics: {profile: minimal}\n")
    served.process.send_signal(signal.SIGHUP)
    until(lambda: ("istio_target_info", "cart") not in served.samples(), "the minimal profile")
    served.config.write_text("pol: {}\n")
    served.process.send_signal(signal.SIGHUP)
    name = "istio_port_exporter_config_last_reload_successful"
    until(lambda: served.samples()[name, ""] == 0, "the metric says so")
    assert served.samples()["istio_port_up", "cart"] == 0
    assert "the old one stays" in served.log.read_text()


def test_a_target_file_that_breaks_keeps_the_old_targets(served: Served) -> None:
    until(lambda: ("istio_port_up", "cart") in served.samples(), "polled")
    served.targets.write_text("- {namespace: shop, pod: cart, adress: 10.0.0.1}\n")
    name = "istio_port_exporter_discovery_file_up"
    until(lambda: served.samples()[name, "targets.yaml"] == 0, "the metric says so")
    assert ("istio_port_up", "cart") in served.samples()
    assert served.log.read_text().count("static targets kept as they were") == 1
    served.targets.write_text(TARGET % "web")
    until(lambda: ("istio_port_up", "web") in served.samples(), "mended")
    assert ("istio_port_up", "cart") not in served.samples()
    assert served.samples()[name, "targets.yaml"] == 1


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_at_once_and_cleanly(served: Served, stop: signal.Signals) -> None:
    served.process.send_signal(stop)
    assert served.process.wait(5) == 0
    assert "Traceback" not in served.log.read_text()


def test_a_taken_port_is_said_in_one_line(served: Served) -> None:
    address = f"127.0.0.1:{served.address.rpartition(':')[2]}"
    ended = subprocess.run(
        [sys.executable, "-m", "exporter.cli", "serve", "--web.listen-address", address],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parent.parent,
        timeout=30,
        check=False,
    )
    assert ended.returncode == 3
    assert f"cannot listen on {address}" in ended.stderr
    assert "Traceback" not in ended.stderr


async def test_a_sidecar_of_our_own_is_noticed() -> None:
    assert not await is_in_mesh()
    server = await asyncio.start_server(lambda _r, w: w.close(), "127.0.0.1", 15021)
    assert await is_in_mesh()
    server.close()
    await server.wait_closed()
