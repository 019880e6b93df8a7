"""The exporter about itself: where it stands, what it cannot see, how many it watches.

In: the running parts. Out: self-metrics, and one log line whenever what cannot be seen changes.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from exporter.app.capabilities import CAPABILITIES, MissingCapability
from exporter.app.process import is_in_mesh
from exporter.catalogue import is_newer_than_known
from exporter.config import Config
from exporter.discovery.cluster import ClusterSource
from exporter.scheduler.scheduler import Scheduler
from exporter.selfmetrics.registry import SelfMetrics
from exporter.state import State

log = logging.getLogger(__name__)

_LAG_EVERY_SECONDS = 0.5
_REVIEW_EVERY_SECONDS = 15.0
_COUNT_EVERY_SECONDS = 1.0


@dataclass(slots=True, kw_only=True)
class SelfChecks:
    """Keeps the self-metrics current. `missing_capabilities`: what this instance cannot see now."""

    config: Callable[[], Config]
    missing_capabilities: Callable[[], tuple[MissingCapability, ...]]
    cluster: Callable[[], ClusterSource]
    scheduler: Scheduler
    metrics: SelfMetrics
    state: State
    _told: dict[str, str] = field(default_factory=dict)
    _uncounted: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> None:
        """Count, review and measure until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._count())
            tasks.create_task(self._review())
            tasks.create_task(self._measure_lag())

    def count_soon(self) -> None:
        """The targets changed."""
        self._uncounted.set()

    async def place(self) -> None:
        """Find out whether we stand behind a sidecar, and say which share is ours."""
        in_mesh = await is_in_mesh()
        if in_mesh and not self.scheduler.in_mesh:
            log.error("a sidecar answers on our own loopback: nothing that we see can be trusted")
        self.scheduler.in_mesh = in_mesh
        shard = self.config().shard
        self.metrics.placed(in_mesh=in_mesh, ordinal=shard.ordinal, total=shard.total)

    def report_capabilities(self) -> None:
        """Say once what cannot be seen, and again when it changes."""
        missing = {one.capability: one.sentence for one in self.missing_capabilities()}
        for capability in CAPABILITIES:
            self.metrics.found_capable(capability, able=capability not in missing)
            sentence = missing.get(capability)
            if sentence and self._told.get(capability) != sentence:
                log.warning("cannot see capability=%s reason=%r", capability, sentence)
        self._told = missing

    async def _count(self) -> None:
        """Count the targets after they changed, but not after each of many changes."""
        while True:
            await self._uncounted.wait()
            self._uncounted.clear()
            self._count_now()
            await asyncio.sleep(_COUNT_EVERY_SECONDS)

    def _count_now(self) -> None:
        known = tuple(self.scheduler.targets.values())
        cluster = self.cluster()
        roles = {str(role): count for role, count in Counter(t.role for t in known).items()}
        outdated = any(is_newer_than_known(target.istio_version) for target in known)
        ports = sum(len(target.ignored_ports) for target in known)
        self.metrics.counted_targets(roles, cluster.ignored, ports, outdated=outdated)
        self.state.cluster = replace(self.state.cluster, ambient_pods=cluster.ambient_pods())
        self.report_capabilities()

    async def _review(self) -> None:
        """Look again at what may change under us: our own place, and what we are let see."""
        while True:
            await asyncio.sleep(_REVIEW_EVERY_SECONDS)
            await self.place()
            self.report_capabilities()

    async def _measure_lag(self) -> None:
        while True:
            asked = time.monotonic()
            await asyncio.sleep(_LAG_EVERY_SECONDS)
            self.metrics.lagged(max(0.0, time.monotonic() - asked - _LAG_EVERY_SECONDS))
