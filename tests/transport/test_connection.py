"""Wires over real sockets: what asyncio's transports do, and what they cost less."""

import asyncio
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from exporter.transport.connection import Connection, connect_socket, dial
from exporter.transport.protocols import HalfOpenConnect

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


async def joined(listener: socket.socket, kind: type[Ear] = Ear) -> tuple[Any, socket.socket]:
    """A wire to the listener, and the accepted socket."""
    made = socket.SocketType(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    line = await connect_socket(made, listener.getsockname(), kind)
    return line, listener.accept()[0]


def dialled_from(port: int) -> set[int]:
    """The ports of this machine that have a connection to this one, in any state."""
    rows = [row.split() for row in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    ends = [[int(end.rpartition(":")[2], 16) for end in row[1:3]] for row in rows]
    return {local for local, remote in ends if remote == port}


async def awaited(wire: Connection[Ear]) -> Ear:
    return await wire


def reset(peer: socket.socket) -> None:
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()


async def test_reads_what_came_before_the_end(listener: socket.socket) -> None:
    line, peer = await joined(listener)
    peer.sendall(b"x" * 200_000)
    peer.close()
    assert await line.lost is None
    assert len(line.heard) == 200_000


async def test_a_reset_is_told_as_an_error(listener: socket.socket) -> None:
    line, peer = await joined(listener)
    reset(peer)
    assert isinstance(await line.lost, ConnectionResetError)


async def test_a_connection_that_was_reset_at_once_came_about(listener: socket.socket) -> None:
    made = socket.SocketType(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    opening = asyncio.ensure_future(awaited(connect_socket(made, listener.getsockname(), Ear)))
    await asyncio.sleep(0)
    reset(listener.accept()[0])
    line = await opening
    assert isinstance(await line.lost, ConnectionResetError)


async def test_writes_more_than_the_kernel_takes(listener: socket.socket) -> None:
    line, peer = await joined(listener)
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
    line, peer = await joined(listener)
    reset(peer)
    line.transport.write(b"x")
    assert isinstance(await line.lost, ConnectionError)
    line.transport.write(b"nobody reads this")


async def test_a_faulty_protocol_ends_its_own_connection_only(listener: socket.socket) -> None:
    faulty, first = await joined(listener, Faulty)
    line, second = await joined(listener)
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
        await connect_socket(made, ("127.0.0.1", unused_tcp_port), Ear)
    assert made.fileno() == -1


async def test_what_the_system_will_not_try_raises_at_once() -> None:
    made = socket.SocketType(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    with pytest.raises(OSError, match=r"unreachable|denied"):
        await connect_socket(made, ("255.255.255.255", 9), Ear)
    assert made.fileno() == -1


async def test_a_cancelled_connect_closes_its_socket(listener: socket.socket) -> None:
    made = socket.SocketType(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    opening = asyncio.ensure_future(awaited(connect_socket(made, listener.getsockname(), Ear)))
    await asyncio.sleep(0)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    assert made.fileno() == -1


async def test_many_wires_at_once_leave_no_descriptor_behind(listener: socket.socket) -> None:
    stream = socket.SOCK_STREAM | socket.SOCK_NONBLOCK
    made = [socket.SocketType(socket.AF_INET, stream) for _ in range(40)]
    lines = await asyncio.gather(
        *(awaited(connect_socket(one, listener.getsockname(), Ear)) for one in made)
    )
    peers = [listener.accept()[0] for _ in made]
    for peer in peers:
        peer.close()
    assert [await line.lost for line in lines] == [None] * 40
    assert {one.fileno() for one in made} == {-1}


async def test_a_dialled_socket_is_used_again_for_a_connection_of_its_own(
    listener: socket.socket,
) -> None:
    remote = listener.getsockname()
    first = await dial(socket.AF_INET, remote, Ear)
    peer, local = listener.accept()
    peer.sendall(b"not read")
    number = first.transport.fd
    first.transport.abort()
    with pytest.raises(ConnectionResetError):
        peer.recv(1)

    second = await dial(socket.AF_INET, remote, Ear)
    other, further = listener.accept()
    assert second.transport.fd == number
    assert further != local
    other.sendall(b"hello")
    other.close()
    assert await second.lost is None
    assert second.heard == b"hello"
    assert first.heard == b""
    peer.close()


async def test_a_socket_that_failed_is_not_used_again(
    listener: socket.socket, unused_tcp_port: int
) -> None:
    wire = dial(socket.AF_INET, ("127.0.0.1", unused_tcp_port), Ear)
    made = wire._socket
    with pytest.raises(ConnectionRefusedError):
        await wire
    assert made is not None
    assert made.fileno() == -1
    line = await dial(socket.AF_INET, listener.getsockname(), Ear)
    line.transport.abort()


async def test_who_listens_does_not_hear_a_knock(listener: socket.socket) -> None:
    class Knocking(Ear, HalfOpenConnect):
        pass

    remote = listener.getsockname()
    line = await dial(socket.AF_INET, remote, Knocking)
    number = line.transport.fd
    line.transport.abort()
    listener.settimeout(0.3)
    with pytest.raises(TimeoutError):
        listener.accept()

    line = await dial(socket.AF_INET, remote, Ear)
    assert line.transport.fd == number
    peer, local = listener.accept()
    assert local == line.transport._socket.getsockname()
    peer.close()
    line.transport.abort()


async def test_no_time_wait_is_left_by_sockets_that_are_used_again(
    listener: socket.socket,
) -> None:
    remote = listener.getsockname()
    for _ in range(20):
        line = await dial(socket.AF_INET, remote, Ear)
        peer, local = listener.accept()
        assert local[1] in dialled_from(remote[1])
        line.transport.abort()
        peer.close()
    assert dialled_from(remote[1]) == set()


@pytest.fixture
def hole() -> Iterator[tuple[str, int]]:
    """A port whose accept queue is full, so that no connection to it comes about."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        filling = [socket.socket() for _ in range(4)]
        for one in filling:
            one.setblocking(False)  # noqa: FBT003
            one.connect_ex(listener.getsockname())
        yield listener.getsockname()
        for one in filling:
            one.close()


async def test_news_of_a_socket_is_not_told_to_who_has_it_next(
    listener: socket.socket, hole: tuple[str, int]
) -> None:
    """Its end and somebody else's answer come in one batch, and the answer makes him dial."""
    dialled: list[Connection[Ear]] = []

    class Dials(Ear):
        def data_received(self, _data: bytes) -> None:
            dialled.append(dial(socket.AF_INET, hole, Ear))

    remote = listener.getsockname()
    dials = await dial(socket.AF_INET, remote, Dials)
    ended = await dial(socket.AF_INET, remote, Ear)
    peers = [listener.accept()[0] for _ in range(2)]
    peers[0].sendall(b"go on")
    number = ended.transport.fd
    ended.transport.abort()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(dials.lost, 0.2)
    (wire,) = dialled
    assert wire.fd == number
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(awaited(wire), 0.2)
    dials.transport.abort()
    for peer in peers:
        peer.close()


async def test_a_connection_that_never_came_about_leaves_no_socket_to_use_again(
    hole: tuple[str, int],
) -> None:
    wire = dial(socket.AF_INET, hole, Ear)
    made = wire._socket
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(awaited(wire), 0.2)
    assert made is not None
    assert made.fileno() == -1


async def test_a_protocol_that_fails_at_once_fails_who_waits(listener: socket.socket) -> None:
    class Failing(Ear):
        def connection_made(self, transport: Any) -> None:
            raise KeyError(transport)

    with pytest.raises(KeyError):
        await asyncio.wait_for(awaited(dial(socket.AF_INET, listener.getsockname(), Failing)), 1)
