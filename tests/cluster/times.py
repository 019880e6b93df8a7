"""How long after a break Prometheus has a sample, the cause and the alert; the table of that.

`python -m tests.cluster.times` writes the table of the last run into docs/diagnosis.md.
"""

import asyncio
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from tests.cluster.images import ROOT
from tests.cluster.machine import logs
from tests.cluster.product import CHART
from tests.cluster.prometheus import Prometheus, Series

FAMILIES = (
    "istio_port_up",
    "istio_proxy_captured",
    "istio_proxy_envoy_live",
    "istio_proxy_listener_bound",
    "istio_proxy_xds_connected",
    "istio_target_diagnosis",
    "istio_target_ready",
)
"""Those that say how a target is."""


@dataclass(frozen=True, slots=True)
class Break:
    """A way to break something: in words, the cause that it has and the alert; empty for none.

    `detail`: it shows in what is read at the detail cadence only. `later`: the alert where none
    is awaited.
    """

    broken: str
    cause: str
    alert: str = "IstioProxyFault"
    detail: bool = False
    later: str = ""


@dataclass
class Times:
    """A break, whose series it changes (label matchers), when, and how many seconds later."""

    what: Break
    series: str
    at: float
    sampled: float | None = None
    named: float | None = None
    fired: float | None = None

    async def read(self, prometheus: Prometheus) -> None:
        """Take the times from what Prometheus has stored."""
        scrapes = await prometheus.samples(f"istio_port_exporter_build_info{{{self._cluster}}}")
        names = "|".join(FAMILIES)
        rows = await prometheus.samples(f'{{__name__=~"{names}",{self.series}}}')
        self.sampled = self._since(_first_change(_times(scrapes), rows, self.at))
        cause = f'istio_target_diagnosis{{{self.series},cause="{self.what.cause}"}}'
        self.named = await self._first(prometheus, cause)
        if self.what.alert:
            alert = f'alertname="{self.what.alert}",alertstate="firing",{self._cluster}'
            self.fired = await self._first(prometheus, f"ALERTS{{{alert}}}")

    @property
    def _cluster(self) -> str:
        """The matcher of the mesh that it breaks."""
        return self.series if self.series.startswith("cluster=") else 'cluster=""'

    @property
    def is_complete(self) -> bool:
        """Whether all of them are known."""
        times = [self.sampled, self.named, *([self.fired] if self.what.alert else [])]
        return None not in times

    async def _first(self, prometheus: Prometheus, selector: str) -> float | None:
        return self._since(_first_after(_times(await prometheus.samples(selector)), self.at))

    def _since(self, moment: float | None) -> float | None:
        return None if moment is None else moment - self.at


def _times(rows: list[Series]) -> list[float]:
    return sorted({at for _, samples in rows for at, _ in samples})


def _first_after(times: list[float], at: float) -> float | None:
    return next((one for one in times if one > at), None)


def _first_change(scrapes: list[float], rows: list[Series], at: float) -> float | None:
    """The first scrape after a moment that differs from the last one before it."""
    reports: dict[float, set[tuple[object, ...]]] = {one: set() for one in scrapes}
    for labels, samples in rows:
        for moment, value in samples:
            reports.setdefault(moment, set()).add((*sorted(labels.items()), value))
    before = max((one for one in reports if one <= at), default=None)
    healthy = reports[before] if before is not None else set()
    later = sorted(one for one in reports if one > at)
    return next((one for one in later if reports[one] != healthy), None)


def table(rows: list[Times]) -> Iterator[str]:
    """The rows in Markdown, as in docs/diagnosis.md."""
    waits = alert_waits()
    yield "| What breaks | Cause | Sample | Cause named | Alert fires | Alert and its `for` |"
    yield "|---|---|---|---|---|---|"
    for row in rows:
        what = row.what
        times = [row.sampled, row.named, *([row.fired] if what.alert else [])]
        seconds = [f"{value:.0f} s" if value is not None else "never" for value in times]
        name = what.alert or what.later
        alert = f"{name}, {waits[name]}" if name else "none"
        shown = " | ".join(seconds if what.alert else [*seconds, "-"])
        yield f"| {what.broken} | [{what.cause}](#{what.cause}) | {shown} | {alert} |"


def last_table() -> Path:
    """Where the table of the last run is."""
    return logs() / "times.md"


def write(page: Path, lines: str) -> None:
    """Put the table of the last run in the place of the one behind "How long it takes"."""
    before, found, rest = page.read_text().partition("**How long it takes.**")
    assert found, f"{page} has no such paragraph"
    page.write_text(
        before + found + re.sub(r"(^\|.*\n)+", lambda _: lines, rest, count=1, flags=re.MULTILINE)
    )


def alert_waits() -> Mapping[str, str]:
    """How long the chart's alerts wait (`for`), by name."""
    return {
        rule["alert"]: rule["for"]
        for path in sorted(Path(CHART / "rules").glob("*.yaml"))
        for group in yaml.safe_load(path.read_text())["groups"]
        for rule in group["rules"]
        if "alert" in rule
    }


async def await_times(rows: list[Times], prometheus: Prometheus, seconds: float) -> None:
    """Read the times again and again until all are known, or the time is over."""
    deadline = asyncio.get_running_loop().time() + seconds
    while True:
        for row in rows:
            await row.read(prometheus)
        if all(row.is_complete for row in rows) or asyncio.get_running_loop().time() > deadline:
            return
        await asyncio.sleep(5)


if __name__ == "__main__":
    write(ROOT / "docs" / "diagnosis.md", last_table().read_text())
