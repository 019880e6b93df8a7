import asyncio
import struct
from collections.abc import AsyncIterator
from typing import Any

import dns.flags
import dns.message
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.model import Outcome
from exporter.probes.dns import DnsProtocol, is_answer, make_query
from exporter.probes.probers import probe


class Server(asyncio.DatagramProtocol):
    def __init__(self, change: Any) -> None:
        self.change = change

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.transport.sendto(self.change(data), addr)


def respond(query: bytes) -> bytes:
    return dns.message.make_response(dns.message.from_wire(query)).to_wire()


@pytest.fixture
async def serve_dns(listen: Any) -> AsyncIterator[Any]:
    """DNS on one port number over both transports, each answer changed by a function."""
    transports = []

    async def start(udp: Any, tcp: Any) -> int:
        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            (length,) = struct.unpack("!H", await reader.readexactly(2))
            message = tcp(await reader.readexactly(length))
            writer.write(struct.pack("!H", len(message)) + message)

        port = await listen(talk)
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(
            lambda: Server(udp), local_addr=("127.0.0.1", port)
        )
        transports.append(transport)
        return port

    yield start
    for transport in transports:
        transport.abort()
    await asyncio.sleep(0)


def echo(query: bytes) -> bytes:
    return query


def foreign(query: bytes) -> bytes:
    return bytes([query[0] ^ 1]) + respond(query)[1:]


def short(_query: bytes) -> bytes:
    return b"hm"


CASES = {
    "both answer": (respond, respond, Outcome.OK),
    "an echo": (echo, respond, Outcome.WRONG_PROTOCOL),
    "another id": (foreign, respond, Outcome.WRONG_PROTOCOL),
    "short": (short, respond, Outcome.WRONG_PROTOCOL),
    "TCP is wrong": (respond, short, Outcome.WRONG_PROTOCOL),
}


@pytest.mark.parametrize(("udp", "tcp", "outcome"), CASES.values(), ids=CASES)
async def test_any_answer_with_our_id_will_do(
    serve_dns: Any, attempt_at: Any, udp: Any, tcp: Any, outcome: Outcome
) -> None:
    assert (
        await probe(attempt_at(await serve_dns(udp, tcp), 15053, kind="dns"))
    ).outcome is outcome


async def test_says_which_transport_is_refused(attempt_at: Any, unused_tcp_port: int) -> None:
    observed = await probe(attempt_at(unused_tcp_port, 15053, kind="dns"))
    assert (observed.outcome, observed.detail) == (Outcome.REFUSED, "UDP: connection refused")


async def test_silence_is_a_timeout(attempt_at: Any, unused_udp_port: int) -> None:
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(
        asyncio.DatagramProtocol, local_addr=("127.0.0.1", unused_udp_port)
    )
    observed = await probe(attempt_at(unused_udp_port, 15053, timeout=0.2, kind="dns"))
    transport.abort()
    await asyncio.sleep(0)
    assert observed.outcome is Outcome.TIMEOUT


def test_the_query_is_one_question() -> None:
    message = dns.message.from_wire(make_query())
    assert len(message.question) == 1
    assert not message.flags & dns.flags.QR


@given(st.binary(max_size=50), st.lists(st.binary(min_size=1, max_size=40), max_size=4))
def test_no_bytes_crash_the_reader(message: bytes, chunks: list[bytes]) -> None:
    async def feed() -> None:
        is_answer(message, b"ab")
        line = DnsProtocol()
        for chunk in chunks:
            line.data_received(chunk)
        line.connection_lost(None)
        assert line.first.done()

    asyncio.run(feed())
