"""`/metrics` of many targets, joined from rendered blocks, beside prometheus_client's encoder.

Both give the same samples, taking turns in one run. `python -m benchmarks.exposition` prints
the longest hold of the event loop and the ratio of the two times, each with its limit.
"""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from time import thread_time

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from benchmarks.records import NOW, healthy_sidecar
from exporter.exposition import Family, assemble, selected
from exporter.state import State

TARGETS = 10_000
ROUNDS = 3
RATIO_LIMIT = 50.0
HOLD_LIMIT_SECONDS = 0.020


@dataclass(frozen=True, slots=True)
class Figures:
    """What was measured; times in seconds."""

    ratio: float
    hold_seconds: float
    ours_seconds: float
    theirs_seconds: float
    render_seconds: float
    samples: int
    size: int


class _Known(Collector):
    """Families that are ready made: only encoding them is timed."""

    def __init__(self, families: list[Metric]) -> None:
        self.families = families

    def collect(self) -> list[Metric]:
        return self.families


def measure(targets: int = TARGETS, rounds: int = ROUNDS) -> Figures:
    """Time both on the samples of so many healthy sidecars, by turns; medians of the rounds."""
    families = selected("standard")
    state, render_seconds = _filled(targets, families)
    text = b"".join(assemble(families, state.blocks(NOW), openmetrics=False))
    registry, samples = _parsed(text)
    ours, theirs, holds = [], [], []
    for _ in range(rounds):
        seconds, hold = asyncio.run(_scrape(state, families))
        ours.append(seconds)
        holds.append(hold)
        begin = thread_time()
        generate_latest(registry)
        theirs.append(thread_time() - begin)
    return Figures(
        ratio=_median(theirs) / _median(ours),
        hold_seconds=max(holds),
        ours_seconds=_median(ours),
        theirs_seconds=_median(theirs),
        render_seconds=render_seconds,
        samples=samples,
        size=len(text),
    )


def _median(values: Iterable[float]) -> float:
    ordered = sorted(values)
    return ordered[len(ordered) // 2]


def _filled(targets: int, families: tuple[Family, ...]) -> tuple[State, float]:
    """A state of so many sidecars, and the seconds that rendering one took."""
    records = [healthy_sidecar(index) for index in range(targets)]
    state = State(families)
    begin = thread_time()
    for record in records:
        state.put(record, NOW + 90)
    return state, (thread_time() - begin) / targets


def _parsed(text: bytes) -> tuple[CollectorRegistry, int]:
    """prometheus_client's own view of the same samples."""
    families = list(text_string_to_metric_families(text.decode()))
    registry = CollectorRegistry()
    known = _Known([])
    registry.register(known)
    known.families = families
    return registry, sum(len(family.samples) for family in families)


async def _scrape(state: State, families: tuple[Family, ...]) -> tuple[float, float]:
    """One scrape as the web streams it: seconds for all, and the longest stretch in one go."""
    longest = 0.0
    begin = last = thread_time()
    for _chunk in assemble(families, state.blocks(NOW), openmetrics=False):
        longest = max(longest, thread_time() - last)
        await asyncio.sleep(0)
        last = thread_time()
    end = thread_time()
    return end - begin, max(longest, end - last)


def report(figures: Figures) -> list[str]:
    """Lines `BENCH <what> <measured> <limit> holds|short`, for `make bench`."""
    rows = (
        ("exposition_ratio", figures.ratio, RATIO_LIMIT, figures.ratio >= RATIO_LIMIT),
        (
            "exposition_hold_seconds",
            figures.hold_seconds,
            HOLD_LIMIT_SECONDS,
            figures.hold_seconds <= HOLD_LIMIT_SECONDS,
        ),
    )
    return [
        f"BENCH {what} {measured:.4g} {limit:g} {'holds' if kept else 'short'}"
        for what, measured, limit, kept in rows
    ]


def main() -> None:
    """Measure and print."""
    figures = measure()
    print(
        f"{figures.samples} samples, {figures.size / 1e6:.1f} MB: "
        f"ours {figures.ours_seconds * 1e3:.1f} ms, "
        f"generate_latest {figures.theirs_seconds * 1e3:.0f} ms, "
        f"rendering a target {figures.render_seconds * 1e6:.0f} us"
    )
    print("\n".join(report(figures)))


if __name__ == "__main__":
    main()
