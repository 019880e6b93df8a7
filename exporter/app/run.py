"""Builds the parts and runs them: one task group, signals, reload, shutdown.

`Exporter` wires the parts, `serve` runs it under signals. What each part counts is handed to it
as a callable, so that no part knows another beside it.
"""

import asyncio
import contextlib
import logging
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path

from exporter.app.process import collect_garbage_rarely, raise_file_limit
from exporter.app.program import Exporter
from exporter.config import Config
from exporter.kube.credentials import find_credentials

log = logging.getLogger(__name__)


async def serve(load: Callable[[], Config], base: Path) -> None:
    """Run the exporter until SIGTERM or SIGINT; SIGHUP reloads. Raises ConfigError, OSError."""
    raise_file_limit()
    collect_garbage_rarely()
    make = partial(Exporter, load, base, find_credentials=find_credentials)
    exporter = await asyncio.to_thread(make)
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
