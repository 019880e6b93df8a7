import asyncio
import socket
from typing import Any

import pytest

from exporter.access.dialer import Dialer, NoAccess
from exporter.access.direct import Direct
from exporter.model import View


class Echo(asyncio.Protocol):
    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)

    def eof_received(self) -> None:
        self.transport.close()


class Recorder(asyncio.Protocol):
    def __init__(self) -> None:
        self.received = asyncio.get_running_loop().create_future()
        self.lost = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.received.set_result(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set_result(exc)


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
async def test_connects_to_literals_of_both_families(address: str) -> None:
    server = await asyncio.get_running_loop().create_server(Echo, address, 0)
    protocol = await Direct(address).connect(server.sockets[0].getsockname()[1], Recorder)
    protocol.transport.write(b"hello")
    assert await protocol.received == b"hello"
    protocol.transport.abort()
    server.close()


async def test_a_connection_is_closed_with_a_reset() -> None:
    accepted: list[Recorder] = []

    def accept() -> Recorder:
        accepted.append(Recorder())
        return accepted[-1]

    server = await asyncio.get_running_loop().create_server(accept, "127.0.0.1", 0)
    protocol = await Direct("127.0.0.1").connect(server.sockets[0].getsockname()[1], Recorder)
    protocol.transport.abort()
    while not accepted:  # noqa: ASYNC110 - the server accepts in a turn of its own
        await asyncio.sleep(0)
    assert isinstance(await accepted[0].lost, ConnectionResetError)
    server.close()


async def test_sends_datagrams(unused_udp_port: int) -> None:
    class Datagrams(asyncio.DatagramProtocol):
        def __init__(self) -> None:
            self.received = asyncio.get_running_loop().create_future()

        def connection_made(self, transport: Any) -> None:
            self.transport = transport

        def datagram_received(self, data: bytes, addr: Any) -> None:
            self.received.set_result(data)
            self.transport.sendto(data, addr)

    loop = asyncio.get_running_loop()
    transport, server = await loop.create_datagram_endpoint(
        Datagrams, local_addr=("127.0.0.1", unused_udp_port)
    )
    protocol = await Direct("127.0.0.1").datagram(unused_udp_port, Datagrams)
    protocol.transport.sendto(b"?")
    assert await server.received == b"?"
    protocol.transport.abort()
    transport.abort()
    await asyncio.sleep(0)


async def test_a_refused_port_raises(unused_tcp_port: int) -> None:
    with pytest.raises(ConnectionRefusedError):
        await Direct("127.0.0.1").connect(unused_tcp_port, Recorder)


async def test_is_a_dialer_of_the_network_without_a_socket_table() -> None:
    direct = Direct("192.0.2.1")
    assert isinstance(direct, Dialer)
    assert direct.view is View.NETWORK
    with pytest.raises(NoAccess):
        await direct.sockets()


async def test_a_mapped_address_is_used_as_the_ipv4_address_that_it_is() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        dialer = Direct("::ffff:127.0.0.1")
        protocol = await dialer.connect(listener.getsockname()[1], Recorder)
        assert dialer.address == "::ffff:127.0.0.1"
        assert protocol.transport._socket.family == socket.AF_INET
        protocol.transport.abort()
