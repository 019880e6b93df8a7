"""The promises with their limits, in one table, and what a run made of them."""

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.scale.machine import notes
from benchmarks.scale.measure import BASE_TARGETS, Figures

_ROW = "{:<44} {:>12} {:>12}  {}"


@dataclass(frozen=True, slots=True)
class Promise:
    """What is promised: its figure is at most the limit. `shown`: how both are written."""

    name: str
    figure: Callable[[Figures], float]
    limit: float
    shown: Callable[[float], str]

    def holds(self, figures: Figures) -> bool:
        """Whether it is kept; a figure that could not be taken keeps nothing."""
        return self.figure(figures) <= self.limit


def _seconds(value: float) -> str:
    return f"{value:.3f} s"


def _milliseconds(value: float) -> str:
    return f"{value * 1e3:.1f} ms"


def _share(value: float) -> str:
    return f"{value:.2%}"


def _kilobytes(value: float) -> str:
    return f"{value / 1e3:.1f} kB"


def _times(value: float) -> str:
    return f"{value:.2f}"


def _count(value: float) -> str:
    return f"{value:.0f}"


PROMISES = (
    Promise("share of one core", lambda f: f.core, 0.5, _share),
    Promise("lateness of polls, p99", lambda f: f.late_p99, 1.0, _seconds),
    Promise("/api/v1/summary, median", lambda f: f.pages["summary"].median, 0.1, _milliseconds),
    Promise("/api/v1/matrix, median", lambda f: f.pages["matrix"].median, 0.1, _milliseconds),
    Promise("memory of a target above the base", lambda f: f.memory_per_target, 12e3, _kilobytes),
    *(
        Promise(
            f"longest hold of the loop: {phase}",
            lambda f, phase=phase: f.holds[phase],  # type: ignore[misc]
            0.020,
            _milliseconds,
        )
        for phase in ("start", "polls", "metrics", "metrics_gzip", "summary", "matrix", "reload")
    ),
    Promise("memory at a reload, peak over rest", lambda f: f.reload_peak, 1.3, _times),
    Promise("polls lost or doubled by a reload", lambda f: f.polls_off, 0.01, _share),
    Promise("polls skipped", lambda f: f.skipped, 0, _count),
    Promise("CPU of ambient pods, of as many sidecars'", lambda f: f.ambient_share, 0.25, _share),
    Promise("TLS hellos in any second", lambda f: f.ambient.hellos_most, 60, _count),
    Promise("ambient pods: connections left open", lambda f: f.ambient.left, 0, _count),
)


def table(figures: Figures) -> list[str]:
    """A line for each promise: what was measured, the limit, and whether it holds."""
    lines = [_ROW.format(f"{figures.targets:,} targets", "measured", "limit", "")]
    for promise in PROMISES:
        verdict = "holds" if promise.holds(figures) else "short"
        measured = promise.shown(promise.figure(figures))
        lines.append(_ROW.format(promise.name, measured, promise.shown(promise.limit), verdict))
    return lines


def details(figures: Figures) -> list[str]:
    """What is measured without a promise, and what stood in the way."""
    pages = [
        f"{name}: median {timing.median * 1e3:.0f} ms, longest {max(timing.seconds) * 1e3:.0f} ms, "
        f"{timing.size / 1e6:.2f} MB"
        for name, timing in figures.pages.items()
    ]
    return [
        f"a poll: {figures.cpu_per_poll * 1e6:.0f} us of CPU, {figures.probes_per_poll:.2f} probes",
        _ambient(figures),
        f"start: every target polled after {figures.start_seconds:.1f} s",
        f"CPU of the start: {figures.start_cpu:.1f} s",
        f"memory with {BASE_TARGETS} targets: {figures.base_memory / 1e6:.1f} MB",
        f"memory while only polling: {figures.memory / 1e6:.1f} MB",
        f"memory after requests: {figures.memory_after_requests / 1e6:.1f} MB",
        f"reload: answered after {figures.reload_seconds * 1e3:.0f} ms",
        *pages,
        f"polls over 0.1 s late while only polling: {figures.late_over_100ms:.2%}",
        f"timers over 20 ms late while only polling: {figures.lag_over_20ms:.1%}",
        f"polls off what was due without a reload: {figures.polls_off_quiet:.2%}",
        f"{figures.healthy:.2%} of the targets healthy; causes: {figures.causes or 'none'}",
        *_surroundings(figures),
        *_costs(figures),
    ]


def _costs(figures: Figures) -> list[str]:
    """What others pay."""
    cost, rules = figures.costs, figures.rules
    slowest = max(rules, key=lambda group: rules[group]) if rules else "none measured"
    return [
        f"received: {cost['received'] / 1e3:.0f} kB/s",
        f"pages of agents: {cost['pages']:.2f} a second",
        f"series: {cost['series']:.0f}, {cost['series'] / figures.targets:.1f} a target",
        f"rules: {sum(rules.values()):.3f} s an evaluation, most of it {slowest}",
    ]


def _ambient(figures: Figures) -> str:
    found = figures.ambient
    return (
        f"a poll of an ambient pod: {found.cpu_per_poll * 1e6:.0f} us of CPU, "
        f"{found.probes_per_poll:.2f} probes, where one of a sidecar takes "
        f"{found.beside * 1e6:.0f} us; {found.hellos} hellos to {found.targets:,} pods, "
        f"{found.healthy:.2%} healthy"
    )


def _surroundings(figures: Figures) -> list[str]:
    """What the other side and the machine did."""
    found = figures.machine
    return [
        f"cores: the proxies {figures.mesh_core:.2f}, the whole machine {found['busy_cores']:.2f}",
        f"conntrack: {found['conntrack_count']:.0f} of {found['conntrack_max']:.0f}",
        f"TCP timeouts of the proxies: {found['TCPTimeouts']:.0f}",
        *(
            f"limit of this machine: {note}"
            for note in notes(found, figures.mesh_core, figures.starved)
        ),
    ]


def is_short(figures: Figures) -> bool:
    """Whether one promise is not kept."""
    return not all(promise.holds(figures) for promise in PROMISES)
