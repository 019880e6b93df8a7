"""A watch that goes on for months: what comes and goes in it leaves nothing behind."""

import asyncio
import gc
import json
import tracemalloc
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import pytest

from tests.discovery.cluster_source import (
    NAMESPACES,
    NODES,
    PODS,
    SERVICES,
    Watched,
    config_of,
)

OBJECTS = 400
WARM = 150
LEAST_KEPT_BYTES = 60
"""Less than a name takes that is kept in a set."""

EMPTY = b'{"metadata": {"resourceVersion": "1"}, "items": []}'
OWNER = {"kind": "StatefulSet", "name": "job", "controller": True}
"""All pods are of one workload, whose name is kept once."""


class LongWatch:
    """An API server whose lists are empty, and in one of whose watches objects come and go.

    `used`: the bytes in use after the first objects, and after the last.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.used: list[int] = []
        self.is_done = asyncio.Event()

    async def get(self, _path: str, _query: Mapping[str, str], _most: int) -> bytes:
        return EMPTY

    @asynccontextmanager
    async def stream(
        self, path: str, _query: Mapping[str, str]
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        yield self._lines(path == self.path)

    async def _lines(self, is_long: bool) -> AsyncIterator[bytes]:
        for number in range(OBJECTS * is_long):
            if number == WARM:
                self._measure()
            metadata = {"name": f"{number}", "namespace": "shop", "ownerReferences": [OWNER]}
            for change in ("ADDED", "DELETED"):
                line = {"type": change, "object": {"metadata": metadata, "spec": {}}}
                yield json.dumps(line).encode()
        if is_long:
            self._measure()
            self.is_done.set()
        await asyncio.Event().wait()

    def _measure(self) -> None:
        gc.collect()
        self.used.append(tracemalloc.get_traced_memory()[0])


@pytest.mark.parametrize("path", [PODS, NODES, NAMESPACES, SERVICES])
async def test_objects_that_came_and_went_leave_nothing(path: str) -> None:
    api = LongWatch(path)
    tracemalloc.start()
    running = asyncio.create_task(Watched().source.run(api, config_of(services=True)))
    try:
        async with asyncio.timeout(60):
            await api.is_done.wait()
    finally:
        tracemalloc.stop()
        running.cancel()
        await asyncio.wait({running})
    before, after = api.used
    assert after - before < (OBJECTS - WARM) * LEAST_KEPT_BYTES
