"""The phases of a measurement: a base, a start, quiet polling, requests, a reload."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median

from benchmarks.processes import Failed
from benchmarks.scale import ambient, costs
from benchmarks.scale import subject as exporters
from benchmarks.scale.ambient import AmbientFigures
from benchmarks.scale.holds import watched
from benchmarks.scale.machine import Machine
from benchmarks.scale.mesh import Mesh
from benchmarks.scale.subject import INTERVAL, Reading, Subject

BASE_TARGETS = 10
_SETTLE_INTERVALS = 2
"""A target's first polls learn what the later ones know, and happen once."""

_QUIET_INTERVALS = 4
"""Each target's detail look is in it once."""

_BASE_SECONDS = 5.0
_RELOAD_INTERVALS = 2
_PAGES = {
    "metrics": ("/metrics", False, 5),
    "metrics_gzip": ("/metrics", True, 5),
    "summary": ("/api/v1/summary", False, 10),
    "matrix": ("/api/v1/matrix", False, 10),
}
_TICK_SECONDS, _CALM_SECONDS = 0.5, 0.4
"""Polls start in ticks of the machine's monotonic clock, and so long after one all have."""

_PAUSE_SECONDS = 0.7
"""Between two requests; no divisor of the interval, so that they come at any of its moments."""


@dataclass(slots=True)
class Timing:
    """Answers to one kind of request: seconds to the last byte, and the size of the last one."""

    seconds: list[float] = field(default_factory=list)
    size: int = 0

    @property
    def median(self) -> float:
        """The middle one."""
        return median(self.seconds)


@dataclass(slots=True)
class Figures:
    """What was measured with so many targets; times in seconds, sizes in bytes.

    `costs` a second: bytes received, pages of agents; and series. `rules`: seconds by group.
    `holds` by phase. `polls_off`: the share of the polls due that were lost or doubled; `_quiet`
    without a reload, which says what the measurement itself makes of it. `starved`: the share of
    the time in which others had the cores that it would have run on.
    """

    targets: int
    base_memory: float = 0.0
    memory: float = 0.0
    memory_after_requests: float = 0.0
    start_seconds: float = 0.0
    start_cpu: float = 0.0
    cpu_per_poll: float = 0.0
    probes_per_poll: float = 0.0
    core: float = 0.0
    mesh_core: float = 0.0
    starved: float = 0.0
    late_p99: float = 0.0
    late_over_100ms: float = 0.0
    lag_over_20ms: float = 0.0
    polls_off_quiet: float = 0.0
    polls_off: float = 0.0
    skipped: float = 0.0
    reload_seconds: float = 0.0
    reload_peak: float = 0.0
    healthy: float = 0.0
    causes: dict[str, int] = field(default_factory=dict)
    holds: dict[str, float] = field(default_factory=dict)
    pages: dict[str, Timing] = field(default_factory=dict)
    machine: dict[str, float] = field(default_factory=dict)
    costs: dict[str, float] = field(default_factory=dict)
    rules: dict[str, float] = field(default_factory=dict)
    ambient: AmbientFigures = field(default_factory=AmbientFigures)

    @property
    def memory_per_target(self) -> float:
        """What a target adds to the base."""
        return (self.memory - self.base_memory) / (self.targets - BASE_TARGETS)

    @property
    def ambient_share(self) -> float:
        """The CPU of pods in ambient, of that of as many sidecars at the same time."""
        return self.ambient.cpu_per_poll / self.ambient.beside

    @property
    def longest_hold(self) -> float:
        """The longest of all phases."""
        return max(self.holds.values())

    def plain(self) -> dict[str, object]:
        """Everything, for a file of JSON."""
        derived = {
            "memory_per_target": self.memory_per_target,
            "longest_hold": self.longest_hold,
            "ambient_share": self.ambient_share,
        }
        return {**asdict(self), **derived}


def measure(folder: Path, command: tuple[str, ...], mesh: Mesh, targets: int) -> Figures:
    """Measure one exporter with so many targets. Raises Failed."""
    _say(targets, f"with {BASE_TARGETS} of them")
    figures = Figures(targets, base_memory=_base(folder, command))
    exporters.write_targets(folder, exporters.pods(targets))
    machine = Machine(mesh)
    with exporters.serving(folder, command) as subject:
        _say(targets, "start")
        _start(subject, figures)
        _say(targets, f"polls, for {(_QUIET_INTERVALS + 1) * INTERVAL:.0f} s")
        _quiet(subject, mesh, figures)
        _say(targets, "requests meanwhile")
        _requests(subject, figures)
        _state(subject, figures)
        _say(targets, "reload")
        _reload(subject, figures)
        _say(targets, "recording rules")
        figures.rules = costs.rule_seconds(folder)
        machine.note_tracked()
        figures.machine = machine.counted()
        _say(targets, "as many in ambient beside them")
        figures.ambient = ambient.measure(subject, command, mesh, targets)
    return figures


def _say(targets: int, step: str) -> None:
    """What is measured now: all of it takes minutes."""
    print(f"{targets} targets: {step} ...", file=sys.stderr, flush=True)


def _base(folder: Path, command: tuple[str, ...]) -> float:
    """Resident bytes with hardly any target."""
    exporters.write_targets(folder, exporters.pods(BASE_TARGETS))
    with exporters.serving(folder, command) as subject:
        exporters.wait_until_ready(subject)
        time.sleep(_BASE_SECONDS)
        return subject.memory()


def _start(subject: Subject, figures: Figures) -> None:
    with _held(subject, figures, "start"):
        figures.start_seconds = exporters.wait_until_ready(subject)
    figures.start_cpu = subject.read().cpu
    time.sleep(_SETTLE_INTERVALS * INTERVAL)


def _quiet(subject: Subject, mesh: Mesh, figures: Figures) -> None:
    """Nobody asks anything, not even how long the loop is held: only polling is counted."""
    before, theirs, waited = _counters(subject), mesh.cpu_seconds(), subject.waited()
    counted = costs.counts(mesh)
    time.sleep(_QUIET_INTERVALS * INTERVAL)
    figures.costs = costs.per_second(counted, costs.counts(mesh))
    after, theirs = _counters(subject), mesh.cpu_seconds() - theirs
    seconds, polls = after.at - before.at, after.polls - before.polls
    if not polls:
        raise Failed("the exporter has polled nothing")
    figures.core = (after.cpu - before.cpu) / seconds
    figures.mesh_core = theirs / seconds
    figures.starved = (subject.waited() - waited) / seconds
    figures.cpu_per_poll = (after.cpu - before.cpu) / polls
    figures.probes_per_poll = (after.probes - before.probes) / polls
    late = _grown(before.lateness, after.lateness)
    figures.late_p99 = quantile(0.99, late)
    figures.late_over_100ms = share_over(0.1, late)
    figures.lag_over_20ms = share_over(0.02, _grown(before.lag, after.lag))
    figures.polls_off_quiet = _off(before, after, figures.targets)
    figures.skipped = after.skipped - before.skipped
    figures.memory = subject.memory()
    with _held(subject, figures, "polls"):
        time.sleep(INTERVAL)


def _requests(subject: Subject, figures: Figures) -> None:
    for name, (path, gzip, times) in _PAGES.items():
        timing = figures.pages[name] = Timing()
        with _held(subject, figures, name):
            for _ in range(times):
                time.sleep(_PAUSE_SECONDS)
                answer = subject.get(path, gzip=gzip)
                timing.seconds.append(answer.seconds)
                timing.size = len(answer.body)
    figures.memory_after_requests = subject.memory()


def _state(subject: Subject, figures: Figures) -> None:
    """How many targets are found healthy: failures are not what is measured."""
    figures.healthy, figures.causes = subject.health()
    figures.costs["series"] = costs.series(subject)


def _reload(subject: Subject, figures: Figures) -> None:
    """One pod has gone and another come, and the configuration is read again."""
    rest = subject.memory()
    subject.forget_peak()
    before = _counters(subject)
    with _held(subject, figures, "reload"):
        time.sleep(INTERVAL / 2)
        *others, (index, _) = exporters.pods(figures.targets)
        exporters.write_targets(subject.folder, [*others, (index, "web-new")])
        figures.reload_seconds = subject.reload().seconds
        time.sleep(_RELOAD_INTERVALS * INTERVAL - (time.monotonic() - before.at))
    after = _counters(subject)
    figures.reload_peak = subject.memory("VmHWM") / rest
    figures.polls_off = _off(before, after, figures.targets)
    figures.skipped += after.skipped - before.skipped


def _counters(subject: Subject) -> Reading:
    """The counters between two ticks: one tick's polls are more than a reload may lose."""
    time.sleep((_CALM_SECONDS - time.monotonic()) % _TICK_SECONDS)
    return subject.read()


@contextmanager
def _held(subject: Subject, figures: Figures, phase: str) -> Iterator[None]:
    with watched(subject.pid, subject.port) as hold:
        yield
    figures.holds[phase] = hold.seconds


def _off(before: Reading, after: Reading, targets: int) -> float:
    """The share of the polls that were due and did not start, or started without being due."""
    due = targets * (after.at - before.at) / INTERVAL
    return abs(after.polls - before.polls - due) / due


def _grown(before: dict[float, float], after: dict[float, float]) -> dict[float, float]:
    return {bound: count - before.get(bound, 0.0) for bound, count in after.items()}


def quantile(share: float, buckets: dict[float, float]) -> float:
    """As PromQL's histogram_quantile: evenly spread within the bucket that has it."""
    bounds = sorted(buckets)
    wanted = share * buckets[bounds[-1]]
    below, least = 0.0, 0.0
    for bound in bounds:
        if buckets[bound] >= wanted and bound != float("inf"):
            within = buckets[bound] - below
            return least + (bound - least) * ((wanted - below) / within if within else 1.0)
        below, least = buckets[bound], bound if bound != float("inf") else least
    return least


def share_over(bound: float, buckets: dict[float, float]) -> float:
    """The share of what a histogram saw that was longer; nan where it has no such bound."""
    total = buckets.get(float("inf"), 0.0)
    return 1 - buckets.get(bound, float("nan")) / total if total else float("nan")
