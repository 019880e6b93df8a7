"""The same number of pods in ambient: what they cost beside sidecars, and how hellos are spread.

All are unproven at once, as after a restart of the whole mesh, so each gets its hello; then only
half-open connects are left. Their addresses, redirection and control port are the sidecars'. Both
exporters poll side by side, so that neither has the machine's slow moments for itself.
"""

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.processes import Failed, running
from benchmarks.scale import subject as exporters
from benchmarks.scale.mesh import Mesh
from benchmarks.scale.namespaces import inside
from benchmarks.scale.subject import INTERVAL, Reading, Subject
from benchmarks.scale.ztunnel import PORT

MOST_TARGETS = 5_000
"""Whose hellos take 100 s at the rate that is promised."""

_SETTLE_INTERVALS, _QUIET_INTERVALS = 3, 8
_HELLOS_SECONDS = 240.0
_LISTEN = "0A"


@dataclass(slots=True)
class AmbientFigures:
    """What so many pods in ambient cost; times in seconds.

    `beside`: the CPU of a sidecar's poll at the same time. `hellos_most`: in any second. `left`:
    connections that are open when the exporter has ended.
    """

    targets: int = 0
    cpu_per_poll: float = float("nan")
    beside: float = float("nan")
    probes_per_poll: float = float("nan")
    hellos: int = 0
    hellos_most: float = float("nan")
    left: float = float("nan")
    healthy: float = 0.0


def measure(
    sidecars: Subject, command: tuple[str, ...], mesh: Mesh, targets: int
) -> AmbientFigures:
    """Measure another exporter beside that of the sidecars. Raises Failed."""
    figures = AmbientFigures(min(targets, MOST_TARGETS))
    folder = sidecars.folder / "ambient"
    folder.mkdir()
    exporters.write_targets(folder, exporters.pods(figures.targets), exporters.AMBIENT)
    hellos = sidecars.folder / "hellos"
    hellos.write_text("")
    with _ztunnel(sidecars.folder, mesh):
        with exporters.serving(folder, command, exporters.PORT + 1) as subject:
            exporters.wait_until_ready(subject)
            _wait_for_hellos(hellos, figures.targets)
            time.sleep(_SETTLE_INTERVALS * INTERVAL)
            _quiet(subject, sidecars, figures)
            figures.healthy, _ = subject.health()
        time.sleep(1)
        figures.left = _left(mesh)
    seconds = Counter(line.partition(".")[0] for line in hellos.read_text().split())
    figures.hellos, figures.hellos_most = seconds.total(), max(seconds.values(), default=0)
    return figures


@contextmanager
def _ztunnel(folder: Path, mesh: Mesh) -> Iterator[None]:
    module = ("-m", "benchmarks.scale.ztunnel", folder)
    with running(folder / "ztunnel.log", *mesh.python, *module):
        yield


def _wait_for_hellos(hellos: Path, wanted: int) -> None:
    give_up = time.monotonic() + _HELLOS_SECONDS
    while len(hellos.read_text().split()) < wanted:
        time.sleep(0.5)
        if time.monotonic() > give_up:
            raise Failed(f"not every pod got its hello in {_HELLOS_SECONDS:g} s")


def _quiet(subject: Subject, sidecars: Subject, figures: AmbientFigures) -> None:
    before, beside = subject.read(), sidecars.read()
    time.sleep(_QUIET_INTERVALS * INTERVAL)
    figures.cpu_per_poll, figures.probes_per_poll = _costs(before, subject.read())
    figures.beside, _ = _costs(beside, sidecars.read())


def _costs(before: Reading, after: Reading) -> tuple[float, float]:
    """Seconds of CPU and probes of a poll."""
    polls = after.polls - before.polls
    if not polls:
        raise Failed("the exporter has polled nothing")
    return (after.cpu - before.cpu) / polls, (after.probes - before.probes) / polls


def _left(mesh: Mesh) -> int:
    """Connections to 15008 that the exporter has left behind."""
    with inside(mesh.namespace):
        rows = Path("/proc/thread-self/net/tcp").read_text().splitlines()[1:]
    ours = [row.split() for row in rows]
    return sum(row[1].endswith(f":{PORT:04X}") and row[3] != _LISTEN for row in ours)
