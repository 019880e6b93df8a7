"""The running program: it serves, and runs one session after another; `serve` adds signals.

In: a way to load the configuration. What outlives a session is made here: the listening socket and
the web server, the state, the targets with their memories, the self-metrics and the connection to
the Kubernetes API with its watches.
"""

import asyncio
import contextlib
import logging
import signal
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from pathlib import Path

from exporter import __version__, clock
from exporter.app.api_connection import ApiConnection
from exporter.app.process import (
    bind,
    collect_garbage_rarely,
    collect_young_garbage,
    many_new_objects,
    raise_file_limit,
    release_freed_memory,
)
from exporter.app.session import ProgramParts, Reading, Session, portforwards_of
from exporter.config import Config, ConfigError, LogConfig, Problem, StaticConfig
from exporter.discovery.static import StaticSource
from exporter.discovery.target_sets import TargetSets
from exporter.exposition import render_synced, selected
from exporter.kube import credentials
from exporter.model import ClusterRecord, Target
from exporter.parsing import bracketed
from exporter.scheduler.target_table import TargetTable
from exporter.selfmetrics.registry import SelfMetrics
from exporter.state import State
from exporter.turn import in_thread
from exporter.web.application import create_app
from exporter.web.context import WebContext
from exporter.web.server import serving
from exporter.web.toolkit.web_config import WebConfigFile

log = logging.getLogger(__name__)


_READ_AT_START = ("listen_address", "telemetry_path", "config_file")
"""Keys of `web` with which a reload is refused where they changed; all others hold at once."""


class Exporter:
    """The program: `run` serves until it is cancelled, `reload` takes the configuration anew.

    `session` is the present one.
    """

    def __init__(
        self,
        load: Callable[[], Config],
        base: Path,
        targets: Sequence[Target] = (),
        listener: socket.socket | None = None,
        find_credentials: Callable[[], credentials.LoadCredentials | None] = lambda: None,
        start_logging: Callable[[LogConfig], None] = lambda _: None,
    ) -> None:
        """Read the configuration and what it names; raises ConfigError.

        `base` is the folder that file names in the configuration are relative to. `targets` are
        polled beside the configuration's own. `listener`: an address that is bound already.
        `find_credentials`: those for the Kubernetes API, if there are any. `start_logging`: called
        with what a reload says of the log.
        """
        self._load = load
        self._base = base
        self._listener = listener
        self._start_logging = start_logging
        self._reloading = asyncio.Lock()
        self._next_reload: asyncio.Task[str | None] | None = None
        self._tasks = asyncio.TaskGroup()
        self._runs = asyncio.Event()
        self._web_config: WebConfigFile | None = None
        reading = self._read(self._open_web_config)
        self._parts = _parts_of(reading, base, targets, find_credentials)
        self.session = Session(reading, self._parts)
        self._context = WebContext(
            state=self.state,
            synced=self._parts.synced,
            cluster=self._parts.cluster,
            self_metrics=self._parts.metrics,
            session=self.session,
        )
        self._offer_reload(reading.config)
        self._parts.api.configure(reading.config, has_static=reading.has_static)
        self._parts.metrics.reloaded(successful=True, now=clock.wall())

    @property
    def state(self) -> State:
        """The last record of every target."""
        return self._parts.state

    async def run(self, started: Callable[[str], None] | None = None) -> None:
        """Serve until cancelled. `started` gets the address once it is bound."""
        await self.session.prepare()
        async with self._serving() as address, self._tasks as tasks:
            log.info("listening address=%s version=%s", address, __version__)
            if started:
                started(address)
            tasks.create_task(self._parts.api.run())
            tasks.create_task(collect_young_garbage())
            tasks.create_task(release_freed_memory())
            tasks.create_task(self.session.run())
            self._runs.set()

    async def reload(self) -> str | None:
        """Take the configuration anew; a bad one changes nothing. Returns what is wrong.

        It goes on when who waits for it does not: half a reload would poll nothing any more.
        Those who come while one goes on share the next.
        """
        await self._runs.wait()
        if self._next_reload is None:
            self._next_reload = self._tasks.create_task(self._reload())
        return await asyncio.shield(self._next_reload)

    async def _reload(self) -> str | None:
        """Files are read in a thread: ten thousand targets take about a second."""
        async with self._reloading:
            self._next_reload = None  # from here on a file may change that was read
            try:
                reading = await in_thread(self._read, self._check_web_config)
            except ConfigError as error:
                self._parts.metrics.reloaded(successful=False, now=clock.wall())
                for problem in error.problems:
                    text = str(problem)
                    log.error("configuration not reloaded, the old one stays problem=%r", text)  # noqa: TRY400 - the problem is the user's
                return str(error)
            await self._replace_session(reading)
        return None

    def _offer_reload(self, config: Config) -> None:
        self._context.reload = self.reload if config.web.enable_reload else None

    def _open_web_config(self, config: Config) -> None:
        """TLS and users of the web configuration file; raises ConfigError."""
        file = config.web.config_file
        self._web_config = WebConfigFile(Path(file)) if file else None

    def _check_web_config(self, config: Config) -> None:
        """Whether what is served, and where, can go on; raises ConfigError as at the start."""
        served = self.session.config.web
        problems = [
            Problem("", 0, f"web.{key}", f"is {getattr(served, key) or 'none'} until a restart")
            for key in _READ_AT_START
            if getattr(config.web, key) != getattr(served, key)
        ]
        if problems:
            raise ConfigError(*problems)
        if self._web_config:
            self._web_config.check()

    def _read(self, take_web_config: Callable[[Config], None]) -> Reading:
        """The configuration, after everything that it names was read once. Raises ConfigError."""
        with many_new_objects():
            config = self._load()
            families = selected(config.metrics.profile, config.metrics.disabled_families)
            static = StaticSource(config.discovery.static, self._base)
            static.read()
            take_web_config(config)
        chosen = config.discovery.static
        kept = replace(config.discovery, static=StaticConfig(files=chosen.files))
        return Reading(
            config=replace(config, discovery=kept),
            has_static=bool(chosen.files or chosen.targets),
            families=families,
            static=static,
        )

    async def _replace_session(self, reading: Reading) -> None:
        """Start the next session in the place of this one, in slices.

        No poll starts between them. Until then the old families are served, from then on the new
        ones.
        """
        parts, config = self._parts, reading.config
        for state in parts.states:
            await state.prepare(reading.families)
        await self.session.stop()
        await parts.table.set_interval(config.poll.interval)
        session = Session(reading, parts)
        for state in parts.states:
            state.commit()
        self.session = self._context.session = session
        self._offer_reload(config)
        self._start_logging(config.log)
        parts.api.configure(config, has_static=reading.has_static)
        self._tasks.create_task(session.run())
        parts.metrics.reloaded(successful=True, now=clock.wall())
        log.info("configuration reloaded")
        for state in parts.states:
            await state.discard()

    @contextlib.asynccontextmanager
    async def _serving(self) -> AsyncIterator[str]:
        application = create_app(self._context)
        if self._web_config:
            self._web_config.guard(application)
        listener = self._listener or bind(self.session.config.web.listen_address)
        tls = self._web_config.context() if self._web_config else None
        async with serving(application, listener, tls):
            host, port = listener.getsockname()[:2]
            yield f"{bracketed(host)}:{port}"


def _parts_of(
    reading: Reading,
    base: Path,
    targets: Sequence[Target],
    find_credentials: Callable[[], credentials.LoadCredentials | None],
) -> ProgramParts:
    config = reading.config
    metrics = SelfMetrics(__version__)
    state, cluster = State(reading.families, refused=metrics.refused_object), ClusterRecord()
    synced = State(reading.families, render_synced, metrics.refused_object)
    table = TargetTable(config.poll.interval, state, synced)
    sets = TargetSets(targets, table, metrics)
    api = ApiConnection(find_credentials, sets, cluster, metrics)
    return ProgramParts(
        base=base,
        state=state,
        synced=synced,
        cluster=cluster,
        table=table,
        sets=sets,
        api=api,
        metrics=metrics,
        access=config.access,
        portforwards=portforwards_of(config.access, api.forward),
    )


async def serve(
    load: Callable[[], Config], base: Path, start_logging: Callable[[LogConfig], None]
) -> None:
    """Run the exporter until SIGTERM or SIGINT; SIGHUP reloads. Raises ConfigError, OSError."""
    raise_file_limit()
    collect_garbage_rarely()
    exporter = await asyncio.to_thread(
        Exporter,
        load,
        base,
        find_credentials=credentials.find_credentials,
        start_logging=start_logging,
    )
    running = asyncio.create_task(exporter.run())
    loop = asyncio.get_running_loop()
    for stop in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(stop, running.cancel)
    reloads: set[asyncio.Task[str | None]] = set()

    def reload() -> None:
        task = loop.create_task(exporter.reload())
        reloads.add(task)
        task.add_done_callback(reloads.discard)

    loop.add_signal_handler(signal.SIGHUP, reload)
    with contextlib.suppress(asyncio.CancelledError):
        await running
    log.info("stopped")
