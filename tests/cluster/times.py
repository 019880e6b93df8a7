"""How long after a break an exporter samples it and names its cause, and the table of that."""

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.cluster.product import CHART, Exporter

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

Reports = Mapping[str, frozenset[tuple[Any, ...]]]
"""What is reported of each pod: names, labels and values."""


@dataclass
class Times:
    """A pod that broke: how, its cause, the alert that is about it; when, and seconds since."""

    broken: str
    cause: str
    alert: str
    at: float
    sampled: float | None = None
    named: float | None = None

    def note(self, before: frozenset[tuple[Any, ...]], now: frozenset[tuple[Any, ...]]) -> None:
        """Take the time where this is the first report of the break, or of its cause."""
        seconds = now_seconds() - self.at
        if self.sampled is None and now != before:
            self.sampled = seconds
        if self.named is None and any(("cause", self.cause) in row for row in now):
            self.named = seconds


def now_seconds() -> float:
    """The loop's clock."""
    return asyncio.get_running_loop().time()


async def reports_of(reporter: Exporter, *namespaces: str) -> Reports:
    """What an exporter reports of the pods of some namespaces."""
    found: dict[str, set[tuple[Any, ...]]] = {}
    for row in await reporter.samples(*FAMILIES):
        if row.labels.get("namespace") in namespaces:
            value = (row.name, *sorted(row.labels.items()), row.value)
            found.setdefault(row.labels["pod"], set()).add(value)
    return {pod: frozenset(rows) for pod, rows in found.items()}


def table(rows: list[Times]) -> Iterator[str]:
    """The rows in Markdown, as in docs/diagnosis.md."""
    waits = alert_waits()
    yield "| What breaks | Cause | First sample | Cause named | Alert and its `for` |"
    yield "|---|---|---|---|---|"
    for row in rows:
        seconds = (
            f"{value:.0f} s" if value is not None else "never" for value in (row.sampled, row.named)
        )
        alert = f"{row.alert}, {waits[row.alert]}" if row.alert else "none"
        yield f"| {row.broken} | [{row.cause}](#{row.cause}) | {' | '.join(seconds)} | {alert} |"


def alert_waits() -> Mapping[str, str]:
    """How long the chart's alerts wait (`for`), by name."""
    return {
        rule["alert"]: rule["for"]
        for path in sorted(Path(CHART / "rules").glob("*.yaml"))
        for group in yaml.safe_load(path.read_text())["groups"]
        for rule in group["rules"]
        if "alert" in rule
    }
