"""A half-open connect without a protocol: how it ends, and that its socket is used again."""

import asyncio
import socket
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from exporter.transport.epoll import current_sockets
from tests.transport.conftest import quiet_port


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def ended(port: int) -> OSError | None:
    end: asyncio.Future[OSError | None] = asyncio.get_running_loop().create_future()
    connects = current_sockets()
    own = connects.begin(
        socket.AF_INET,
        ("127.0.0.1", port),
        lambda events: end.set_result(connects.end(own, events)),
    )
    async with asyncio.timeout(2):
        return await end


async def test_a_port_that_accepts_ends_it_without_an_error(listener: socket.socket) -> None:
    assert await ended(listener.getsockname()[1]) is None


async def test_a_port_where_nobody_listens_ends_it_with_the_refusal() -> None:
    assert isinstance(await ended(quiet_port()), ConnectionRefusedError)


async def test_the_process_that_listens_notices_none_of_two_hundred(
    listener: socket.socket,
) -> None:
    port = listener.getsockname()[1]
    ends = await asyncio.gather(*(ended(port) for _ in range(200)))
    assert set(ends) == {None}
    listener.settimeout(0.05)
    with pytest.raises(TimeoutError):
        listener.accept()


async def test_sockets_are_used_again(listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    await ended(port)
    before = descriptors()
    for _ in range(20):
        await ended(port)
    assert descriptors() == before


async def test_one_that_was_aborted_reports_nothing(listener: socket.socket) -> None:
    reported: list[Any] = []
    connects = current_sockets()
    connects.abort(connects.begin(socket.AF_INET, listener.getsockname(), reported.append))
    await asyncio.sleep(0.05)
    assert not reported


async def test_whoever_is_aborted_while_its_end_waits_is_told_nothing(
    listener: socket.socket,
) -> None:
    connects = current_sockets()
    told: list[int] = []
    running: dict[int, socket.SocketType] = {}

    def handle(number: int, events: int) -> None:
        told.append(number)
        connects.end(running.pop(number), events)
        while running:
            connects.abort(running.popitem()[1])

    for number in range(3):
        running[number] = connects.begin(
            socket.AF_INET, listener.getsockname(), partial(handle, number)
        )
    await asyncio.sleep(0.05)
    assert len(told) == 1
