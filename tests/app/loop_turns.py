"""A program that starts and reloads an exporter with many static targets, and prints what it cost.

Arguments: a folder for its files, how many targets. Prints, in JSON, the longest turn of the event
loop in seconds of its thread's CPU and the peak of memory over that before, by what was done.
"""

import asyncio
import contextlib
import json
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import uvloop

from exporter.app.process import collect_garbage_rarely, raise_file_limit
from exporter.app.program import Exporter
from exporter.config import load

ROW = "- {namespace: shop, pod: cart-%d, role: sidecar, address: 127.1.%d.%d}\n"
CONFIG = """
discovery: {kubernetes: {enabled: false}, static: {files: [targets.yaml]}}
poll: {interval: %(interval)s, timeout: 1s}
metrics: {profile: %(profile)s}
web: {listen_address: "127.0.0.1:0"}
"""
DEFAULTS = {"interval": "10s", "profile": "standard"}
RELOADS: tuple[dict[str, str], ...] = (
    {},
    {"profile": "full"},
    {"profile": "minimal"},
    {"interval": "8s"},
)
_MEMORY_EVERY_TURNS = 20
_AFTER_SECONDS = 1.0


class Turns:
    """The longest turn of the event loop in CPU time of its thread, and the most memory."""

    def __init__(self) -> None:
        self.longest = 0.0
        self.resting = self.peak = resident_bytes()

    async def watch(self) -> None:
        number = 0
        while True:
            began = time.thread_time()
            await asyncio.sleep(0)
            self.longest = max(self.longest, time.thread_time() - began)
            number += 1
            if number % _MEMORY_EVERY_TURNS == 0:
                self.peak = max(self.peak, resident_bytes())


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


@asynccontextmanager
async def watched(found: dict[str, tuple[float, float]], name: str) -> AsyncIterator[None]:
    turns = Turns()
    task = asyncio.create_task(turns.watch())
    yield
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    found[name] = (turns.longest, turns.peak / turns.resting)


async def measure(folder: Path, count: int) -> dict[str, tuple[float, float]]:
    file = folder / "exporter.yaml"
    rows = (ROW % (number, number // 250, number % 250 + 1) for number in range(count))
    (folder / "targets.yaml").write_text("".join(rows))
    file.write_text(CONFIG % DEFAULTS)
    found: dict[str, tuple[float, float]] = {}
    async with watched(found, "start"):
        exporter = await asyncio.to_thread(Exporter, lambda: load(file), folder)
        running = asyncio.create_task(exporter.run())
        while not exporter.session.is_ready:  # noqa: ASYNC110 - records have no event
            await asyncio.sleep(0.1)
    for changed in RELOADS:
        file.write_text(CONFIG % {**DEFAULTS, **changed})
        async with watched(found, f"reload {changed}"):
            assert await exporter.reload() is None
            await asyncio.sleep(_AFTER_SECONDS)
    running.cancel()
    await asyncio.wait({running})
    return found


if __name__ == "__main__":
    raise_file_limit()
    collect_garbage_rarely()
    json.dump(uvloop.run(measure(Path(sys.argv[1]), int(sys.argv[2]))), sys.stdout)
