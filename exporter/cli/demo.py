"""`demo`: a mesh of stand-ins, polled and served for real, as a table that updates.

The table reads the same records as the API; nothing in it knows what the scenarios are.
"""

import argparse
import asyncio
import contextlib
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.live import Live

from exporter.app import Exporter, raise_file_limit
from exporter.cli.check import not_judged
from exporter.cli.exits import Exit
from exporter.cli.flags import add_web_flags, overrides_of, start_logging
from exporter.cli.tables import report
from exporter.config import Config, LogConfig, load
from exporter.model import Target
from exporter.web.documents import TargetState, target_state

LISTEN_ADDRESS = "127.0.0.1:10520"

PACE = {
    "poll.interval": "2s",
    "poll.detail_interval": "4s",
    "poll.identity_interval": "10s",
    "poll.timeout": "1s",
    "discovery.kubernetes.enabled": False,
}
"""Short intervals, so that the first table is complete within seconds."""

_REFRESH_SECONDS = 0.5


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command."""
    parser = commands.add_parser("demo", help="watch a mesh of healthy and broken stand-ins")
    parser.add_argument("--targets", type=_positive, default=0, metavar="N", help="grow it to N")
    parser.add_argument("--once", action="store_true", help="end after the first complete table")
    add_web_flags(parser)
    parser.set_defaults(run=run)


def run(chosen: argparse.Namespace) -> Exit:
    """Run until Ctrl-C; ends with 3 when the mesh or the address cannot be had."""
    import uvloop

    start_logging(LogConfig(level="warning"))
    given = {"web.listen_address": LISTEN_ADDRESS, **PACE, **overrides_of(chosen)}
    config = load(None, given)
    ended = Exit.HEALTHY
    try:
        uvloop.run(_demo(config, chosen.targets, once=chosen.once))
    except* OSError as group:
        print(f"the demo cannot start: {group.exceptions[0]}", file=sys.stderr)
        ended = Exit.COULD_NOT_LOOK
    return ended


async def _demo(config: Config, size: int, *, once: bool) -> None:
    """The mesh, the exporter and the table, side by side until one of them ends."""
    from exporter.demo import start_mesh

    raise_file_limit()
    if showing := asyncio.current_task():
        for stop in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(stop, showing.cancel)
    console = Console()
    with contextlib.suppress(asyncio.CancelledError):
        async with start_mesh(size) as mesh, asyncio.TaskGroup() as tasks:
            exporter = Exporter(lambda: config, Path(), mesh.targets)
            told = asyncio.Event()

            def started(address: str) -> None:
                _print_urls(console, address, config, mesh.targets)
                told.set()

            serving = tasks.create_task(exporter.run(started))
            await told.wait()
            await _show(console, exporter, once=once)
            serving.cancel()


def _print_urls(console: Console, address: str, config: Config, targets: Sequence[Target]) -> None:
    url = f"http://{address}"
    console.print(f"{len(targets)} stand-ins are up.", highlight=False)
    console.print(f"Page     {url}/")
    console.print(f"Metrics  {url}{config.web.telemetry_path}")
    console.print(f"API      {url}/api/v1/targets")
    console.print("Ctrl-C ends it.\n")


async def _show(console: Console, exporter: Exporter, *, once: bool) -> None:
    """Print the first complete table, then keep it current: live on a terminal, else on change."""
    while not (exporter.poller.is_warm and len(exporter.state)):  # noqa: ASYNC110 - a table may lag
        await asyncio.sleep(_REFRESH_SECONDS)
    live = Live(console=console, auto_refresh=False) if console.is_terminal and not once else None
    shown: object = None
    with live or contextlib.nullcontext():
        while True:
            targets = _targets(exporter)
            current = [(t.pod, t.diagnosis, [(p.port, p.up) for p in t.ports]) for t in targets]
            if current != shown:
                shown = current
                table = report(targets, not_judged(exporter.state.records()))
                live.update(table, refresh=True) if live else console.print(table)
            if once:
                return
            await asyncio.sleep(_REFRESH_SECONDS)


def _targets(exporter: Exporter) -> list[TargetState]:
    records = sorted(exporter.state.records(), key=lambda record: str(record.target.key))
    return [target_state(record.target, record) for record in records]


def _positive(text: str) -> int:
    number = int(text) if text.isdigit() else 0
    if number < 1:
        raise argparse.ArgumentTypeError("has to be a whole number above 0")
    return number
