"""`demo`: a mesh of stand-ins, polled and served for real, as a table that updates.

The table is made from the same records as the API's documents; none of it depends on the
scenarios.
"""

import argparse
import asyncio
import contextlib
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from rich.console import Console, RenderableType
from rich.live import Live

from exporter import clock
from exporter.app.process import bind, raise_file_limit
from exporter.app.program import Exporter
from exporter.cli.exit_codes import ExitCode
from exporter.cli.flags import add_web_flags, overrides_of
from exporter.cli.log_formats import start_logging
from exporter.cli.tables import Window, console, report_of
from exporter.config import Config, LogConfig, load
from exporter.demo import (
    SHIPPED,
    Mesh,
    MeshError,
    enter_own_network,
    load_states,
    mesh,
    why_no_networks,
)
from exporter.model import Cadence, TargetKey, TargetRecord
from exporter.report.not_judged import not_judged
from exporter.report.target_documents import TargetState, target_state

_LISTEN_ADDRESS = "127.0.0.1:10520"

INTERVALS = {
    "poll.interval": "3s",
    "poll.detail_interval": "3s",
    "poll.page_interval": "3s",
    "poll.identity_interval": "15s",
    "poll.timeout": "2s",
    "discovery.kubernetes.enabled": False,
}
"""Short intervals, so that the first table is complete within seconds."""

_REFRESH_SECONDS = 0.3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    parser.add_argument(
        "--targets", type=_positive, default=0, metavar="N", help="add healthy targets up to N"
    )
    parser.add_argument("--once", action="store_true", help="stop after the first complete table")
    add_web_flags(parser)
    parser.set_defaults(run=run)


def run(chosen: argparse.Namespace) -> ExitCode:
    """Run until Ctrl-C; ends with 3 when the mesh cannot be built or the address not bound."""
    import uvloop

    start_logging(LogConfig(level="error"))
    overrides = {"web.listen_address": _LISTEN_ADDRESS, **INTERVALS, **overrides_of(chosen)}
    config = load(None, overrides)
    ended = ExitCode.HEALTHY
    try:
        listener = bind(config.web.listen_address)
        if os.geteuid():
            enter_own_network()
        uvloop.run(_demo(config, listener, chosen.targets, once=chosen.once))
    except* (OSError, MeshError) as group:
        print(f"The demo cannot start: {group.exceptions[0]}", file=sys.stderr)
        ended = ExitCode.UNJUDGED
    return ended


async def _demo(config: Config, listener: socket.socket, size: int, *, once: bool) -> None:
    """The mesh, the exporter and the table, until the table or a signal ends them."""
    raise_file_limit()
    if showing := asyncio.current_task():
        for stop in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(stop, showing.cancel)
    screen = console()
    screen.print("Building the mesh ...", style="dim")
    with contextlib.suppress(asyncio.CancelledError):
        async with mesh(load_states(SHIPPED), targets=size) as built:
            await _serve(config, listener, built, screen, once=once)


async def _serve(
    config: Config, listener: socket.socket, built: Mesh, screen: Console, *, once: bool
) -> None:
    targets = [pod.target for pod in built.pods]
    exporter = Exporter(lambda: config, Path(), targets, listener)
    listening: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    async with asyncio.TaskGroup() as tasks:
        serving = tasks.create_task(exporter.run(listening.set_result))
        urls = _urls(await listening, config)
        screen.print(f"{len(built.pods)} stand-ins, {_place(built)}.\n{urls}\n", highlight=False)
        await _show(screen, exporter, built, urls, once=once)
        serving.cancel()


def _place(built: Mesh) -> str:
    if built.is_flat:
        return f"on loopback addresses, without redirection: {why_no_networks()}"
    return "each in its own network namespace, behind real redirection"


def _urls(address: str, config: Config) -> str:
    address = re.sub(r"^(\[::\]|0\.0\.0\.0):", "localhost:", address)
    return (
        f"Page     http://{address}/\n"
        f"Metrics  http://{address}{config.web.telemetry_path}\n"
        f"API      http://{address}/api/v1/targets\n"
        "Press Ctrl-C to stop."
    )


async def _show(screen: Console, exporter: Exporter, built: Mesh, urls: str, *, once: bool) -> None:
    """Wait for the first complete table, then keep it current.

    On a terminal that is a window with as many targets as fit; the whole table follows at the end.
    """
    # A counter that grows, such as that of lost connections, shows between two polls.
    growing = {pod.target.key for pod in built.pods if pod.state.earlier}
    with screen.status("Polling ...") if screen.is_terminal else contextlib.nullcontext():
        await _polled(exporter, growing, since=0.0)
        await built.advance()
        await _polled(exporter, growing, since=clock.wall())
        await _polled(exporter, {pod.target.key for pod in built.pods}, since=0.0)
    if once:
        screen.print(_report(exporter))
    elif screen.is_terminal:
        try:
            with Live(console=screen, auto_refresh=False, screen=True) as live:
                async for _ in _changes(exporter):
                    live.update(Window(_targets(exporter), urls), refresh=True)
        finally:
            screen.print(_report(exporter))
    else:
        async for _ in _changes(exporter):
            screen.print(_report(exporter))


async def _polled(exporter: Exporter, keys: set[TargetKey], *, since: float) -> None:
    """Wait until each of these had a full poll that began after `since` (seconds, epoch)."""
    while any(  # noqa: ASYNC110 - a table may lag, and a poll need not know of tables
        _last_poll(exporter.state.get(key)) <= since for key in keys
    ):
        await asyncio.sleep(_REFRESH_SECONDS)


def _last_poll(record: TargetRecord | None) -> float:
    return record.polled.get(Cadence.DETAIL, 0.0) if record else 0.0


async def _changes(exporter: Exporter) -> AsyncIterator[None]:
    """Yield at once, and whenever a verdict or a cause has changed, whatever the evidence."""
    shown: object = None
    while True:
        current = [
            (
                record.target.key,
                record.cause,
                [(v.port, v.up) for v in record.verdicts],
            )
            for record in exporter.state.records()
        ]
        if current != shown:
            shown = current
            yield
        await asyncio.sleep(_REFRESH_SECONDS)


def _report(exporter: Exporter) -> RenderableType:
    return report_of(_targets(exporter), not_judged(exporter.state.records()))


def _targets(exporter: Exporter) -> list[TargetState]:
    records = sorted(exporter.state.records(), key=lambda record: str(record.target.key))
    return [target_state(record.target, record) for record in records]


def _positive(text: str) -> int:
    number = int(text) if text.isascii() and text.isdigit() else 0
    if number < 1:
        raise argparse.ArgumentTypeError("must be a whole number above 0")
    return number
