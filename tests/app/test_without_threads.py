"""Where the system allows no more threads, what is done in one is done all the same."""

import asyncio
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from exporter.app import process
from exporter.config import StaticConfig
from exporter.discovery.static import StaticSource
from exporter.model import Target
from tests.app.conftest import exporting
from tests.until import until

FILE = "targets.yaml"
TARGET = "- {namespace: shop, pod: %s, role: proxyless, address: 127.0.0.9}\n"


def allow_no_threads() -> None:
    """An executor that was shut down raises what one raises that cannot start a thread."""
    none = ThreadPoolExecutor(1)
    none.shutdown()
    asyncio.get_running_loop().set_default_executor(none)


async def test_a_reload_is_taken_answers_are_compressed_and_memory_is_given_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "_RELEASE_SECONDS", 0.01)
    async with exporting(tmp_path) as one:
        await one.until_ready()
        allow_no_threads()
        await asyncio.sleep(0.05)
        one.file.write_text(one.file.read_text().replace("standard", "minimal"))
        assert await one.exporter.reload() is None
        for path in ("/metrics", "/api/v1/ports"):
            status, text = await one.get(path)
            assert status == 200
            assert text


async def test_a_file_of_targets_that_changes_is_read(tmp_path: Path) -> None:
    found: list[list[str]] = []

    async def take(targets: Iterable[Target]) -> None:
        found.append([target.key.pod for target in targets])

    source = StaticSource(StaticConfig(files=(FILE,)), tmp_path, period=0.01)
    allow_no_threads()
    (tmp_path / FILE).write_text(TARGET % "cart")
    reading = asyncio.create_task(source.run(take, print))
    await until(lambda: found)
    (tmp_path / FILE).write_text(TARGET % "web-1")
    await until(lambda: len(found) > 1)
    reading.cancel()
    assert found == [["cart"], ["web-1"]]
