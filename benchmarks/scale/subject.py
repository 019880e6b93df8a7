"""The exporter under measurement: a process, its metrics over HTTP, and /proc.

Nothing of it is imported, so that any revision, or any other command, can take its place.
"""

import http.client
import json
import re
import shlex
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.processes import Failed, cpu_seconds, running
from benchmarks.scale.namespaces import address_of

INTERVAL = 15.0
_CADENCES = {"interval": INTERVAL, "detail_interval": 60.0, "identity_interval": 1800.0}
PORT = 10520
"""Where it serves, on loopback of its own namespace."""

_SELF = "istio_port_exporter"
_POLLS, _SKIPPED, _PROBES = f"{_SELF}_polls", f"{_SELF}_polls_skipped", f"{_SELF}_probes"
_LATENESS, _LAG = f"{_SELF}_poll_lateness_seconds", f"{_SELF}_event_loop_lag_seconds"
_TASKS = f"{_SELF}_tasks"
_FAMILIES = (_POLLS, _SKIPPED, _PROBES, _LATENESS, _LAG, _TASKS)
_BUCKET = re.compile(r'^(\w+)_bucket\{le="([^"]+)"\} (\S+)$', re.MULTILINE)
_COUNTER = re.compile(r"^(\w+)_total (\S+)$", re.MULTILINE)
_TASK_COUNT = re.compile(rf"^{_TASKS} (\S+)$", re.MULTILINE)
_START_SECONDS = 240.0


@dataclass(frozen=True, slots=True)
class Reading:
    """The counters at one moment."""

    at: float
    cpu: float
    polls: float
    skipped: float
    probes: float
    lateness: dict[float, float] = field(default_factory=dict)
    lag: dict[float, float] = field(default_factory=dict)
    tasks: float = 0.0


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer to a request: when its first and last byte came, in seconds, and its size."""

    status: int
    first: float
    seconds: float
    body: bytes


@dataclass(frozen=True, slots=True)
class Subject:
    """A running exporter on a port of loopback; `folder` has its files."""

    pid: int
    folder: Path
    port: int

    def read(self) -> Reading:
        """The counters now."""
        query = "&".join(f"name[]={name}" for name in _FAMILIES)
        page = self.get(f"/metrics?{query}").body.decode()
        at = time.monotonic()
        counters = {name: float(value) for name, value in _COUNTER.findall(page)}
        buckets: dict[str, dict[float, float]] = {_LATENESS: {}, _LAG: {}}
        for name, bound, value in _BUCKET.findall(page):
            if name in buckets:
                buckets[name][float(bound)] = float(value)
        try:
            counted = (counters[_POLLS], counters[_SKIPPED], counters[_PROBES])
        except KeyError as error:
            raise Failed(f"/metrics lacks {error}_total") from error
        tasks = float(next(iter(_TASK_COUNT.findall(page)), 0))
        late, lag = buckets[_LATENESS], buckets[_LAG]
        return Reading(at, cpu_seconds(self.pid), *counted, late, lag, tasks)

    def get(self, path: str, *, gzip: bool = False) -> Answer:
        """A GET on a fresh connection; Failed unless it is answered 200."""
        return self._ask("GET", path, {"Accept-Encoding": "gzip" if gzip else "identity"})

    def reload(self) -> Answer:
        """Have it read its configuration again; answered when it has."""
        return self._ask("POST", "/-/reload", {})

    def is_ready(self) -> bool:
        """Whether it says that every target was polled once."""
        try:
            self.get("/-/ready")
        except (Failed, OSError):
            return False
        return True

    def health(self) -> tuple[float, dict[str, int]]:
        """The share of targets that it finds healthy, and how many have which cause."""
        summary = json.loads(self.get("/api/v1/summary").body)
        causes = {row["cause"]: row["targets"] for row in summary["causes"]}
        return summary["states"].get("healthy", 0) / summary["targets"], causes

    def waited(self) -> float:
        """Seconds that its main thread was ready to run and others had the cores."""
        return int(Path(f"/proc/{self.pid}/schedstat").read_text().split()[1]) / 1e9

    def has_ended(self) -> bool:
        """Whether the process has, though nobody has collected it yet."""
        return ") Z " in Path(f"/proc/{self.pid}/stat").read_text()

    def log(self) -> str:
        """What it said last."""
        return (self.folder / "exporter.log").read_text()[-500:]

    def memory(self, field_name: str = "VmRSS") -> float:
        """Bytes of its memory that are resident, or were at most (VmHWM)."""
        rows = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return next(float(row.split()[1]) * 1024 for row in rows if row.startswith(field_name))

    def forget_peak(self) -> None:
        """Let VmHWM begin anew (proc(5), clear_refs)."""
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")

    def _ask(self, method: str, path: str, headers: dict[str, str]) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        begin = time.monotonic()
        try:
            connection.request(method, path, headers=headers)
            answer = connection.getresponse()
            first = time.monotonic() - begin
            body = answer.read()
        except http.client.HTTPException as error:
            raise Failed(f"{path}: {error!r}") from error
        finally:
            connection.close()
        if answer.status != 200:
            raise Failed(f"{method} {path} was answered {answer.status}: {body[:200]!r}")
        return Answer(answer.status, first, time.monotonic() - begin, body)


def command_of(given: str) -> tuple[str, ...]:
    """The command that `--exporter` means: a checkout with a .venv, or a command line."""
    if not given:
        return (str(Path(sys.executable).with_name("istio-port-exporter")),)
    if Path(given).is_dir():
        return (str(Path(given).resolve() / ".venv" / "bin" / "istio-port-exporter"),)
    return tuple(shlex.split(given))


SIDECAR = "role: sidecar, captured: true"
AMBIENT = "role: ambient, settings: {application_ports: [8080]}"


def write_targets(
    folder: Path, names: Iterable[tuple[int, str]], description: str = SIDECAR
) -> None:
    """The file of targets, alike but for index of their address, and name."""
    rows = [
        f"- {{namespace: team-{index % 40}, pod: {name}, {description}, "
        f"address: {address_of(index)}, istio_version: 1.28.3, "
        f"node: node-{index % 200}, workload: web-{index % 400}}}"
        for index, name in names
    ]
    fresh = folder / "targets.new"
    fresh.write_text("\n".join(rows) + "\n")
    fresh.rename(folder / "targets.yaml")


def pods(count: int) -> list[tuple[int, str]]:
    """So many targets as `write_targets` takes them."""
    return [(index, f"web-{index % 400}-6d4f8c7b9d-{index:05d}") for index in range(count)]


@contextmanager
def serving(folder: Path, command: tuple[str, ...], port: int = PORT) -> Iterator[Subject]:
    """Run it on folder/targets.yaml until the end; yielded as soon as it runs."""
    configuration = folder / "exporter.json"
    configuration.write_text(json.dumps(_configuration(port)))
    arguments = ("serve", "--config.file", configuration)
    with running(folder / "exporter.log", *command, *arguments) as pid:
        yield Subject(pid, folder, port)


def wait_until_ready(subject: Subject) -> float:
    """The seconds until every target was polled once. Raises Failed."""
    begin = time.monotonic()
    while not subject.is_ready():
        time.sleep(0.1)
        if subject.has_ended():
            raise Failed(f"the exporter has ended: {subject.log()}")
        if time.monotonic() - begin > _START_SECONDS:
            raise Failed(f"not every target was polled in {_START_SECONDS:g} s: {subject.log()}")
    return time.monotonic() - begin


def _configuration(port: int) -> dict[str, object]:
    return {
        "discovery": {
            "kubernetes": {"enabled": False},
            "static": {"files": ["targets.yaml"]},
        },
        "poll": {name: f"{seconds:g}s" for name, seconds in _CADENCES.items()},
        "web": {"listen_address": f"127.0.0.1:{port}", "enable_reload": True},
        "log": {"level": "warning"},
    }
