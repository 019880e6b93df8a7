"""The parts that one configuration makes, from its start until the next one takes over.

In: a `Config` and what outlives it (`ProgramParts`). Out: polls, published records, self-metrics. A
reload stops this session and starts the next with the same `ProgramParts`; polls that run end by
themselves.
"""

import asyncio
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from exporter import clock
from exporter.access.portforward import Open, PortForwards
from exporter.access.portforward_budget import Budget
from exporter.app.api_connection import ApiConnection
from exporter.app.capabilities import MissingCapability, Situation, missing_capabilities
from exporter.app.self_checks import SelfChecks
from exporter.config import AccessConfig, Config, ConfigError
from exporter.control_plane.proxy_sync import why_untrusted
from exporter.control_plane.sync_publisher import SyncPublisher
from exporter.discovery.static import StaticSource
from exporter.discovery.target_sets import TargetSets
from exporter.exposition import Family
from exporter.kube.object_reader import ObjectReader
from exporter.model import EVERY_CADENCE, ClusterRecord, Memory, Role, Target, TargetKey
from exporter.poll.plan import no_pod_view, plan_of
from exporter.poll.poll_steps import ProbeInstrumentation
from exporter.poll.poll_target import PollResult, poll_once
from exporter.report.not_judged import traffic_past_the_mesh
from exporter.scheduler.poll_scheduler import Scheduler
from exporter.scheduler.target_table import TargetTable
from exporter.selfmetrics.registry import SelfMetrics
from exporter.state import State
from exporter.turn import some_of

_MOST_STEPS = 4
"""Of one poll, one after the other: network, hello, pod view, servers that admin named."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A configuration, after everything that it names was read once.

    `config` has none of the static targets any more: `static` reports them. `has_static`: there may
    be some.
    """

    config: Config
    has_static: bool
    families: tuple[Family, ...]
    static: StaticSource


_SHARE_OF_PROBES = 4
"""For `/probe`: a port-forward more for so many that polls may open."""


def portforwards_of(access: AccessConfig, open_websocket: Open) -> PortForwards | None:
    """Port-forwards within the budgets of this configuration; None where it wants none."""
    allowed = access.portforward
    if access.loopback != "portforward":
        return None
    return PortForwards(
        open_websocket,
        Budget(allowed.per_second, allowed.concurrency),
        probe_budget=Budget(allowed.per_second / _SHARE_OF_PROBES, 1),
    )


@dataclass(slots=True, kw_only=True)
class ProgramParts:
    """What outlives a session. `base`: the folder that file names are relative to.

    `portforwards`: those of all sessions with this `access`; None where that wants none.
    `was_ready`: some session was.
    """

    base: Path
    state: State
    synced: State
    cluster: ClusterRecord
    table: TargetTable
    sets: TargetSets
    api: ApiConnection
    metrics: SelfMetrics
    access: AccessConfig
    portforwards: PortForwards | None
    logged_capabilities: dict[str, str] = field(default_factory=dict)
    was_ready: bool = False

    @property
    def states(self) -> tuple[State, State]:
        """What is rendered with the configuration's families."""
        return self.state, self.synced


class Session:
    """The parts of one configuration in one task group."""

    def __init__(self, reading: Reading, program: ProgramParts) -> None:
        """Start nothing yet."""
        self.config = config = reading.config
        self._static = reading.static
        self._program = program
        self._stopped = asyncio.Event()
        if program.access != config.access:
            program.access = config.access
            program.portforwards = portforwards_of(config.access, program.api.forward)
        self._portforwards = forwards = program.portforwards
        metrics = program.metrics
        self._reader = ObjectReader(metrics.refused_object)
        instrumentation = ProbeInstrumentation(
            under_way=metrics.probes_under_way,
            ended=metrics.probed,
            started=metrics.poll_started,
            skipped=metrics.poll_skipped,
            failed=partial(metrics.refused_object, "targets"),
        )
        make_plan = partial(
            plan_of,
            forward=(lambda target: forwards.pod(target.key)) if forwards else no_pod_view,
            is_named=program.sets.names,
            called=program.api.webhook_names,
        )
        self._scheduler = Scheduler(
            config, program.table, instrumentation, make_plan, program.cluster
        )
        self._publisher = SyncPublisher(
            config=config,
            polled=program.table.targets,
            sets=program.sets,
            records=program.state,
            synced=program.synced,
            reader=self._reader,
            set_version=program.table.set_version,
        )
        self._self_checks = SelfChecks(
            shard=config.shard,
            missing_capabilities=self._missing_capabilities,
            table=program.table,
            cluster=program.cluster,
            sets=program.sets,
            metrics=metrics,
            reader=self._reader,
            logged=program.logged_capabilities,
        )

    @property
    def targets(self) -> Mapping[TargetKey, Target]:
        """Every target, polled yet or not."""
        return self._program.table.targets

    @property
    def is_healthy(self) -> bool:
        """Whether the scheduler makes progress."""
        return self._scheduler.is_live

    @property
    def is_ready(self) -> bool:
        """Whether discovery was synced once and every target polled; so it stays over reloads."""
        program = self._program
        if not program.was_ready:
            program.was_ready = program.sets.is_synced and program.table.is_warm
        return program.was_ready

    async def unseen(self) -> tuple[str, ...]:
        """One sentence for each thing that this instance cannot see."""
        return tuple(missing.sentence for missing in await self._missing_capabilities())

    async def probe(self, target: Target, seconds: float = math.inf) -> PollResult:
        """Poll a target now, with every cadence; it never gets the debug token.

        `seconds`: for all steps of the poll; a probe that takes longer has timed out.
        """
        poll, forwards = self.config.poll, self._portforwards
        poll = replace(poll, timeout=min(poll.timeout, seconds / _MOST_STEPS))
        return await poll_once(
            replace(target, trusted=False),
            Memory(),
            EVERY_CADENCE,
            replace(self.config, poll=poll),
            clock.now(),
            in_mesh=self._program.cluster.in_mesh,
            step=clock.step(),
            forward=(lambda one: forwards.probed_pod(one.key)) if forwards else no_pod_view,
        )

    async def prepare(self) -> None:
        """What has to be known before the first poll."""
        await self._self_checks.locate()

    async def run(self) -> None:
        """Run the parts until stopped, and then until the last poll has ended."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._scheduler.run())
            others = [
                tasks.create_task(self._static.run(self._take_static, self._report_static_error)),
                tasks.create_task(self._publisher.run()),
                tasks.create_task(self._self_checks.run()),
            ]
            await self._stopped.wait()
            for task in others:
                task.cancel()

    async def stop(self) -> None:
        """Start nothing more."""
        self._stopped.set()
        await self._scheduler.stop()

    async def _missing_capabilities(self) -> tuple[MissingCapability, ...]:
        """What this instance cannot see by its configuration, or in fact."""
        program = self._program
        described = await some_of(tuple(self.targets.values()), _is_described)
        now = Situation(
            config=self.config,
            pod_view=any(target.netns for target in described),
            trouble=program.table.pod_view_error,
            refused=self._portforwards.trouble if self._portforwards else "",
            webhook=program.api.dry_run.last,
            bypassed=self._describe(described, traffic_past_the_mesh),
            untrusted=self._describe(described, partial(why_untrusted, config=self.config)),
        )
        return missing_capabilities(now)

    def _describe(
        self, targets: Sequence[Target], sentence: Callable[[Iterable[Target]], str]
    ) -> str:
        """One sentence on targets; none where a target makes it raise."""
        say = partial(sentence, targets)
        return self._reader.attempt("reports", "", "", say) or ""

    async def _take_static(self, targets: Iterable[Target]) -> None:
        self._report_files()
        await self._program.sets.take_static(targets, self.config)

    def _report_static_error(self, error: ConfigError) -> None:
        """A file of targets broke: its old targets stay, and the metric shows it."""
        self._report_files()
        for problem in error.every:
            self._program.metrics.read_file(problem.file, readable=False)

    def _report_files(self) -> None:
        metrics = self._program.metrics
        metrics.forgot_files()
        for file in self.config.discovery.static.files:
            metrics.read_file(str(self._program.base / file), readable=True)


def _is_described(target: Target) -> bool:
    """Whether what this instance sees depends on it."""
    return bool(target.netns or target.unserved_addresses or target.role is Role.ISTIOD)
