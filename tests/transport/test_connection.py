"""What only the epoll's connections do: their sockets are used again, and dispatched in batches."""

import asyncio
import socket
from collections.abc import Awaitable
from typing import Any

import pytest

from exporter.transport.connection import connect
from exporter.transport.protocols import HalfOpenConnect
from tests.transport.conftest import Recorder, result_of


class HalfOpen(Recorder, HalfOpenConnect):
    pass


def connected(remote: tuple[str, int], kind: type[Recorder] = Recorder) -> Awaitable[Any]:
    return connect(socket.AF_INET, remote, kind)


@pytest.mark.parametrize("kind", [Recorder, HalfOpen])
async def test_a_connected_socket_is_used_again_for_a_connection_of_its_own(
    listener: socket.socket, kind: type[Recorder]
) -> None:
    remote = listener.getsockname()
    first = await connected(remote, kind)
    own, local = first.transport._socket, first.transport._socket.getsockname()
    first.transport.abort()

    second = await connected(remote)
    assert second.transport._socket is own
    assert own.getsockname() != local
    second.transport.abort()


async def test_a_socket_that_failed_is_not_used_again(
    listener: socket.socket, unused_tcp_port: int
) -> None:
    connecting: Any = connected(("127.0.0.1", unused_tcp_port))
    own = connecting._socket
    with pytest.raises(ConnectionRefusedError):
        await connecting
    assert own.fileno() == -1
    protocol = await connected(listener.getsockname())
    protocol.transport.abort()


async def test_a_socket_that_was_never_connected_is_not_used_again(hole: tuple[str, int]) -> None:
    connecting: Any = connected(hole)
    own = connecting._socket
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(result_of(connecting), 0.1)
    assert own.fileno() == -1


async def test_an_event_of_a_socket_is_not_for_its_next_user(
    listener: socket.socket, hole: tuple[str, int]
) -> None:
    """One's end and another's answer come in one batch, and the answer makes it connect."""
    connecting: list[Any] = []

    class Connects(Recorder):
        def data_received(self, _data: bytes) -> None:
            connecting.append(connected(hole))

    remote = listener.getsockname()
    connects, ended = await connected(remote, Connects), await connected(remote)
    peers = [listener.accept()[0] for _ in range(2)]
    peers[0].sendall(b"go on")
    own = ended.transport._socket
    ended.transport.abort()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(connects.lost, 0.2)
    assert connecting[0]._socket is own
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(result_of(connecting[0]), 0.2)
    connects.transport.abort()
    for peer in peers:
        peer.close()
