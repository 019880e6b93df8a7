"""Follows every source of targets, and tells the poller who is there.

In: files and the cluster, as the configuration names them. Out: targets put to the poller and
dropped from it. The rule: a name given by hand goes before the cluster's of the same name, and a
source that fails takes no target away.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from exporter.app.portforwards import PortForwardAccess
from exporter.config import Config, ConfigError
from exporter.control_plane.dry_run_loop import WebhookDryRun
from exporter.discovery.cluster import ClusterCallbacks, ClusterSource
from exporter.discovery.static import StaticSource
from exporter.discovery.target_sets import TargetSets
from exporter.kube.client import KubernetesClient
from exporter.kube.credentials import Load
from exporter.model import Target, TargetKey
from exporter.scheduler.scheduler import Scheduler
from exporter.selfmetrics.registry import SelfMetrics

log = logging.getLogger(__name__)

_NOTHING_TO_WATCH = (
    "there is nothing to watch: no Kubernetes credentials were found (no service account, "
    "KUBECONFIG or ~/.kube/config) and no static targets are configured; run this in a cluster, "
    "set KUBECONFIG, or name targets under discovery.static"
)


@dataclass(slots=True, kw_only=True)
class TargetSources:
    """Knows the sources. `forget` is told of every target that is gone.

    `base`: the folder that file names are relative to. `changed`: called after a source told
    something. `inside` and `dry_run` use the same connection to the API server.
    """

    config: Callable[[], Config]
    base: Path
    target_sets: TargetSets
    find_credentials: Callable[[], Load | None]
    inside: PortForwardAccess
    dry_run: WebhookDryRun
    scheduler: Scheduler
    metrics: SelfMetrics
    forget: Callable[[TargetKey], None]
    changed: Callable[[], None]
    cluster: ClusterSource = field(init=False)
    _anew: asyncio.Event = field(init=False, default_factory=asyncio.Event)
    _read_files: bool = field(init=False, default=False)
    _has_cluster: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        """Make the cluster's source; what it knows outlives a reload."""
        self.cluster = ClusterSource(
            ClusterCallbacks(
                put=self._appeared,
                drop=self._vanished,
                changed=self.changed,
                synced=self.metrics.synced,
                relisted=self.metrics.relisted,
                requested=self.metrics.asked_kubernetes,
            )
        )

    async def run(self) -> None:
        """Follow what the configuration names, and begin anew when told; until cancelled."""
        while True:
            self._anew.clear()
            self.metrics.forgot_files()
            told = asyncio.create_task(self._anew.wait())
            following = asyncio.create_task(self._follow())
            try:
                await asyncio.wait({following, told}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                told.cancel()
                following.cancel()
            # Awaiting it would raise its cancellation, which cannot be told from our own.
            await asyncio.wait({following})
            if not following.cancelled():
                following.result()

    def begin_anew(self) -> None:
        """The configuration changed."""
        self._anew.set()

    @property
    def is_synced(self) -> bool:
        """Whether every source told all that it has."""
        return self._read_files and (self.cluster.is_synced or not self._has_cluster)

    @property
    def is_current(self) -> bool:
        """Whether what is known is what there is, at this moment."""
        return self.is_synced and (self.cluster.is_watched or not self._has_cluster)

    @property
    def other_shards(self) -> Mapping[TargetKey, Target]:
        """Every target that another shard polls and of which this replica's istiods may speak."""
        return self.target_sets.other_shards(self.cluster.other_shards, self.config())

    async def _follow(self) -> None:
        static = StaticSource(self.config().discovery.static, self.base)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(static.run(self._found, self._lost))
            tasks.create_task(self._follow_cluster())

    async def _follow_cluster(self) -> None:
        """Follow the pods of the cluster; without a way to it say so, and forget its targets."""
        config = self.config()
        is_wanted = config.discovery.kubernetes.enabled
        load = self.find_credentials() if is_wanted or self.inside.is_allowed else None
        self._has_cluster = is_wanted and load is not None
        if not self._has_cluster:
            self.cluster.clear()
            if is_wanted:
                self._tell_no_credentials(config)
        if load is None:
            return
        async with KubernetesClient(load) as api, asyncio.TaskGroup() as tasks:
            self.inside.api = api
            try:
                tasks.create_task(self.dry_run.run(api, config))
                await (self.cluster.run(api, config) if is_wanted else asyncio.Event().wait())
            finally:
                self.inside.api = None

    def _tell_no_credentials(self, config: Config) -> None:
        static = config.discovery.static
        if static.files or static.targets:
            log.info("no kubernetes credentials found, only static targets are watched")
        elif not self.target_sets.preset:
            log.error(_NOTHING_TO_WATCH)

    def _lost(self, error: ConfigError) -> None:
        """A file of targets broke: its old targets stay, and the metric says so."""
        for problem in error.problems:
            self.metrics.read_file(problem.file, readable=False)

    def _found(self, targets: tuple[Target, ...]) -> None:
        """Take the targets written by hand."""
        config = self.config()
        self.metrics.forgot_files()
        for file in config.discovery.static.files:
            self.metrics.read_file(str(self.base / file), readable=True)
        self.target_sets.take(targets, config)
        known = self.target_sets.owned(self.cluster.owned, config)
        for key in self.scheduler.targets.keys() - known.keys():
            self.forget(key)
        self.scheduler.replace_all(tuple(known.values()))
        self._read_files = True
        self.changed()

    def _appeared(self, target: Target) -> None:
        if target.key not in self.target_sets.static:
            self.scheduler.put(target)

    def _vanished(self, key: TargetKey) -> None:
        if key not in self.target_sets.static:
            self.scheduler.drop(key)
            self.forget(key)
