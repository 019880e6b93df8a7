"""Builds the parts and runs them: one task group, signals, reload, shutdown.

In: a way to load the configuration. Out: an exit code when it was told to stop. What each part
counts is handed to it as a callable here, so that no part knows another beside it.
"""

import asyncio
import contextlib
import logging
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from pathlib import Path

from exporter import __version__, kube
from exporter.app.blindness import CAPABILITIES, Blindness, blindness
from exporter.app.dry_run import DryRun
from exporter.app.inside import Inside
from exporter.app.listed import ListedProxies
from exporter.app.process import bind, is_in_mesh
from exporter.app.roster import Roster
from exporter.catalogue import is_newer_than_known
from exporter.config import Config, ConfigError, Problem
from exporter.discovery.cluster import ClusterSource, Reports
from exporter.discovery.static import StaticSource, load_static
from exporter.exposition import FAMILIES, Family, selected
from exporter.look import EVERY_CADENCE, Look, look
from exporter.model import Memory, Observation, Role, Target, TargetKey, WebhookPath
from exporter.poller import Poller, Tally
from exporter.selfmetrics import SelfMetrics
from exporter.state import State
from exporter.web import WebContext, create_app
from exporter.web.server import serving
from exporter.web.toolkit import FrontDoor

log = logging.getLogger(__name__)

_LAG_EVERY_SECONDS = 0.5
_REVIEW_EVERY_SECONDS = 15.0
_COUNT_EVERY_SECONDS = 1.0

_NOTHING_TO_WATCH = (
    "there is nothing to watch: no Kubernetes credentials were found (no service account, "
    "KUBECONFIG or ~/.kube/config) and no static targets are configured; run this in a cluster, "
    "set KUBECONFIG, or name targets under discovery.static"
)


class Exporter:
    """The running program: configuration, targets, poller, pages."""

    def __init__(
        self,
        load: Callable[[], Config],
        base: Path,
        targets: Sequence[Target] = (),
        listener: socket.socket | None = None,
        find_credentials: Callable[[], kube.Load | None] = lambda: None,
    ) -> None:
        """Take the configuration and its targets; raises ConfigError.

        `base` is the folder that file names in the configuration are relative to. `targets` are
        watched beside the configuration's own. `listener`: an address that is bound already.
        `find_credentials`: those for the Kubernetes API, if there are any.
        """
        self._load = load
        self._base = base
        self._roster = Roster({target.key: target for target in targets})
        self._find_credentials = find_credentials
        self._listener = listener
        self.config = load()
        load_static(self.config.discovery.static, base)
        self._door = _front_door(self.config)
        self._families = _families(self.config)
        self.metrics = SelfMetrics(__version__)
        self.state = State()
        tally = Tally(self._probing, self._probed, self.metrics.polled, self.metrics.skipped)
        self._inside = Inside(self.config)
        self.poller = Poller(self.config, self.state, self._families, tally, self._inside.pod)
        self._in_flight = 0
        self._told: dict[str, str] = {}
        self.metrics.watch_in_flight(lambda: self._in_flight)
        self._static = StaticSource(self.config.discovery.static, base)
        self._cluster = ClusterSource(
            Reports(
                put=self._appeared,
                drop=self._vanished,
                changed=self._count_soon,
                synced=self.metrics.synced,
                relisted=self.metrics.relisted,
                asked=self.metrics.asked_kubernetes,
            )
        )
        self._listed = ListedProxies(
            config=lambda: self.config,
            families=lambda: self._families,
            targets=lambda: self.poller.targets,
            elsewhere=lambda: self._roster.elsewhere(self._cluster.elsewhere, self.config),
            hides_istiods=lambda: self._cluster.hides_istiods,
            is_complete=self._is_current,
            records=self.state,
        )
        self._dry_run = DryRun(tried=self._tried_webhook, asked=self.metrics.asked_kubernetes)
        self._synced = False
        self._has_cluster = False
        self._uncounted = asyncio.Event()
        self._reload = asyncio.Event()
        self.metrics.reloaded(successful=True, now=time.time())

    async def run(self, started: Callable[[str], None] | None = None) -> None:
        """Serve until cancelled. `started` is told the address once it is bound."""
        await self._place()
        async with self._serving() as address, asyncio.TaskGroup() as tasks:
            log.info("listening address=%s version=%s", address, __version__)
            if started:
                started(address)
            tasks.create_task(self.poller.run())
            tasks.create_task(self._discover())
            tasks.create_task(self._listed.run())
            tasks.create_task(self._count())
            tasks.create_task(self._measure_lag())
            tasks.create_task(self._review())

    def reload(self) -> str | None:
        """Take the configuration anew; a bad one changes nothing. Returns what is wrong."""
        try:
            config = self._load()
            families = _families(config)
            load_static(config.discovery.static, self._base)
            _front_door(config)
        except ConfigError as error:
            self.metrics.reloaded(successful=False, now=time.time())
            for problem in error.problems:
                log.error("configuration not reloaded, the old one stays problem=%r", str(problem))  # noqa: TRY400 - the problem is the user's, not a traceback
            return str(error)
        self._inside.configure(config)
        self.config, self._families = config, families
        self.poller.configure(config, families)
        self._listed.render_again()
        self._static = StaticSource(config.discovery.static, self._base)
        self._reload.set()
        self.metrics.reloaded(successful=True, now=time.time())
        self._tell_blindness()
        log.info("configuration reloaded")
        return None

    def blindness(self) -> tuple[Blindness, ...]:
        """What this instance cannot see by its configuration, or in fact."""
        inside = any(target.netns for target in self._known())
        trouble = self.poller.trouble_inside
        found = blindness(
            self.config,
            inside=inside,
            trouble=trouble,
            refused=self._inside.trouble,
            webhook=self._dry_run.last,
        )
        return tuple(found)

    async def probe(self, target: Target) -> Look:
        """One synchronous look at a target, with every cadence; it never gets the debug token."""
        return await look(
            replace(target, trusted=False),
            Memory(),
            EVERY_CADENCE,
            self.config,
            time.time(),
            in_mesh=self.poller.in_mesh,
            forward=self._inside.pod_now,
        )

    def _known(self) -> Sequence[Target]:
        return tuple(self.poller.targets.values())

    def _probing(self, probes: int) -> None:
        self._in_flight += probes

    def _probed(self, observation: Observation, role: Role) -> None:
        self._in_flight -= 1
        self.metrics.probed(observation.port, role, observation.seconds)

    def _tried_webhook(self, path: WebhookPath | None) -> None:
        self.metrics.tried_webhook(path)
        self.poller.webhook = path

    def _tell_blindness(self) -> None:
        """Say once what cannot be seen, and again when it changes."""
        blind = {one.capability: one.sentence for one in self.blindness()}
        for capability in CAPABILITIES:
            self.metrics.found_capable(capability, able=capability not in blind)
            sentence = blind.get(capability)
            if sentence and self._told.get(capability) != sentence:
                log.warning("cannot see capability=%s reason=%r", capability, sentence)
        self._told = blind

    async def _discover(self) -> None:
        """Follow what the configuration names, and begin anew with each reload."""
        while True:
            self._reload.clear()
            self.metrics.forgot_files()
            reloaded = asyncio.create_task(self._reload.wait())
            following = asyncio.create_task(self._follow())
            try:
                await asyncio.wait({following, reloaded}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                reloaded.cancel()
                following.cancel()
            # Awaiting it would raise its cancellation, which cannot be told from our own.
            await asyncio.wait({following})
            if not following.cancelled():
                following.result()

    async def _follow(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._static.run(self._found, self._lost))
            tasks.create_task(self._follow_cluster())

    async def _follow_cluster(self) -> None:
        """Follow the pods of the cluster; without a way to it say so, and forget its targets."""
        config = self.config
        is_wanted = config.discovery.kubernetes.enabled
        load = self._find_credentials() if is_wanted or self._inside.is_allowed else None
        self._has_cluster = is_wanted and load is not None
        if not self._has_cluster:
            self._cluster.clear()
            if is_wanted:
                self._tell_no_credentials(config)
        if load is None:
            return
        async with kube.Api(load) as api, asyncio.TaskGroup() as tasks:
            self._inside.api = api
            try:
                tasks.create_task(self._dry_run.run(api, config))
                await (self._cluster.run(api, config) if is_wanted else asyncio.Event().wait())
            finally:
                self._inside.api = None

    def _tell_no_credentials(self, config: Config) -> None:
        static = config.discovery.static
        if static.files or static.targets:
            log.info("no kubernetes credentials found, only static targets are watched")
        elif not self._roster.given:
            log.error(_NOTHING_TO_WATCH)

    def _lost(self, error: ConfigError) -> None:
        """A file of targets broke: its old targets stay, and the metric says so."""
        for problem in error.problems:
            self.metrics.read_file(problem.file, readable=False)

    def _found(self, targets: tuple[Target, ...]) -> None:
        """Take the targets written by hand, which go before the cluster's of the same name."""
        self.metrics.forgot_files()
        for file in self.config.discovery.static.files:
            self.metrics.read_file(str(self._base / file), readable=True)
        self._roster.take(targets, self.config)
        known = self._roster.ours(self._cluster.targets, self.config)
        for key in self.poller.targets.keys() - known.keys():
            self._listed.forget(key)
        self.poller.replace_all(tuple(known.values()))
        self._synced = True
        self._count_now()

    def _appeared(self, target: Target) -> None:
        if target.key not in self._roster.by_hand:
            self.poller.put(target)

    def _vanished(self, key: TargetKey) -> None:
        if key not in self._roster.by_hand:
            self.poller.drop(key)
            self._listed.forget(key)

    def _is_synced(self) -> bool:
        """Whether every source told all that it has."""
        return self._synced and (self._cluster.is_synced or not self._has_cluster)

    def _is_current(self) -> bool:
        """Whether what is known is what there is, at this moment."""
        return self._is_synced() and (self._cluster.is_followed or not self._has_cluster)

    def _count_soon(self) -> None:
        self._uncounted.set()

    async def _count(self) -> None:
        """Count the targets after they changed, but not after each of many changes."""
        while True:
            await self._uncounted.wait()
            await asyncio.sleep(_COUNT_EVERY_SECONDS)
            self._count_now()

    def _count_now(self) -> None:
        self._uncounted.clear()
        known = self._known()
        roles = {str(role): count for role, count in Counter(t.role for t in known).items()}
        outdated = any(is_newer_than_known(target.istio_version) for target in known)
        ports = sum(len(target.ignored_ports) for target in known)
        self.metrics.counted_targets(roles, self._cluster.ignored, ports, outdated=outdated)
        self.metrics.counted_ambient_pods(self._cluster.ambient_pods())
        self._tell_blindness()

    async def _place(self) -> None:
        """Find out whether we stand behind a sidecar, and say which share is ours."""
        in_mesh = await is_in_mesh()
        if in_mesh and not self.poller.in_mesh:
            log.error("a sidecar answers on our own loopback: nothing that we see can be trusted")
        self.poller.in_mesh = in_mesh
        shard = self.config.shard
        self.metrics.placed(in_mesh=in_mesh, ordinal=shard.ordinal, total=shard.total)

    async def _review(self) -> None:
        """Look again at what may change under us: our own place, and what we are let see."""
        while True:
            await asyncio.sleep(_REVIEW_EVERY_SECONDS)
            await self._place()
            self._tell_blindness()

    async def _measure_lag(self) -> None:
        while True:
            asked = time.monotonic()
            await asyncio.sleep(_LAG_EVERY_SECONDS)
            self.metrics.lagged(max(0.0, time.monotonic() - asked - _LAG_EVERY_SECONDS))

    @contextlib.asynccontextmanager
    async def _serving(self) -> AsyncIterator[str]:
        context = WebContext(
            state=self.state,
            listed=self._listed.told,
            self_metrics=self.metrics,
            config=lambda: self.config,
            families=lambda: self._families,
            probe=self.probe,
            reload=self.reload if self.config.web.enable_reload else None,
            is_healthy=lambda: self.poller.is_live,
            is_ready=lambda: self._is_synced() and self.poller.is_warm,
            targets=lambda: self.poller.targets,
            unseen=lambda: tuple(blind.sentence for blind in self.blindness()),
        )
        application = create_app(context)
        if self._door:
            self._door.guard(application)
        address = self.config.web.listen_address
        listener = self._listener or bind(address)
        tls = self._door.context() if self._door else None
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


def _front_door(config: Config) -> FrontDoor | None:
    """TLS and users as the web configuration file says; raises ConfigError."""
    return FrontDoor(Path(config.web.config_file)) if config.web.config_file else None
