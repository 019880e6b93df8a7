"""Wires over real sockets: what asyncio's transports do, and what they cost less."""

import asyncio
import socket
import struct
from collections.abc import Iterator
from typing import Any

import pytest

from exporter.access.wire import Wire

pytestmark = pytest.mark.skipif("not hasattr(__import__('select'), 'epoll')", reason="needs epoll")


class Ear(asyncio.Protocol):
    """Keeps what it hears, and how it was lost."""

    def __init__(self) -> None:
        self.heard = b""
        self.lost: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.heard += data

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set_result(exc)


class Faulty(Ear):
    def data_received(self, data: bytes) -> None:
        raise KeyError(data)


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as made:
        made.settimeout(2)
        yield made


async def dial(listener: socket.socket, kind: type[Ear] = Ear) -> tuple[Any, socket.socket]:
    """A wire to the listener, and the accepted socket."""
    made = socket.SocketType(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    line = await Wire(made, listener.getsockname(), kind)
    return line, listener.accept()[0]


async def awaited(wire: Wire[Ear]) -> Ear:
    return await wire


def reset(peer: socket.socket) -> None:
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()


async def test_reads_what_came_before_the_end(listener: socket.socket) -> None:
    line, peer = await dial(listener)
    peer.sendall(b"x" * 200_000)
    peer.close()
    assert await line.lost is None
    assert len(line.heard) == 200_000


async def test_a_reset_is_told_as_an_error(listener: socket.socket) -> None:
    line, peer = await dial(listener)
    reset(peer)
    assert isinstance(await line.lost, ConnectionResetError)


async def test_a_connection_that_was_reset_at_once_came_about(listener: socket.socket) -> None:
    made = socket.SocketType(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    opening = asyncio.ensure_future(awaited(Wire(made, listener.getsockname(), Ear)))
    await asyncio.sleep(0)
    reset(listener.accept()[0])
    line = await opening
    assert isinstance(await line.lost, ConnectionResetError)


async def test_writes_more_than_the_kernel_takes(listener: socket.socket) -> None:
    line, peer = await dial(listener)
    sent = bytes(range(256)) * 40_000
    line.transport.write(sent[:9_000_000])
    line.transport.write(sent[9_000_000:])
    peer.setblocking(False)  # noqa: FBT003
    loop = asyncio.get_running_loop()
    taken = b""
    while len(taken) < len(sent):
        taken += await loop.sock_recv(peer, 1 << 20)
    assert taken == sent
    line.transport.abort()
    peer.close()


async def test_writing_to_a_lost_connection_ends_it(listener: socket.socket) -> None:
    line, peer = await dial(listener)
    reset(peer)
    line.transport.write(b"x")
    assert isinstance(await line.lost, ConnectionError)
    line.transport.write(b"nobody reads this")


async def test_a_faulty_protocol_ends_its_own_connection_only(listener: socket.socket) -> None:
    faulty, first = await dial(listener, Faulty)
    line, second = await dial(listener)
    first.sendall(b"?")
    second.sendall(b"!")
    second.close()
    assert isinstance(await faulty.lost, KeyError)
    await line.lost
    assert line.heard == b"!"
    first.close()


async def test_a_refused_connection_raises_and_leaves_no_descriptor(unused_tcp_port: int) -> None:
    made = socket.SocketType(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    with pytest.raises(ConnectionRefusedError):
        await Wire(made, ("127.0.0.1", unused_tcp_port), Ear)
    assert made.fileno() == -1


async def test_what_the_system_will_not_try_raises_at_once() -> None:
    made = socket.SocketType(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    with pytest.raises(OSError, match=r"unreachable|denied"):
        await Wire(made, ("255.255.255.255", 9), Ear)
    assert made.fileno() == -1


async def test_a_cancelled_connect_closes_its_socket(listener: socket.socket) -> None:
    made = socket.SocketType(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    opening = asyncio.ensure_future(awaited(Wire(made, listener.getsockname(), Ear)))
    await asyncio.sleep(0)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    assert made.fileno() == -1


async def test_many_wires_at_once_leave_no_descriptor_behind(listener: socket.socket) -> None:
    stream = socket.SOCK_STREAM | socket.SOCK_NONBLOCK
    made = [socket.SocketType(socket.AF_INET, stream) for _ in range(40)]
    lines = await asyncio.gather(*(awaited(Wire(one, listener.getsockname(), Ear)) for one in made))
    peers = [listener.accept()[0] for _ in made]
    for peer in peers:
        peer.close()
    assert [await line.lost for line in lines] == [None] * 40
    assert {one.fileno() for one in made} == {-1}
