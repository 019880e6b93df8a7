"""`make soak`: whether the exporter stays the same under load, churn and hostile pods.

500 gateways, of which a tenth changes its state every 20 s and a tenth is hostile, each in its own
way; every 10 s some leave and others come; Prometheus's scrapes every 5 s. Prints memory,
descriptors, threads, tasks, lateness and the event loop's lag once a minute, what they were in the
first minutes and in the last, and ends with 1 unless that is the same and the honest pods are
healthy. `SOAK_SECONDS` shortens it; half an hour without.
"""

import os
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.processes import Failed, running
from benchmarks.scale import subject
from benchmarks.scale.measure import quantile
from tests.poll import hostile_pods

_TARGETS, _CHURNED = 500, 25
_SECONDS = float(os.environ.get("SOAK_SECONDS") or 1800)
_SCRAPE_SECONDS, _CHURN_SECONDS, _ROW_SECONDS = 5.0, 10.0, 60.0
_NOT_FLAT, _MISSING = 1, 2
_HONEST = 0.75
"""The share of targets that has to be healthy: eight of ten are honest, and some have just come."""


@dataclass(frozen=True, slots=True)
class Row:
    """One minute: megabytes, counts, seconds (99 % are below), counts."""

    memory: float
    files: float
    threads: float
    tasks: float
    late: float
    lag: float
    polls: float
    skipped: float


@dataclass(frozen=True, slots=True)
class Figure:
    """A column of the table, and how much more of it in the last minutes is still flat."""

    name: str
    title: str
    digits: int
    times: float
    more: float


_FIGURES = (
    Figure("memory", "MB", 1, 1.05, 0),
    Figure("files", "files", 0, 1, 64),
    Figure("threads", "threads", 0, 1, 2),
    Figure("tasks", "tasks", 0, 1, 64),
    Figure("late", "late p99", 3, 1, 0.5),
    Figure("lag", "lag p99", 3, 1, 0.1),
)
_COUNTS = (Figure("polls", "polls", 0, 0, 0), Figure("skipped", "skipped", 0, 0, 0))


def main() -> int:
    """Run it; returns the exit code."""
    if not sys.platform.startswith("linux"):
        print("The soak reads /proc, so it needs Linux.", file=sys.stderr)
        return _MISSING
    rows: list[Row] = []
    try:
        healthy = _soak(rows)
    except (Failed, OSError) as error:
        print(f"The soak could not be run: {error}", file=sys.stderr)
        return _MISSING
    said = _not_flat(rows)
    if healthy < _HONEST:
        said.append(f"{healthy:.0%} of the targets are healthy")
    print("\n".join(said) or f"flat, and {healthy:.0%} of the targets are healthy")
    return _NOT_FLAT if said else 0


def _kinds() -> list[str]:
    """What each pod does: eight of ten are honest, one changes, one is hostile."""
    hostile = [name for name in hostile_pods.TALKS if name not in ("honest", "changing")]
    tens = [["honest"] * 8 + ["changing", hostile[n % len(hostile)]] for n in range(_TARGETS // 10)]
    return [kind for ten in tens for kind in ten]


def _soak(rows: list[Row]) -> float:
    """Run it and collect the rows; returns the share of healthy targets at the end."""
    script = Path(hostile_pods.__file__)
    with tempfile.TemporaryDirectory(prefix="soak-") as name:
        folder = Path(name)
        with running(folder / "pods.log", sys.executable, script, 0, *_kinds()):
            _wait_for(folder / "pods.log", "ready")
            _write_targets(folder, 0)
            with subject.serving(folder, subject.command_of("")) as exporter:
                subject.wait_until_ready(exporter)
                rows.extend(_watched(exporter, folder))
                return exporter.health()[0]


def _watched(exporter: subject.Subject, folder: Path) -> Iterator[Row]:
    """Scrape and churn, and a row of figures each minute, printed as it comes."""
    began, before, turns = time.monotonic(), exporter.read(), 0
    columns = (*_FIGURES, *_COUNTS)
    print(_line("minute", [figure.title for figure in columns]))
    every_row = min(_ROW_SECONDS, _SECONDS / 6)
    row_at = began + every_row
    while time.monotonic() - began < _SECONDS:
        time.sleep(_SCRAPE_SECONDS)
        exporter.get("/metrics", gzip=True)
        turns += 1
        if turns % round(_CHURN_SECONDS / _SCRAPE_SECONDS) == 0:
            _write_targets(folder, turns)
        if time.monotonic() >= row_at:
            row_at += every_row
            now = exporter.read()
            row = _row(exporter, before, now)
            before = now
            cells = [f"{getattr(row, figure.name):.{figure.digits}f}" for figure in columns]
            print(_line(f"{(now.at - began) / 60:.1f}", cells), flush=True)
            yield row


def _line(first: str, cells: list[str]) -> str:
    return "".join((f"{first:>12}", *(f"{cell:>10}" for cell in cells)))


def _row(exporter: subject.Subject, before: subject.Reading, now: subject.Reading) -> Row:
    proc = Path(f"/proc/{exporter.pid}")
    late = {bound: now.lateness[bound] - before.lateness.get(bound, 0.0) for bound in now.lateness}
    lag = {bound: now.lag[bound] - before.lag.get(bound, 0.0) for bound in now.lag}
    return Row(
        memory=exporter.memory() / 1e6,
        files=len(list((proc / "fd").iterdir())),
        threads=len(list((proc / "task").iterdir())),
        tasks=now.tasks,
        late=quantile(0.99, late),
        lag=quantile(0.99, lag),
        polls=now.polls - before.polls,
        skipped=now.skipped - before.skipped,
    )


def _write_targets(folder: Path, turn: int) -> None:
    """All targets but a few, which are others each time, so that pods leave and come again."""
    first = turn * _CHURNED % _TARGETS
    gone = {(first + number) % _TARGETS for number in range(_CHURNED)}
    rows = [
        f"- {{namespace: team-{number % 40}, pod: gw-{number}, role: gateway, "
        f"address: {hostile_pods.address_of(number)}, istio_version: 1.28.3}}"
        for number in range(_TARGETS)
        if number not in gone
    ]
    fresh = folder / "targets.new"
    fresh.write_text("\n".join(rows) + "\n")
    fresh.rename(folder / "targets.yaml")


def _not_flat(rows: list[Row]) -> list[str]:
    """Print the medians of the first minutes and of the last; a sentence about each that grew.

    The first sixth is left out: what is made once is made then.
    """
    first, last = rows[len(rows) // 6 : len(rows) // 2], rows[-(len(rows) // 3) :]
    if len(rows) < _FEWEST_ROWS:
        return ["too short: there are no first minutes to compare the last ones with"]
    pairs = [
        (figure, *(median(getattr(row, figure.name) for row in part) for part in (first, last)))
        for figure in _FIGURES
    ]
    print(_line("first", [f"{before:.{figure.digits}f}" for figure, before, _ in pairs]))
    print(_line("last", [f"{after:.{figure.digits}f}" for figure, _, after in pairs]))
    return [
        f"{figure.title} grew from {before:.{figure.digits}f} to {after:.{figure.digits}f}"
        for figure, before, after in pairs
        if after > before * figure.times + figure.more
    ]


_FEWEST_ROWS = 6


def _wait_for(log: Path, text: str) -> None:
    give_up = time.monotonic() + 30
    while text not in log.read_text():
        if time.monotonic() > give_up:
            raise Failed(f"the pods did not listen: {log.read_text()[-300:]}")
        time.sleep(0.1)


if __name__ == "__main__":
    sys.exit(main())
