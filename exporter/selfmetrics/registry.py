"""What the exporter reports about itself: `istio_port_exporter_*`, process and Python metrics.

Methods are named by what happened; their callers hold no metric.
"""

import asyncio
import platform
from collections import defaultdict
from collections.abc import Iterable, Mapping

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics

from exporter.model import Role, Timed
from exporter.selfmetrics.collectors import PREFIX, ChosenFamilies, Histogram, SelfMetricsCollector


def _count_tasks() -> int:
    """How many tasks the event loop has that asks; 0 where none does."""
    try:
        return len(asyncio.all_tasks())
    except RuntimeError:
        return 0


class SelfMetrics:
    """The exporter's own metrics in a registry of their own."""

    def __init__(self, version: str) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = CollectorRegistry()
        self._collector = SelfMetricsCollector()
        self._probe_tallies: defaultdict[Role, dict[int, Histogram]] = defaultdict(dict)
        self._registry.register(self._collector)
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        GCCollector(registry=self._registry)
        self._describe_exporter(version)
        self._describe_polling()
        self._describe_exposition()
        self._describe_discovery()

    def _gauge(self, name: str, text: str, labels: tuple[str, ...] = ()) -> Gauge:
        return Gauge(PREFIX + name, text, labels, registry=self._registry)

    def _counter(self, name: str, text: str, labels: tuple[str, ...] = ()) -> Counter:
        return Counter(PREFIX + name, text, labels, registry=self._registry)

    def _describe_exporter(self, version: str) -> None:
        build = self._gauge("build_info", "The exporter's version; 1.", ("version", "python"))
        build.labels(version, platform.python_version()).set(1)
        self._capability = self._gauge(
            "capability", "Whether this exporter has the capability.", ("capability",)
        )
        self._configured = self._gauge(
            "capability_configured", "Whether the configuration asks for it.", ("capability",)
        )
        self._in_mesh = self._gauge(
            "in_mesh", "Whether the exporter's own connections go through a proxy of the mesh."
        )
        self._ordinal = self._gauge("shard_ordinal", "Which shard this exporter is, from 0.")
        self._total = self._gauge("total_shards", "How many shards there are.")
        self._reload_ok = self._gauge(
            "config_last_reload_successful", "Whether the last load of the configuration succeeded."
        )
        self._reload_at = self._gauge(
            "config_last_reload_success_timestamp_seconds",
            "When the configuration was last loaded successfully.",
        )

    def _describe_polling(self) -> None:
        self._skipped = self._counter(
            "polls_skipped", "Polls skipped because the previous one was still running."
        )
        self._under_way = 0
        in_flight = self._gauge("probes_in_flight", "Probes in flight.")
        in_flight.set_function(lambda: self._under_way)
        self._gauge("tasks", "Tasks of the event loop.").set_function(_count_tasks)

    def _describe_exposition(self) -> None:
        self._exposition_bytes = self._gauge(
            "exposition_bytes", "Size of the last exposition before compression."
        )
        self._exposition_seconds = self._gauge(
            "exposition_duration_seconds", "How long the last exposition took to serve."
        )

    def _describe_discovery(self) -> None:
        self._targets = self._gauge("targets", "Targets that are polled.", ("role",))
        self._ignored = self._gauge("targets_ignored", "Targets that opted out.")
        self._ignored_ports = self._gauge("ports_ignored", "Ports of targets that opted out.")
        self._outdated = self._gauge(
            "catalogue_outdated",
            "Whether a target runs an Istio that this exporter does not know: it is judged as the "
            "newest known.",
        )
        self._synced = self._gauge(
            "discovery_synced", "Whether the list is complete and being watched.", ("resource",)
        )
        self._relists = self._counter(
            "discovery_relists", "Times that the list was read again.", ("resource",)
        )
        self._requests = self._counter(
            "kubernetes_requests",
            "Requests to the Kubernetes API; the code is error without a response.",
            ("verb", "resource", "code"),
        )
        self._refused = self._counter(
            "objects_refused",
            "Objects that could not be read or reported and were left out; targets: failed polls.",
            ("resource",),
        )
        self._file_up = self._gauge(
            "discovery_file_up",
            "Whether the file of targets could be read; else its last good targets are kept.",
            ("file",),
        )

    # --- polling ---------------------------------------------------------------------------

    def probed(self, probes: Iterable[Timed], role: Role) -> None:
        """Probes of a target of this role ended."""
        known = self._probe_tallies[role]
        for seen in probes:
            tally = known.get(seen.probe.port)
            if tally is None:
                tally = known[seen.probe.port] = self._collector.probe(seen.probe.port, role.value)
            tally.observe(seen.seconds)

    def poll_started(self, lateness: float) -> None:
        """A poll started so many seconds after it was due."""
        self._collector.lateness.observe(lateness)

    def poll_skipped(self) -> None:
        """A poll was skipped because the previous one was still running."""
        self._skipped.inc()

    def probes_under_way(self, more: int) -> None:
        """So many probes more, or less, are under way."""
        self._under_way += more

    def lagged(self, seconds: float) -> None:
        """The event loop ran a timer so many seconds late."""
        self._collector.lag.observe(seconds)

    # --- exposition --------------------------------------------------------------------------

    def exposed(self, size: int, seconds: float) -> None:
        """An exposition of so many bytes, uncompressed, was handed out in so many seconds."""
        self._exposition_bytes.set(size)
        self._exposition_seconds.set(seconds)

    # --- the exporter ------------------------------------------------------------------------

    def found_capable(self, capability: str, *, able: bool, configured: bool = True) -> None:
        """Whether this exporter can do something, such as see loopback ports, and ought to."""
        self._capability.labels(capability).set(able)
        self._configured.labels(capability).set(configured)

    def placed(self, *, in_mesh: bool, ordinal: int, total: int) -> None:
        """Where this exporter runs and which share of the targets is its own."""
        self._in_mesh.set(in_mesh)
        self._ordinal.set(ordinal)
        self._total.set(total)

    def reloaded(self, successful: bool, now: float) -> None:  # noqa: FBT001
        """The configuration was loaded, or could not be (the first load counts)."""
        self._reload_ok.set(successful)
        if successful:
            self._reload_at.set(now)

    # --- discovery ---------------------------------------------------------------------------

    def counted_targets(
        self, roles: Mapping[str, int], ignored: int, ignored_ports: int, *, outdated: bool
    ) -> None:
        """The polled targets by role, what opted out, whether one is too new to be known."""
        self._targets.clear()
        for role, count in roles.items():
            self._targets.labels(role).set(count)
        self._ignored.set(ignored)
        self._ignored_ports.set(ignored_ports)
        self._outdated.set(outdated)

    def synced(self, resource: str, complete: bool | None) -> None:  # noqa: FBT001
        """The list of a resource became complete, or its watch broke; None: nobody wants it."""
        if complete is None:
            self._synced.remove(resource)
        else:
            self._synced.labels(resource).set(complete)

    def relisted(self, resource: str) -> None:
        """The list of a resource was read anew."""
        self._relists.labels(resource).inc()

    def asked_kubernetes(self, verb: str, resource: str, code: str) -> None:
        """A request was answered with this code, or ended in `error`."""
        self._requests.labels(verb, resource, code).inc()

    def refused_object(self, resource: str) -> None:
        """An object of the Kubernetes API, or a poll of a target, was left out."""
        self._refused.labels(resource).inc()

    def read_file(self, file: str, readable: bool) -> None:  # noqa: FBT001
        """A file of targets was read, or could not be."""
        self._file_up.labels(file).set(readable)

    def forgot_files(self) -> None:
        """The files of targets changed; each is counted again when it is read."""
        self._file_up.clear()

    # --- the page ----------------------------------------------------------------------------

    def expose(self, openmetrics: bool, names: frozenset[str] | None = None) -> bytes:  # noqa: FBT001
        """The exporter's own metrics in the text format, without `# EOF`.

        `names` keeps only these families (what `?name[]=` asks for).
        """
        registry = self._registry if names is None else ChosenFamilies(self._registry, names)
        if openmetrics:
            page: bytes = generate_openmetrics(registry)  # type: ignore[no-untyped-call]
            return page.removesuffix(b"# EOF\n")
        return generate_latest(registry)
