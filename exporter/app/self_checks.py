"""The exporter about itself: where it runs, what it cannot see, how many targets it polls.

In: the running parts. Out: self-metrics, and one log line whenever what cannot be seen changes.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial

from exporter.app.capabilities import CAPABILITIES, OFF_BY_DEFAULT, MissingCapability
from exporter.app.in_mesh import is_in_mesh, is_mesh_pod, own_pod
from exporter.catalogue import is_newer_than_known
from exporter.config import ShardConfig
from exporter.discovery.target_sets import TargetSets
from exporter.kube.object_reader import ObjectReader
from exporter.model import ClusterRecord, Target
from exporter.scheduler.target_table import TargetTable
from exporter.selfmetrics.registry import SelfMetrics
from exporter.turn import current_turn, until_tick

log = logging.getLogger(__name__)

_REVIEW_EVERY_SECONDS = 15.0
_COUNT_EVERY_SECONDS = 1.0


@dataclass(slots=True)
class _Tally:
    """What the targets come to: how many by role, each version and whether it is too new."""

    roles: Counter[str] = field(default_factory=Counter)
    versions: dict[str, bool] = field(default_factory=dict)
    ignored_ports: int = 0

    def add(self, target: Target) -> None:
        """Count a target; where this raises, it is not counted."""
        role, ignored, version = target.role.value, len(target.ignored_ports), target.istio_version
        if version not in self.versions:
            self.versions[version] = is_newer_than_known(version)
        self.roles[role] += 1
        self.ignored_ports += ignored


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfChecks:
    """Keeps the self-metrics current.

    `missing_capabilities`: what this instance cannot see now. `logged`: the sentence that was last
    logged of each; it outlives the session, so that a reload repeats none.
    """

    shard: ShardConfig
    missing_capabilities: Callable[[], Awaitable[tuple[MissingCapability, ...]]]
    table: TargetTable
    cluster: ClusterRecord
    sets: TargetSets
    metrics: SelfMetrics
    reader: ObjectReader
    logged: dict[str, str]

    async def run(self) -> None:
        """Count, review and measure until cancelled."""
        self.sets.changed.set()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._count())
            tasks.create_task(self._review())
            tasks.create_task(self._measure_lag())

    async def locate(self) -> None:
        """Find out whether we run in the mesh, and report which share is ours."""
        in_mesh = is_mesh_pod(self._own_target()) or await is_in_mesh()
        if in_mesh and not self.cluster.in_mesh:
            log.error("our own connections go through the mesh: nothing that we see can be trusted")
        self.cluster.in_mesh = in_mesh
        self.metrics.placed(in_mesh=in_mesh, ordinal=self.shard.ordinal, total=self.shard.total)

    def _own_target(self) -> Target | None:
        """What discovery knows of the pod that we run in; None where it is no target."""
        own = own_pod()
        return self.sets.cluster.owned.get(own) if own else None

    async def report_capabilities(self) -> None:
        """Log once what cannot be seen, and again when it changes."""
        missing = {one.capability: one for one in await self.missing_capabilities()}
        for name in CAPABILITIES:
            known = missing.get(name)
            configured = known is None or not known.is_switched_off
            self.metrics.found_capable(name, able=known is None, configured=configured)
        new = [one for name, one in missing.items() if self.logged.get(name) != one.sentence]
        off = [one for one in new if one.is_switched_off and one.capability in OFF_BY_DEFAULT]
        for one in new:
            if one not in off:
                log.warning("cannot see capability=%s reason=%r", one.capability, one.sentence)
        if off:
            names = ",".join(one.capability for one in off)
            log.info("not configured, so not seen capabilities=%s", names)
        self.logged.clear()
        self.logged.update({name: one.sentence for name, one in missing.items()})

    async def _count(self) -> None:
        """Count the targets after they changed, but not after each of many changes."""
        while True:
            await self.sets.changed.wait()
            self.sets.changed.clear()
            await self._count_now()
            await asyncio.sleep(_COUNT_EVERY_SECONDS)

    async def _count_now(self) -> None:
        tally, turn = _Tally(), current_turn()
        for target in tuple(self.table.targets.values()):
            key, count = target.key, partial(tally.add, target)
            self.reader.attempt("reports", key.pod, key.namespace, count)
            await turn.maybe_yield()
        outdated = any(tally.versions.values())
        found = self.sets.cluster
        self.metrics.counted_targets(
            tally.roles, found.ignored, tally.ignored_ports, outdated=outdated
        )
        self.cluster.ambient_pods = await found.ambient_pods()
        self.cluster.missing_proxies = await found.missing_proxies()
        await self.report_capabilities()

    async def _review(self) -> None:
        """Check again what may change under us: where we run, and what we are allowed to see."""
        while True:
            await self.locate()
            await self.report_capabilities()
            await asyncio.sleep(_REVIEW_EVERY_SECONDS)

    async def _measure_lag(self) -> None:
        while True:
            began, pause = time.monotonic(), until_tick()
            await asyncio.sleep(pause)
            self.metrics.lagged(max(0.0, time.monotonic() - began - pause))
