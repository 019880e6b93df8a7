"""Whole exporters in this process, and a cluster's API."""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from exporter.app.program import Exporter
from exporter.config import load
from exporter.kube.credentials import Credentials
from exporter.model import Role, Settings, Target, TargetKey
from tests.kube.api_server import cluster

__all__ = ["cluster"]

CONFIG = """
discovery: {kubernetes: {enabled: %(kubernetes)s%(chosen)s}%(static)s}
poll:
  interval: %(interval)s
  detail_interval: %(interval)s
  page_interval: %(interval)s
  timeout: 150ms
  concurrency: %(concurrency)s
metrics: {profile: %(profile)s}
access: {loopback: %(loopback)s}
web: {listen_address: "127.0.0.1:0"}
"""
DEFAULTS = {
    "kubernetes": "false",
    "chosen": "",
    "static": "",
    "interval": "200ms",
    "concurrency": "512",
    "profile": "standard",
    "loopback": "none",
}


@dataclass
class Running:
    """An exporter, its address and its configuration file."""

    exporter: Exporter
    address: str
    file: Path
    client: aiohttp.ClientSession

    async def get(self, path: str) -> tuple[int, str]:
        async with self.client.get(f"http://{self.address}{path}") as answer:
            return answer.status, await answer.text()

    async def samples(self, name: str) -> dict[str, float]:
        """The values of a family by label set."""
        lines = (await self.get("/metrics"))[1].splitlines()
        rows = [line.rsplit(" ", 1) for line in lines if line.startswith(name)]
        return {labels.removeprefix(name): float(value) for labels, value in rows}

    async def reload(self, **changed: str) -> None:
        await asyncio.to_thread(self.file.write_text, CONFIG % {**DEFAULTS, **changed})
        assert await self.exporter.reload() is None

    async def until_ready(self, seconds: float = 10.0) -> None:
        async with asyncio.timeout(seconds):
            while (await self.get("/-/ready"))[0] != 200:  # noqa: ASYNC110 - over HTTP
                await asyncio.sleep(0.02)


@asynccontextmanager
async def exporting(
    folder: Path, targets: Sequence[Target] = (), cluster: Any = None, **config: str
) -> AsyncIterator[Running]:
    file = folder / "exporter.yaml"
    await asyncio.to_thread(file.write_text, CONFIG % {**DEFAULTS, **config})

    async def credentials() -> Credentials:
        return Credentials(cluster.address)

    find = (lambda: credentials) if cluster else (lambda: None)
    exporter = Exporter(lambda: load(file), folder, targets, find_credentials=find)
    address: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    running = asyncio.create_task(exporter.run(address.set_result))
    try:
        async with aiohttp.ClientSession() as client:
            yield Running(exporter, await address, file, client)
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running


class Agents:
    """Agents on many addresses of one port that respond after a while; counts requests by address.

    `most` is how many an address was asked at once.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.begun: defaultdict[str, list[float]] = defaultdict(list)
        self.most = 0
        self._now: defaultdict[str, int] = defaultdict(int)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection is one poll."""
        address = writer.get_extra_info("sockname")[0]
        self.begun[address].append(asyncio.get_running_loop().time())
        self._now[address] += 1
        self.most = max(self.most, self._now[address])
        with contextlib.suppress(ConnectionError):
            while await reader.readline():
                while await reader.readline() not in (b"\r\n", b""):
                    pass
                await asyncio.sleep(self.seconds)
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        self._now[address] -= 1
        writer.close()


@asynccontextmanager
async def agents(count: int, seconds: float) -> AsyncIterator[tuple[Agents, list[Target]]]:
    served = Agents(seconds)
    server = await asyncio.start_server(served.serve, "0.0.0.0", 0)
    port = server.sockets[0].getsockname()[1]
    targets = [
        Target(
            key=TargetKey("shop", f"cart-{number}"),
            role=Role.PROXYLESS,
            addresses=(f"127.0.7.{number}",),
            settings=Settings(status_port=port),
            uid=f"cart-{number}",
        )
        for number in range(1, count + 1)
    ]
    try:
        yield served, targets
    finally:
        server.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path
