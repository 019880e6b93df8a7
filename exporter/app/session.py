"""Builds the parts and runs them: one task group, signals, reload, shutdown.

In: a way to load the configuration. Out: an exit code when it was told to stop. What each part
counts is handed to it as a callable here, so that no part knows another beside it.
"""

import asyncio
import contextlib
import logging
import socket
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from pathlib import Path

from exporter import __version__
from exporter.app.capabilities import MissingCapability, missing_capabilities
from exporter.app.portforwards import PortForwardAccess
from exporter.app.process import bind
from exporter.app.self_checks import SelfChecks
from exporter.app.sources import TargetSources
from exporter.config import Config, ConfigError, Problem
from exporter.control_plane.dry_run_loop import WebhookDryRun
from exporter.control_plane.sync_publisher import SyncPublisher
from exporter.discovery.static import load_static
from exporter.discovery.target_sets import TargetSets
from exporter.exposition import FAMILIES, Family, render_synced, selected
from exporter.kube.credentials import Load
from exporter.model import Memory, Target, WebhookPath
from exporter.poll.poll_target import EVERY_CADENCE, PollResult, look
from exporter.scheduler.scheduler import PollInstrumentation, Scheduler
from exporter.selfmetrics.registry import SelfMetrics
from exporter.state import State
from exporter.web.application import create_app
from exporter.web.context import WebContext
from exporter.web.server import serving
from exporter.web.toolkit.web_config import WebConfigFile

log = logging.getLogger(__name__)


class Exporter:
    """The running program: configuration, targets, poller, pages."""

    _sources: TargetSources
    _self_checks: SelfChecks

    def __init__(
        self,
        load: Callable[[], Config],
        base: Path,
        targets: Sequence[Target] = (),
        listener: socket.socket | None = None,
        find_credentials: Callable[[], Load | None] = lambda: None,
    ) -> None:
        """Take the configuration and its targets; raises ConfigError.

        `base` is the folder that file names in the configuration are relative to. `targets` are
        watched beside the configuration's own. `listener`: an address that is bound already.
        `find_credentials`: those for the Kubernetes API, if there are any.
        """
        self._load = load
        self._base = base
        self._listener = listener
        self.config = load()
        load_static(self.config.discovery.static, base)
        self._web_config = _web_config_file(self.config)
        self.metrics = SelfMetrics(__version__)
        families = _families(self.config)
        self.state = State(families)
        tally = PollInstrumentation(
            self._under_way, self.metrics.probed, self.metrics.polled, self.metrics.skipped
        )
        self._inside = PortForwardAccess(self.config)
        self.scheduler = Scheduler(self.config, self.state, tally, self._inside.pod)
        self._in_flight = 0
        self.metrics.watch_in_flight(lambda: self._in_flight)
        self._dry_run = WebhookDryRun(
            tried=self._tried_webhook, asked=self.metrics.asked_kubernetes
        )
        self._self_checks = SelfChecks(
            config=lambda: self.config,
            missing_capabilities=self.missing_capabilities,
            cluster=lambda: self._sources.cluster,
            scheduler=self.scheduler,
            metrics=self.metrics,
            state=self.state,
        )
        self._listed = SyncPublisher(
            config=lambda: self.config,
            targets=lambda: self.scheduler.targets,
            other_shards=lambda: self._sources.other_shards,
            ignores_istiods=lambda: self._sources.cluster.ignores_istiods,
            is_complete=lambda: self._sources.is_current,
            records=self.state,
            told=State(families, render_synced),
        )
        self._sources = TargetSources(
            config=lambda: self.config,
            base=base,
            target_sets=TargetSets({target.key: target for target in targets}),
            find_credentials=find_credentials,
            inside=self._inside,
            dry_run=self._dry_run,
            scheduler=self.scheduler,
            metrics=self.metrics,
            forget=self._listed.forget,
            changed=self._self_checks.count_soon,
        )
        self._reloading = asyncio.Lock()
        self.metrics.reloaded(successful=True, now=time.time())

    async def run(self, started: Callable[[str], None] | None = None) -> None:
        """Serve until cancelled. `started` is told the address once it is bound."""
        await self._self_checks.place()
        async with self._serving() as address, asyncio.TaskGroup() as tasks:
            log.info("listening address=%s version=%s", address, __version__)
            if started:
                started(address)
            tasks.create_task(self.scheduler.run())
            tasks.create_task(self._sources.run())
            tasks.create_task(self._listed.run())
            tasks.create_task(self._self_checks.run())

    async def reload(self) -> str | None:
        """Take the configuration anew; a bad one changes nothing. Returns what is wrong.

        Files are read in a thread: ten thousand targets take about a second.
        """
        async with self._reloading:
            try:
                config, families = await asyncio.to_thread(self._read)
            except ConfigError as error:
                self.metrics.reloaded(successful=False, now=time.time())
                for problem in error.problems:
                    said = str(problem)
                    log.error("configuration not reloaded, the old one stays problem=%r", said)  # noqa: TRY400 - the problem is the user's
                return str(error)
            await self._take(config, families)
        return None

    def _read(self) -> tuple[Config, tuple[Family, ...]]:
        """The configuration, after everything that it names was read once."""
        config = self._load()
        families = _families(config)
        load_static(config.discovery.static, self._base)
        _web_config_file(config)
        return config, families

    async def _take(self, config: Config, families: tuple[Family, ...]) -> None:
        states = (self.state, self._listed.told)
        for state in states:
            await state.prepare(families)
        self._inside.configure(config)
        self.config = config
        for state in states:
            state.commit()
        self.scheduler.configure(config)
        self._sources.begin_anew()
        self.metrics.reloaded(successful=True, now=time.time())
        self._self_checks.report_capabilities()
        log.info("configuration reloaded")
        for state in states:
            await state.discard()

    def missing_capabilities(self) -> tuple[MissingCapability, ...]:
        """What this instance cannot see by its configuration, or in fact."""
        inside = any(target.netns for target in self._known())
        trouble = self.scheduler.pod_view_error
        found = missing_capabilities(
            self.config,
            inside=inside,
            trouble=trouble,
            refused=self._inside.trouble,
            webhook=self._dry_run.last,
        )
        return tuple(found)

    async def probe(self, target: Target) -> PollResult:
        """One synchronous look at a target, with every cadence; it never gets the debug token."""
        return await look(
            replace(target, trusted=False),
            Memory(),
            EVERY_CADENCE,
            self.config,
            time.time(),
            in_mesh=self.scheduler.in_mesh,
            forward=self._inside.pod_now,
        )

    def _known(self) -> Sequence[Target]:
        return tuple(self.scheduler.targets.values())

    def _under_way(self, more: int) -> None:
        self._in_flight += more

    def _tried_webhook(self, path: WebhookPath | None) -> None:
        self.state.cluster = replace(self.state.cluster, webhook_path=path)
        self.scheduler.webhook = path

    @contextlib.asynccontextmanager
    async def _serving(self) -> AsyncIterator[str]:
        context = WebContext(
            state=self.state,
            listed=self._listed.told,
            self_metrics=self.metrics,
            config=lambda: self.config,
            families=lambda: self.state.families,
            probe=self.probe,
            reload=self.reload if self.config.web.enable_reload else None,
            is_healthy=lambda: self.scheduler.is_live,
            is_ready=lambda: self._sources.is_synced and self.scheduler.is_warm,
            targets=lambda: self.scheduler.targets,
            unseen=lambda: tuple(missing.sentence for missing in self.missing_capabilities()),
        )
        application = create_app(context)
        if self._web_config:
            self._web_config.guard(application)
        address = self.config.web.listen_address
        listener = self._listener or bind(address)
        tls = self._web_config.context() if self._web_config else None
        async with serving(application, listener, tls):
            host = address.rpartition(":")[0] or "localhost"
            yield f"{host}:{listener.getsockname()[1]}"


def _families(config: Config) -> tuple[Family, ...]:
    """The families that are chosen; a name that is none is the user's mistake."""
    disabled = config.metrics.disabled_families
    known = {family.name for family in FAMILIES}
    if unknown := sorted(set(disabled) - known):
        message = f"{', '.join(unknown)}: no such family (docs/metrics.md lists them)"
        raise ConfigError(Problem("", 0, "metrics.disabled_families", message))
    return selected(config.metrics.profile, disabled)


def _web_config_file(config: Config) -> WebConfigFile | None:
    """TLS and users as the web configuration file says; raises ConfigError."""
    return WebConfigFile(Path(config.web.config_file)) if config.web.config_file else None
