"""The connection to the Kubernetes API: its client, the watches and the webhook's dry run.

In: the configuration of each session. It outlives them: the client stays while anybody needs it,
and a task starts anew only when the part of the configuration that it reads has changed. Each task
gets that part and nothing else, so that it cannot depend on more.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from functools import partial
from typing import Any

from exporter.config import Config, DiscoveryConfig, IstiodConfig, KubernetesConfig, PollConfig
from exporter.control_plane.webhook_dry_run import WebhookDryRun
from exporter.control_plane.webhook_names import WebhookNames
from exporter.discovery.target_sets import TargetSets
from exporter.kube.api_errors import KubernetesError
from exporter.kube.client import KubernetesClient
from exporter.kube.credentials import LoadCredentials
from exporter.kube.websocket import PortForwardWebSocket
from exporter.model import ClusterRecord, TargetKey, WebhookPath
from exporter.selfmetrics.registry import SelfMetrics

log = logging.getLogger(__name__)

_NOTHING_TO_WATCH = (
    "there is nothing to watch: no Kubernetes credentials were found (no service account, "
    "KUBECONFIG or ~/.kube/config) and no static targets are configured; run this in a cluster, "
    "set KUBECONFIG, or name targets under discovery.static"
)

Run = Callable[[Config], Coroutine[Any, Any, None]]


class ApiConnection:
    """One API server at most, and what runs with it."""

    def __init__(
        self,
        find_credentials: Callable[[], LoadCredentials | None],
        sets: TargetSets,
        cluster: ClusterRecord,
        metrics: SelfMetrics,
    ) -> None:
        self.dry_run = WebhookDryRun(self._take_webhook_path, metrics)
        self._called = WebhookNames(metrics)
        self._find_credentials = find_credentials
        self._sets = sets
        self._cluster = cluster
        self._config = Config()
        self._configured = asyncio.Event()
        self._load: LoadCredentials | None = None
        self._api: KubernetesClient | None = None
        self._watches = _Restartable()
        self._dry_runs = _Restartable()
        self._name_reads = _Restartable()

    def configure(self, config: Config, *, has_static: bool) -> None:
        """Connect, and run, as this configuration wants it; it may have static targets."""
        self._config = config
        is_wanted = config.discovery.kubernetes.enabled
        if not (is_wanted or config.access.loopback == "portforward"):
            self._load = None
        elif self._load is None:
            self._load = self._find_credentials()
        self._sets.has_cluster = is_wanted and self._load is not None
        if is_wanted and not self._load:
            self._report_no_credentials(has_static=has_static)
        self._configured.set()

    async def run(self) -> None:
        """Run what the last configuration wants, until cancelled."""
        while True:
            self._configured.clear()
            if self._load:
                await self._connect(self._load)
                continue
            await self._sets.cluster.clear()
            await self._configured.wait()

    async def _connect(self, load: LoadCredentials) -> None:
        """Run tasks with a client while these credentials are wanted."""
        async with KubernetesClient(load) as api, asyncio.TaskGroup() as tasks:
            self._api = api
            try:
                while load is self._load:
                    self._configured.clear()
                    await self._apply_config(tasks, api)
                    await self._configured.wait()
                for task in (self._watches, self._dry_runs, self._name_reads):
                    await task.stop()
            finally:
                self._api = None

    async def _apply_config(self, tasks: asyncio.TaskGroup, api: KubernetesClient) -> None:
        """Start what the configuration newly asks for, and anew what it changed."""
        config, cluster = self._config, self._sets.cluster
        if self._sets.has_cluster:
            await self._watches.ensure_running(
                tasks, partial(cluster.run, api), _watched_part(config)
            )
        else:
            await self._watches.stop()
            await cluster.clear()
        await self._dry_runs.ensure_running(
            tasks, partial(self.dry_run.run, api), _dry_run_part(config)
        )
        await self._name_reads.ensure_running(
            tasks, partial(self._called.run, api), _names_part(config)
        )

    def webhook_names(self) -> tuple[str, ...]:
        """By which names the API server calls the injection webhook, as far as they were read."""
        return self._called.names

    @contextlib.asynccontextmanager
    async def forward(
        self, key: TargetKey, ports: Sequence[int]
    ) -> AsyncIterator[PortForwardWebSocket]:
        """Streams to ports of a pod. Raises KubernetesError."""
        if self._api is None:
            raise KubernetesError(0, "no port-forward: there are no Kubernetes credentials")
        async with self._api.forward(key.namespace, key.pod, ports) as socket:
            yield socket

    def _report_no_credentials(self, *, has_static: bool) -> None:
        if has_static:
            log.info("no kubernetes credentials found, only static targets are watched")
        elif not self._sets.preset:
            log.error(_NOTHING_TO_WATCH)

    def _take_webhook_path(self, path: WebhookPath | None) -> None:
        self._cluster.webhook_path = path


class _Restartable:
    """A task that is started anew when its part of the configuration changes."""

    def __init__(self) -> None:
        self._part: Config | None = None
        self._task: asyncio.Task[None] | None = None

    async def ensure_running(self, tasks: asyncio.TaskGroup, run: Run, part: Config) -> None:
        """Run with this part of the configuration, unless it runs so already."""
        if part != self._part:
            await self.stop()
            self._part, self._task = part, tasks.create_task(run(part))

    async def stop(self) -> None:
        """Cancel it, and wait for its end."""
        task, self._part, self._task = self._task, None, None
        if task:
            task.cancel()
            await asyncio.wait({task})


def _watched_part(config: Config) -> Config:
    """What the watches, and what is read from them, depend on."""
    istiod = config.istiod
    return Config(
        discovery=DiscoveryConfig(
            kubernetes=config.discovery.kubernetes,
            ignore_annotation=config.discovery.ignore_annotation,
        ),
        istiod=IstiodConfig(
            mode=istiod.mode,
            namespaces=istiod.namespaces,
            debug_token_file=istiod.debug_token_file,
        ),
        shard=config.shard,
    )


def _dry_run_part(config: Config) -> Config:
    """What the webhook's dry run depends on."""
    return Config(
        discovery=DiscoveryConfig(
            kubernetes=KubernetesConfig(node=config.discovery.kubernetes.node)
        ),
        istiod=IstiodConfig(webhook_dry_run=config.istiod.webhook_dry_run),
        poll=PollConfig(detail_interval=config.poll.detail_interval),
        shard=config.shard,
    )


def _names_part(config: Config) -> Config:
    """What reading the webhooks' names depends on."""
    return Config(
        istiod=IstiodConfig(read_webhook_names=config.istiod.read_webhook_names),
        poll=PollConfig(detail_interval=config.poll.detail_interval),
    )
