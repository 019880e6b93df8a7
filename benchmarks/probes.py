"""CPU per probe: the whole serving exporter beside a bare loop, blackbox_exporter and wrk.

All ask the same ports of one Envoy on the same 3,000 loopback addresses, each probe on a fresh
connection, and take turns in one run; a turn's figures are compared with the same turn's. With
one address instead, the ephemeral ports run out and everybody measures the kernel's search for
a free one. Who has no turn is stopped.

All go at the same pace: the fewer probes a second, the more wake-ups and cold caches each one
pays for (seen: wrk 85 us a request at 1,500 a second, 48 at full speed).

The exporter polls each target's six ports (as a sidecar has) at the default ratio of its three
cadences; all that its process uses counts: scheduling, diagnosis, rendering. blackbox_exporter
is asked as Prometheus asks, over kept connections, and only its own process counts. The floor is
an epoll loop in Python that makes the same system calls and nothing else; wrk, a C client that
does nothing else, is there to compare with only.
"""

import json
import os
import re
import signal
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks import envoy
from benchmarks.floor import address_of
from benchmarks.processes import (
    Failed,
    awake,
    cpu_seconds,
    free_port,
    run_measured,
    running,
    wait_for_port,
)

TARGETS = 3000
ROUNDS = 5
PACE = 1500
"""Probes a second of each side, about: what blackbox_exporter still manages on one core."""

INTERVAL = TARGETS * len(envoy.PORTS) / PACE
TURN_SECONDS = 2
OUR_TURN_SECONDS = INTERVAL
"""Every target is polled once, and the page is read once: rendering it is part of the figure."""

WARM_UP_SECONDS = 2 * INTERVAL
"""A target's first polls learn what the later ones know, and happen once."""

SETTLE_SECONDS = 4.5
"""Whoever was stopped catches up with what it missed before it is measured."""

CONNECTIONS = 15
PAUSE_MILLISECONDS = 1000 * CONNECTIONS // PACE
HTTP_LIMIT, FLOOR_LIMIT, TCP_LIMIT = 1 / 8, 1.6, 1 / 9
LATE_LIMIT = 0.01
_STATS_PATH = "/stats/prometheus?usedonly&filter=%5Eserver.(live%7Cstate)%24"
_HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Figures:
    """CPU microseconds per probe by turn, and the share of polls that began over 1 s late."""

    ours: tuple[float, ...]
    blackbox: tuple[float, ...]
    wrk: tuple[float, ...]
    floor: tuple[float, ...]
    late: float

    @property
    def of_blackbox(self) -> float:
        """Ours in blackbox_exporter's: the median over the turns."""
        return _ratio(self.ours, self.blackbox)

    @property
    def of_wrk(self) -> float:
        """Ours in wrk's: the median over the turns."""
        return _ratio(self.ours, self.wrk)

    @property
    def of_floor(self) -> float:
        """Ours in the bare loop's: the median over the turns."""
        return _ratio(self.ours, self.floor)


def _ratio(ours: tuple[float, ...], theirs: tuple[float, ...]) -> float:
    return median(a / b for a, b in zip(ours, theirs, strict=True))


def measure(folder: Path, probe: str) -> Figures:
    """Measure one kind of probe, `http` or `tcp`, against a running Envoy."""
    with _exporter(folder, probe) as (pid, port), _blackbox(folder) as (their_pid, their_port):
        _check_outcomes(port)
        _, late = _our_turn(pid, port)
        time.sleep(WARM_UP_SECONDS)
        os.kill(pid, signal.SIGSTOP)
        rows = []
        for _ in range(ROUNDS):
            with awake(pid):
                time.sleep(SETTLE_SECONDS)
                ours, _ = _our_turn(pid, port)
            with awake(their_pid):
                theirs = _blackbox_turn(folder, their_pid, their_port, probe)
            http = probe == "http"
            wrk, floor = (_wrk_turn(folder), _floor_turn(folder)) if http else (0.0, 0.0)
            rows.append((ours, theirs, wrk, floor))
    ours_by_turn, theirs_by_turn, wrk_by_turn, floor_by_turn = zip(*rows, strict=True)
    return Figures(ours_by_turn, theirs_by_turn, wrk_by_turn, floor_by_turn, late)


# --- The exporter ------------------------------------------------------------------------


def _configuration(probe: str, port: int) -> dict[str, object]:
    settings = {
        "status_port": envoy.AGENT,
        "health_port": envoy.READINESS,
        "stats_port": envoy.STATS,
    }
    own = envoy.APPLICATION if probe == "http" else envoy.PORTS
    targets = [
        {
            "pod": f"web-{index}",
            "role": "gateway",
            "address": address_of(index),
            "settings": settings,
        }
        for index in range(TARGETS)
    ]
    return {
        "discovery": {"kubernetes": {"enabled": False}, "static": {"targets": targets}},
        "poll": {
            "interval": f"{INTERVAL:g}s",
            "detail_interval": f"{4 * INTERVAL:g}s",
            "identity_interval": f"{120 * INTERVAL:g}s",
            "exposure": False,
        },
        "ports": [{"port": number, "role": "gateway", "probe": probe} for number in own],
        "web": {"listen_address": f"127.0.0.1:{port}"},
        "log": {"level": "warning"},
    }


@contextmanager
def _exporter(folder: Path, probe: str) -> Iterator[tuple[int, int]]:
    """Serve until the end; yields pid and port once every target was polled."""
    port = free_port()
    configuration = folder / f"exporter-{probe}.yaml"
    configuration.write_text(json.dumps(_configuration(probe, port)))
    program = Path(sys.executable).with_name("istio-port-exporter")
    command = (program, "serve", "--config.file", configuration)
    with running(folder / f"exporter-{probe}.log", *command) as pid:
        wait_for_port(port)
        _wait_until_polled(port)
        yield pid, port


def _wait_until_polled(port: int) -> None:
    """Wait for the exporter's own word that every target was polled once."""
    give_up = time.monotonic() + 60
    while time.monotonic() < give_up:
        time.sleep(0.25)
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/-/ready", timeout=5).close()
        except OSError:
            continue
        return
    raise Failed("the exporter has not polled every target within 60 s")


def _check_outcomes(port: int) -> None:
    """Raise Failed unless every port of every target is up: failures are not what is compared."""
    up = Counter(re.findall(r'port="(\d+)".* 1$', _page(port, "istio_port_up"), re.MULTILINE))
    for number in envoy.PORTS:
        if up[str(number)] != TARGETS:
            raise Failed(f"port {number} is up on {up[str(number)]} of {TARGETS} targets")


def _our_turn(pid: int, port: int) -> tuple[float, float]:
    """Microseconds of CPU per probe, and the share of polls that began over a second late."""
    before, cpu = _counters(port), cpu_seconds(pid)
    time.sleep(OUR_TURN_SECONDS)
    after, used = _counters(port), cpu_seconds(pid) - cpu
    probes, polls, punctual = (b - a for a, b in zip(before, after, strict=True))
    if not probes or not polls:
        raise Failed("the exporter has made no probe in its turn")
    return used / probes * 1e6, 1 - punctual / polls


def _counters(port: int) -> tuple[float, ...]:
    """Probes, polls, and polls that began within a second, so far."""
    lateness = "istio_port_exporter_poll_lateness_seconds"
    page = _page(port, "istio_port_exporter_probes_total", lateness)
    names = (
        "istio_port_exporter_probes_total",
        f"{lateness}_count",
        f'{lateness}_bucket{{le="1.0"}}',
    )
    rows = dict(line.rsplit(" ", 1) for line in page.splitlines() if not line.startswith("#"))
    return tuple(float(rows[name]) for name in names)


def _page(port: int, *names: str) -> str:
    query = "&".join(f"name[]={name}" for name in names)
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics?{query}", timeout=20) as page:
        return str(page.read().decode())


# --- blackbox_exporter and wrk -----------------------------------------------------------


@contextmanager
def _blackbox(folder: Path) -> Iterator[tuple[int, int]]:
    """Serve until the end, stopped once it has shown that its probes succeed."""
    port = free_port()
    configuration = folder / "blackbox.yaml"
    modules = {"http_2xx": {"prober": "http"}, "tcp_connect": {"prober": "tcp"}}
    configuration.write_text(json.dumps({"modules": modules}))
    command = (
        "prometheus-blackbox-exporter",
        f"--config.file={configuration}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=error",
    )
    with running(folder / "blackbox.log", *command) as pid:
        wait_for_port(port)
        for number in envoy.PORTS:
            _check_blackbox(port, "http_2xx", f"{address_of(7)}:{number}/healthz/ready")
            _check_blackbox(port, "tcp_connect", f"{address_of(7)}:{number}")
        os.kill(pid, signal.SIGSTOP)
        yield pid, port


def _check_blackbox(port: int, module: str, target: str) -> None:
    url = f"http://127.0.0.1:{port}/probe?module={module}&target={target}"
    with urllib.request.urlopen(url, timeout=20) as page:
        if "probe_success 1" not in page.read().decode():
            raise Failed(f"blackbox_exporter does not succeed with {module} on {target}")


def _blackbox_turn(folder: Path, pid: int, port: int, probe: str) -> float:
    module, path = ("http_2xx", "/healthz/ready") if probe == "http" else ("tcp_connect", "")
    before = cpu_seconds(pid)
    _, requests = _wrk(folder, "blackbox.lua", port, module, path)
    return (cpu_seconds(pid) - before) / requests * 1e6


def _floor_turn(folder: Path) -> float:
    """The bare loop asks what the exporter asks most of the time."""
    paths = {envoy.STATS: _STATS_PATH, **dict.fromkeys(envoy.APPLICATION, "/")}
    asked = (f"{port}:{paths.get(port, '/healthz/ready')}" for port in envoy.PORTS)
    pause = len(envoy.PORTS) / PACE
    command = (sys.executable, _HERE / "floor.py", TURN_SECONDS, pause, TARGETS, *asked)
    return float(run_measured(folder / "floor.log", *command)[1])


def _wrk_turn(folder: Path) -> float:
    cpu, requests = _wrk(folder, "spread.lua", envoy.READINESS)
    return cpu / requests * 1e6


def _wrk(folder: Path, script: str, port: int, *arguments: str) -> tuple[float, int]:
    """Run wrk with a script for a turn: its CPU seconds, and how many requests it made."""
    cpu, printed = run_measured(
        folder / "wrk.log",
        *("wrk", "-t1", f"-c{CONNECTIONS}", f"-d{TURN_SECONDS}s", "-s", _HERE / script),
        *(f"http://127.0.0.1:{port}/healthz/ready", "--"),
        *(PAUSE_MILLISECONDS, TARGETS, *arguments, *envoy.PORTS),
    )
    found = re.search(r"(\d+) requests in", printed)
    if found is None or int(found[1]) == 0 or "Non-2xx" in printed:
        raise Failed(f"wrk was not answered with 200: {printed[-500:]}")
    return cpu, int(found[1])
