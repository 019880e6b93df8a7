"""`make soak`: whether the exporter stays the same under load, churn and hostile pods.

500 gateways, of which a tenth changes its state every 20 s and a tenth is hostile, each in its own
way; every 10 s some leave and others come; Prometheus's scrapes every 5 s. Prints memory,
descriptors, threads and lateness once a minute, and ends with 1 unless they are flat after the
first third. `SOAK_SECONDS` shortens it; half an hour without.
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
_SHORT, _MISSING = 1, 2
_MORE_MEMORY, _MORE_FILES, _LATE_SECONDS = 1.05, 64, 1.0
"""What still counts as flat: times the memory, descriptors more, and the lateness (p99)."""


@dataclass(frozen=True, slots=True)
class Row:
    """One minute: bytes, counts, and seconds."""

    memory: float
    files: int
    threads: int
    late: float
    polls: float
    skipped: float


def main() -> int:
    """Run it; returns the exit code."""
    if not sys.platform.startswith("linux"):
        print("The soak reads /proc, so it needs Linux.", file=sys.stderr)
        return _MISSING
    try:
        rows = list(_rows())
    except (Failed, OSError) as error:
        print(f"The soak could not be run: {error}", file=sys.stderr)
        return _MISSING
    said = _not_flat(rows)
    print("\n".join(said) or "flat")
    return _SHORT if said else 0


def _kinds() -> list[str]:
    """What each pod does: eight of ten are honest, one changes, one is hostile."""
    hostile = [name for name in hostile_pods.TALKS if name not in ("honest", "changing")]
    tens = [["honest"] * 8 + ["changing", hostile[n % len(hostile)]] for n in range(_TARGETS // 10)]
    return [kind for ten in tens for kind in ten]


def _rows() -> Iterator[Row]:
    script = Path(hostile_pods.__file__)
    with tempfile.TemporaryDirectory(prefix="soak-") as name:
        folder = Path(name)
        with running(folder / "pods.log", sys.executable, script, 0, *_kinds()):
            _wait_for(folder / "pods.log", "ready")
            _write_targets(folder, 0)
            with subject.serving(folder, subject.command_of("")) as exporter:
                subject.wait_until_ready(exporter)
                yield from _watched(exporter, folder)


def _watched(exporter: subject.Subject, folder: Path) -> Iterator[Row]:
    """Scrape and churn, and a row of figures each minute, printed as it comes."""
    began, before, turns = time.monotonic(), exporter.read(), 0
    print(
        f"{'minute':>6} {'MB':>6} {'files':>5} {'threads':>7} {'late p99':>8} {'polls':>6} skipped"
    )
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
            minute = (now.at - began) / 60
            print(
                f"{minute:>6.1f} {row.memory / 1e6:>6.1f} {row.files:>5} {row.threads:>7} "
                f"{row.late:>8.3f} {row.polls:>6.0f} {row.skipped:>7.0f}",
                flush=True,
            )
            yield row


def _row(exporter: subject.Subject, before: subject.Reading, now: subject.Reading) -> Row:
    proc = Path(f"/proc/{exporter.pid}")
    late = {bound: now.lateness[bound] - before.lateness.get(bound, 0.0) for bound in now.lateness}
    return Row(
        exporter.memory(),
        len(list((proc / "fd").iterdir())),
        len(list((proc / "task").iterdir())),
        quantile(0.99, late),
        now.polls - before.polls,
        now.skipped - before.skipped,
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
    """A sentence about each figure that grew: the last third beside the third before it."""
    third = len(rows) // 3
    if not third:
        return ["too short: there is no third of it to compare"]
    middle, last = rows[third : 2 * third], rows[-third:]
    grown = median(row.memory for row in last) / median(row.memory for row in middle)
    files = median(row.files for row in last) - median(row.files for row in middle)
    threads = max(row.threads for row in last) - max(row.threads for row in middle)
    late = median(row.late for row in last)
    found = {
        f"memory grew to {grown:.2f} times": grown > _MORE_MEMORY,
        f"{files:.0f} more descriptors": files > _MORE_FILES,
        f"{threads} more threads": threads > 0,
        f"polls are {late:.2f} s late": late > _LATE_SECONDS,
    }
    return [sentence for sentence, is_so in found.items() if is_so]


def _wait_for(log: Path, text: str) -> None:
    give_up = time.monotonic() + 30
    while text not in log.read_text():
        if time.monotonic() > give_up:
            raise Failed(f"the pods did not listen: {log.read_text()[-300:]}")
        time.sleep(0.1)


if __name__ == "__main__":
    sys.exit(main())
