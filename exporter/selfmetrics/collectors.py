"""What prometheus_client asks at scrape time: tallied histograms, and a choice of families.

Durations that come a thousand times a second are tallied in plain lists (0.4 microseconds each)
and only shaped for prometheus_client when somebody scrapes.
"""

from bisect import bisect_left
from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

PREFIX = "istio_port_exporter_"

PROBE_BUCKETS = (0.005, 0.05, 0.5, 2.0)
_LATENESS_BUCKETS = (0.1, 1.0, 5.0, 15.0)
_LAG_BUCKETS = (0.005, 0.02, 0.05, 0.25, 1.0)

MAX_PROBE_SERIES = 64
"""Pairs of port and role that get a histogram of their own; the rest share the port `other`."""


class Histogram:
    """One histogram: counts per bucket (the last is +Inf), not yet cumulative, and the sum."""

    __slots__ = ("_bounds", "_counts", "_sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, seconds: float) -> None:
        """Count one duration."""
        self._counts[bisect_left(self._bounds, seconds)] += 1
        self._sum += seconds

    @property
    def count(self) -> int:
        """How many durations were counted."""
        return sum(self._counts)

    def add_to(self, family: HistogramMetricFamily, *labels: str) -> None:
        """Add this histogram to the family under these label values."""
        buckets, total = [], 0
        bounds = (*[str(bound) for bound in self._bounds], "+Inf")
        for bound, count in zip(bounds, self._counts, strict=True):
            total += count
            buckets.append((bound, total))
        family.add_metric(labels, buckets, self._sum)


class SelfMetricsCollector(Collector):
    """The tallied histograms and the families whose label sets come and go."""

    def __init__(self) -> None:
        self.probes: dict[tuple[str, str], Histogram] = {}
        self.lateness = Histogram(_LATENESS_BUCKETS)
        self.lag = Histogram(_LAG_BUCKETS)

    def probe(self, port: int, role: str) -> Histogram:
        """The histogram of a port and role, new or the shared one when there are too many."""
        crowded = len(self.probes) >= MAX_PROBE_SERIES
        name = ("other", role) if crowded else (str(port), role)
        return self.probes.setdefault(name, Histogram(PROBE_BUCKETS))

    def collect(self) -> Iterator[Metric]:
        """Shape everything for one exposition."""
        probes = HistogramMetricFamily(
            f"{PREFIX}probe_duration_seconds", "How long probes took.", labels=["port", "role"]
        )
        for labels, tally in self.probes.items():
            tally.add_to(probes, *labels)
        yield probes
        ended = sum(tally.count for tally in self.probes.values())
        yield CounterMetricFamily(
            f"{PREFIX}probes", "Probes that ended, however they ended.", value=ended
        )
        lateness = HistogramMetricFamily(
            f"{PREFIX}poll_lateness_seconds", "How long after they were due polls started."
        )
        self.lateness.add_to(lateness)
        yield lateness
        yield CounterMetricFamily(
            f"{PREFIX}polls", "Polls of targets that were started.", value=self.lateness.count
        )
        lag = HistogramMetricFamily(
            f"{PREFIX}event_loop_lag_seconds", "How long the event loop kept a due timer waiting."
        )
        self.lag.add_to(lag)
        yield lag


class ChosenFamilies(Collector):
    """Some families of a registry, by name; a counter answers with and without `_total`."""

    def __init__(self, registry: CollectorRegistry, names: frozenset[str]) -> None:
        self._registry = registry
        self._names = names

    def collect(self) -> Iterator[Metric]:
        """The chosen families."""
        for metric in self._registry.collect():
            total = f"{metric.name}_total" if metric.type == "counter" else metric.name
            if not self._names.isdisjoint((metric.name, total)):
                yield metric
