"""Builds the parts and runs them: one task group, signals, reload, shutdown.

In: a way to load the configuration. Out: an exit code when it was told to stop. What each part
counts is handed to it as a callable here, so that no part knows another beside it.
"""

import asyncio
import contextlib
import logging
import resource
import signal
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from exporter import __version__
from exporter.catalogue import is_newer_than_known
from exporter.config import Config, ConfigError, Problem
from exporter.discovery.static import StaticSource, load_static
from exporter.exposition import FAMILIES, Family, selected
from exporter.look import EVERY_CADENCE, Look, look
from exporter.model import Memory, Observation, Role, Target
from exporter.poller import Poller, Tally
from exporter.selfmetrics import SelfMetrics
from exporter.state import State
from exporter.web import WebContext, create_app
from exporter.web.toolkit import FrontDoor

log = logging.getLogger(__name__)

_LAG_EVERY_SECONDS = 0.5
_SHUTDOWN_SECONDS = 10.0
_OWN_SIDECAR_PORTS = (15021, 15000)


@dataclass(frozen=True, slots=True)
class Blindness:
    """Something that this instance cannot see, why, and how to change that."""

    capability: str
    sentence: str


class Exporter:
    """The running program: configuration, targets, poller, pages."""

    def __init__(
        self,
        load: Callable[[], Config],
        base: Path,
        targets: Sequence[Target] = (),
        listener: socket.socket | None = None,
    ) -> None:
        """Take the configuration and its targets; raises ConfigError.

        `base` is the folder that file names in the configuration are relative to. `targets` are
        watched beside the configuration's own. `listener`: an address that is bound already.
        """
        self._load = load
        self._base = base
        self._given = tuple(targets)
        self._listener = listener
        self.config = load()
        load_static(self.config.discovery.static, base)
        self._door = _front_door(self.config)
        self._families = _families(self.config)
        self.metrics = SelfMetrics(__version__)
        self.state = State()
        tally = Tally(self._probing, self._probed, self.metrics.polled, self.metrics.skipped)
        self.poller = Poller(self.config, self.state, self._families, tally)
        self._in_flight = 0
        self.metrics.watch_in_flight(lambda: self._in_flight)
        self._static = StaticSource(self.config.discovery.static, base)
        self._synced = False
        self._reload = asyncio.Event()
        self.metrics.reloaded(successful=True, now=time.time())

    async def run(self, started: Callable[[str], None] | None = None) -> None:
        """Serve until cancelled. `started` is told the address once it is bound."""
        in_mesh = await is_in_mesh()
        self.poller.in_mesh = in_mesh
        shard = self.config.shard
        self.metrics.placed(in_mesh=in_mesh, ordinal=shard.ordinal, total=shard.total)
        self._tell_blindness()
        async with self._serving() as address, asyncio.TaskGroup() as tasks:
            log.info("listening address=%s version=%s", address, __version__)
            if started:
                started(address)
            tasks.create_task(self.poller.run())
            tasks.create_task(self._discover())
            tasks.create_task(self._measure_lag())

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
        self.config, self._families = config, families
        self.poller.configure(config, families)
        self._static = StaticSource(config.discovery.static, self._base)
        self._reload.set()
        self.metrics.reloaded(successful=True, now=time.time())
        self._tell_blindness()
        log.info("configuration reloaded")
        return None

    def blindness(self) -> tuple[Blindness, ...]:
        """What this instance cannot see by its configuration."""
        return tuple(_blindness(self.config, any(t.netns for t in self._known())))

    async def probe(self, target: Target) -> Look:
        """One synchronous look at a target, with every cadence."""
        return await look(
            target,
            Memory(),
            EVERY_CADENCE,
            self.config,
            time.time(),
            in_mesh=self.poller.in_mesh,
        )

    def _known(self) -> Sequence[Target]:
        return tuple(self.poller.targets.values())

    def _probing(self, probes: int) -> None:
        self._in_flight += probes

    def _probed(self, observation: Observation, role: Role) -> None:
        self._in_flight -= 1
        self.metrics.probed(observation.port, role, observation.seconds)

    def _tell_blindness(self) -> None:
        for blind in self.blindness():
            self.metrics.found_capable(blind.capability, able=False)
            log.warning("cannot see capability=%s reason=%r", blind.capability, blind.sentence)

    async def _discover(self) -> None:
        """Hand the poller the targets of the configuration, and each change of their files."""
        while True:
            self._reload.clear()
            self.metrics.forgot_files()
            source = self._static
            watching = asyncio.create_task(source.run(self._found, self._lost))
            reloaded = asyncio.create_task(self._reload.wait())
            try:
                await asyncio.wait({watching, reloaded}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                reloaded.cancel()
                watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watching

    def _lost(self, error: ConfigError) -> None:
        """A file of targets broke: its old targets stay, and the metric says so."""
        for problem in error.problems:
            self.metrics.read_file(problem.file, readable=False)

    def _found(self, targets: tuple[Target, ...]) -> None:
        for file in self.config.discovery.static.files:
            self.metrics.read_file(str(self._base / file), readable=True)
        self.poller.replace_all((*self._given, *targets))
        known = self._known()
        roles = {str(role): count for role, count in Counter(t.role for t in known).items()}
        outdated = any(is_newer_than_known(target.istio_version) for target in known)
        self.metrics.counted_targets(roles, 0, outdated=outdated)
        self.metrics.found_capable("netns", able=any(target.netns for target in known))
        self._synced = True

    async def _measure_lag(self) -> None:
        while True:
            asked = time.monotonic()
            await asyncio.sleep(_LAG_EVERY_SECONDS)
            self.metrics.lagged(max(0.0, time.monotonic() - asked - _LAG_EVERY_SECONDS))

    @contextlib.asynccontextmanager
    async def _serving(self) -> AsyncIterator[str]:
        context = WebContext(
            state=self.state,
            self_metrics=self.metrics,
            config=lambda: self.config,
            families=lambda: self._families,
            probe=self.probe,
            reload=self.reload if self.config.web.enable_reload else None,
            is_healthy=lambda: self.poller.is_live,
            is_ready=lambda: self._synced and self.poller.is_warm,
            targets=lambda: self.poller.targets,
            unseen=lambda: tuple(blind.sentence for blind in self.blindness()),
        )
        application = create_app(context)
        if self._door:
            self._door.guard(application)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=_SHUTDOWN_SECONDS)
        await runner.setup()
        address = self.config.web.listen_address
        listener = self._listener or bind(address)
        tls = self._door.context() if self._door else None
        site = web.SockSite(runner, listener, ssl_context=tls)
        try:
            await site.start()
            host = address.rpartition(":")[0] or "localhost"
            yield f"{host}:{listener.getsockname()[1]}"
        finally:
            await runner.cleanup()


async def serve(load: Callable[[], Config], base: Path) -> None:
    """Run the exporter until SIGTERM or SIGINT; SIGHUP reloads. Raises ConfigError, OSError."""
    raise_file_limit()
    exporter = Exporter(load, base)
    running = asyncio.create_task(exporter.run())
    loop = asyncio.get_running_loop()
    for stop in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(stop, running.cancel)
    loop.add_signal_handler(signal.SIGHUP, exporter.reload)
    with contextlib.suppress(asyncio.CancelledError):
        await running
    log.info("stopped")


def bind(address: str) -> socket.socket:
    """A socket listening on `host:port`; without a host on every address of both families."""
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    if not host and socket.has_dualstack_ipv6():
        wildcard = ("", int(port))
        return socket.create_server(wildcard, family=socket.AF_INET6, dualstack_ipv6=True)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, int(port)), family=family)


async def is_in_mesh() -> bool:
    """Whether our own sidecar answers on loopback: then nothing that we see can be trusted."""
    for port in _OWN_SIDECAR_PORTS:
        try:
            async with asyncio.timeout(1):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
        except (OSError, TimeoutError):
            continue
        writer.close()
        return True
    return False


def raise_file_limit() -> None:
    """Allow as many open sockets as the system lets us: each look holds several."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


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


def _blindness(config: Config, has_netns: bool) -> list[Blindness]:  # noqa: FBT001
    blind = []
    if config.access.loopback == "none" and not has_netns:
        blind.append(
            Blindness(
                "loopback",
                "15001 and the loopback ports 15000, 15004, 15053, 9876 are not seen from inside: "
                "no access to pods is configured (access.loopback, or a target's netns)",
            )
        )
    if not config.poll.hello:
        blind.append(Blindness("hello", "15006 and wire certificates: poll.hello is off"))
    if not config.poll.exposure:
        blind.append(Blindness("exposure", "an exposed admin port: poll.exposure is off"))
    if not config.poll.application_probes:
        blind.append(
            Blindness("application_probes", "application health: poll.application_probes is off")
        )
    if not config.istiod.debug_token_file:
        blind.append(
            Blindness("debug_token", "what istiod says of its proxies (syncz): no debug token")
        )
    return blind
