import asyncio
import ctypes
from pathlib import Path

import pytest

from exporter.app import process

KEPT, FREED = 600, 16_000
"""Bytes of blocks that lie by turns: what is freed is never at the heap's end."""


def resident() -> int:
    row = Path("/proc/self/status").read_text().partition("VmRSS:")[2]
    return int(row.split()[0]) * 1024


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="glibc's alone")
async def test_memory_that_was_freed_between_what_stays_is_given_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    blocks = [bytes(FREED if number % 2 else KEPT) for number in range(8_000)]
    freed = FREED * len(blocks) // 2
    kept = blocks[::2]
    del blocks
    before = resident()
    monkeypatch.setattr(process, "_RELEASE_SECONDS", 0.01)
    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        releasing = tasks.create_task(process.release_freed_memory())
        while resident() > before - freed / 2:  # noqa: ASYNC110 - nobody reports it
            await asyncio.sleep(0.01)
        releasing.cancel()
    assert len(kept) == 4_000
