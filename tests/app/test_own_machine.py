"""What the exporter's own machine does to it: no descriptors, no local ports, a stop, a full disk.

None of it is a target's fault, and it ends with its reason.
"""

import json
import os
import signal
import socket
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import PIPE, Popen

import pytest

from tests.app.test_session import Served, serving, until
from tests.real.network import run

CONFIG = """
discovery: {kubernetes: {enabled: false}, static: {files: [targets.yaml]}}
poll: {interval: 1s, detail_interval: 2s, timeout: 400ms}
web: {listen_address: "127.0.0.1:0"}
"""
AGENT = """
import asyncio, sys
PAGE = b"HTTP/1.1 200 OK\\r\\nContent-Length: %d\\r\\n\\r\\n%s"
async def serve(reader, writer):
    try:
        while True:
            head = await reader.readuntil(b"\\r\\n\\r\\n")
            body = b"istio_agent_scrapes_total 1\\n" if b"/stats" in head else b""
            await asyncio.sleep(0 if b"/stats" in head else float(sys.argv[2]))
            writer.write(PAGE % (len(body), body))
    except (OSError, asyncio.IncompleteReadError):
        writer.close()
async def main():
    await asyncio.start_server(serve, "0.0.0.0", int(sys.argv[1]), backlog=4096)
    print(flush=True)
    await asyncio.Event().wait()
asyncio.run(main())
"""


@contextmanager
def agents(*before: str, port: int, seconds: float = 0.0) -> Iterator[None]:
    """One process that answers for all agents, each after so many seconds."""
    command = [*before, sys.executable, "-c", AGENT, str(port), str(seconds)]
    with Popen(command, stdout=PIPE) as process:
        assert process.stdout
        try:
            process.stdout.readline()
            yield
        finally:
            process.kill()


def targets(count: int, port: int) -> str:
    return "".join(
        f"- {{namespace: shop, pod: p{n}, role: proxyless, address: 127.0.13.{n % 250 + 1}, "
        f"settings: {{status_port: {port}}}}}\n"
        for n in range(count)
    )


def causes(served: Served) -> dict[str, str]:
    """How many targets have which cause, with its class."""
    status, page = served.get("/api/v1/summary")
    assert status == 200
    return {row["cause"]: row["class"] for row in json.loads(page)["causes"]}


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def test_without_descriptors_no_target_is_at_fault_and_the_page_is_served(
    tmp_path: Path, port: int
) -> None:
    patient = CONFIG.replace("1s", "3s").replace("2s", "6s").replace("400ms", "2900ms")
    few = ("prlimit", "--nofile=256:256")
    seen: dict[str, str] = {}
    with (
        agents(port=port, seconds=0.8),
        serving(tmp_path, patient, targets(1200, port), few) as served,
    ):
        for _ in range(6):
            time.sleep(0.5)
            seen |= causes(served)
            assert served.get("/-/healthy")[0] == 200
            assert served.get("/metrics")[0] == 200
        assert "Traceback" not in served.log.read_text()
    assert seen == {"unknown": "exporter"}


WITHOUT_PORTS = """
import asyncio, socket
from exporter.config import Config
from exporter.model import (EVERY_CADENCE, Memory, Role, Settings, Target, TargetKey,)
from exporter.poll.poll_target import poll_once
async def main():
    await asyncio.start_server(lambda r, w: None, "10.66.0.1", 15020)
    kept = [socket.create_connection(("10.66.0.1", 15020)) for _ in range(4)]
    target = Target(key=TargetKey("shop", "p"), role=Role.PROXYLESS, addresses=("10.66.0.1",))
    seen = await poll_once(target, Memory(), EVERY_CADENCE, Config(), 1e9)
    found = seen.record.diagnosis
    print(found.cause, found.cause_class, [v.up for v in seen.record.verdicts], found.evidence)
asyncio.run(main())
"""


@pytest.mark.real
def test_without_local_ports_no_target_is_at_fault() -> None:
    name = f"ipe-ports-{os.getpid()}"
    run("ip", "netns", "add", name)
    try:
        inside = ("ip", "netns", "exec", name)
        run(*inside, "ip", "link", "set", "lo", "up")
        run(*inside, "ip", "addr", "add", "10.66.0.1/32", "dev", "lo")
        run(*inside, "sysctl", "-w", "net.ipv4.ip_local_port_range=40000 40003")
        said = run(*inside, sys.executable, "-c", WITHOUT_PORTS)
    finally:
        run("ip", "netns", "del", name)
    assert said.startswith("unknown exporter [None]")
    assert "assign requested address" in said


def test_a_full_disk_under_its_log_ends_nothing(tmp_path: Path, port: int) -> None:
    (tmp_path / "targets.yaml").write_text(targets(20, port))
    (tmp_path / "exporter.yaml").write_text(CONFIG.replace(":0", ":10597"))
    command = [sys.executable, "-m", "exporter", "serve", "--config.file", "exporter.yaml"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with agents(port=port), Path("/dev/full").open("w") as full:
        process = Popen(command, cwd=tmp_path, env=environment, stdout=full, stderr=full)
        try:
            until(lambda: fetched("http://127.0.0.1:10597/-/ready"), "ready", 30)
            page = fetched("http://127.0.0.1:10597/metrics")
            assert page.count("istio_port_up{") == 20
            assert "istio_target_diagnosis{" not in page
            assert late_on_average(page) < 0.5
            (tmp_path / "exporter.yaml").write_text("a: [")
            process.send_signal(signal.SIGHUP)
            time.sleep(0.5)
            assert fetched("http://127.0.0.1:10597/-/healthy")
            assert process.poll() is None
        finally:
            process.kill()
            process.wait()


def late_on_average(page: str) -> float:
    """Seconds, by the exporter's own histogram."""
    name = "istio_port_exporter_poll_lateness_seconds"
    values = dict(line.split(" ") for line in page.splitlines() if line.startswith(name))
    return float(values[f"{name}_sum"]) / float(values[f"{name}_count"])


def fetched(url: str) -> str:
    """The answer's text; empty while there is none, or an error."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return str(answer.read().decode())
    except OSError:
        return ""


@pytest.mark.slow
def test_after_a_stop_of_a_minute_it_goes_on_as_before(tmp_path: Path, port: int) -> None:
    with agents(port=port), serving(tmp_path, CONFIG, targets(100, port)) as served:
        until(lambda: served.get("/-/ready")[0] == 200, "ready", 30)
        served.process.send_signal(signal.SIGSTOP)
        time.sleep(60)
        served.process.send_signal(signal.SIGCONT)
        for _ in range(20):
            assert causes(served) == {}, "our own stop is no silence of theirs"
            time.sleep(0.1)
        until(lambda: served.get("/metrics")[1].count("istio_port_up{") == 100, "all are back", 5)
        polls = "istio_port_exporter_poll_lateness_seconds_sum"
        before = served.samples()[polls, ""]
        time.sleep(3)
        assert served.samples()[polls, ""] - before < 300 * 0.5, "nobody is late any more"
