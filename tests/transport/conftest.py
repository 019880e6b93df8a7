"""Both backends of the transport, on both event loops, and peers on real sockets."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import uvloop

from exporter.transport import connection, event_loop

BACKENDS = {"epoll": connection, "event-loop": event_loop}


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run every test here on asyncio's own event loop, and on the one that is used."""
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture(params=BACKENDS.values(), ids=BACKENDS)
def backend(request: pytest.FixtureRequest) -> ModuleType:
    return request.param


@pytest.fixture(autouse=True)
async def closing() -> AsyncIterator[None]:
    """Leave the event loop the turns in which it closes what was aborted."""
    yield
    await asyncio.sleep(0.01)


class Recorder(asyncio.Protocol):
    """Keeps what it is called with, in its order."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.received = b""
        self.lost: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: Any) -> None:
        self.calls.append("made")
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.calls.append("data")
        self.received += data

    def connection_lost(self, exc: Exception | None) -> None:
        self.calls.append("lost")
        self.lost.set_result(exc)


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", quiet_port()), backlog=512) as made:
        made.settimeout(2)
        yield made


@pytest.fixture
def hole() -> Iterator[tuple[str, int]]:
    """A port whose accept queue is full, so that no connection to it is established."""
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        filling = [socket.socket() for _ in range(4)]
        for one in filling:
            one.setblocking(False)  # noqa: FBT003
            one.connect_ex(full.getsockname())
        yield full.getsockname()
        for one in filling:
            one.close()


def fresh(family: int = socket.AF_INET) -> socket.socket:
    """A socket to connect elsewhere made."""
    return socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)


async def result_of(awaitable: Awaitable[Any]) -> Any:
    """For a task of its own: only a coroutine can be one."""
    return await awaitable


async def until(holds: Callable[[], object]) -> None:
    """Wait until it holds, at most two seconds."""
    async with asyncio.timeout(2):
        while not holds():  # noqa: ASYNC110 - what is awaited is no event of this process
            await asyncio.sleep(0.005)


def ports_connected_to(port: int) -> set[int]:
    """The ports of this machine that have a connection to this one, in any state."""
    rows = [row.split() for row in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    ends = [[int(end.rpartition(":")[2], 16) for end in row[1:3]] for row in rows]
    return {local for local, remote in ends if remote == port}


def quiet_port() -> int:
    """A free port to which nobody was connected within the last minute (TIME_WAIT)."""
    while True:
        with socket.create_server(("127.0.0.1", 0)) as made:
            port: int = made.getsockname()[1]
        if not ports_connected_to(port):
            return port
