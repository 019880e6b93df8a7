"""The DNS proxy (15053): one query over UDP and one over TCP; any answer to it will do.

The name is one that the agent's own table holds, so that nothing is forwarded upstream.
"""

import asyncio
import struct

import dns.message
import dns.rdatatype

from exporter.access.dialer import NoAccess
from exporter.model import Outcome, Role
from exporter.probes.attempt import Attempt, Closed, Malformed, ProbeProtocol, ProbeResult, failure
from exporter.transport.waiter import Waiter

_NAME = "kubernetes.default.svc.cluster.local."
_HEADER = 12


def make_query() -> bytes:
    """A query with a random id, encoded."""
    return dns.message.make_query(_NAME, dns.rdatatype.A).to_wire()


def is_answer(message: bytes, query: bytes) -> bool:
    """Whether the message is an answer to the query: its id, and the response bit."""
    return len(message) >= _HEADER and message[:2] == query[:2] and bool(message[2] & 0x80)


class _Datagrams(asyncio.DatagramProtocol):
    """The first datagram that comes back."""

    def __init__(self) -> None:
        self.first: Waiter[bytes] = Waiter()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.DatagramTransport = transport  # type: ignore[assignment]

    def datagram_received(self, data: bytes, _addr: tuple[str | object, int]) -> None:
        self.first.set_result(data)

    def error_received(self, exc: Exception) -> None:
        self.first.set_exception(exc)

    def connection_lost(self, exc: Exception | None) -> None:
        self.first.set_exception(exc or Closed())


class DnsProtocol(ProbeProtocol):
    """DNS over TCP: the first whole message that comes back."""

    __slots__ = ("_seen", "first")

    def __init__(self) -> None:
        self._seen = bytearray()
        self.first: Waiter[bytes] = Waiter()

    def data_received(self, data: bytes) -> None:
        """Collect until the length prefix is satisfied."""
        self._seen += data
        if len(self._seen) >= 2:  # noqa: PLR2004
            (length,) = struct.unpack_from("!H", self._seen)
            if len(self._seen) >= 2 + length:
                self.first.set_result(bytes(self._seen[2 : 2 + length]))

    def connection_lost(self, exc: Exception | None) -> None:
        """No answer has come, and none will."""
        self.first.set_exception(exc or Closed())


async def probe_dns(attempt: Attempt) -> ProbeResult:
    """Query over UDP, then over TCP; the first that fails is the answer.

    A way that carries TCP only leaves UDP out. A workload in ambient gets no connection.
    """
    query = make_query()
    detail = ""
    ways = _WAYS[:1] if attempt.target.role is Role.AMBIENT else _WAYS
    for kind, send in ways:
        try:
            message = await send(attempt, query)
        except NoAccess as error:
            if kind == ways[-1][0]:
                raise
            detail = str(error)
            continue
        except (OSError, Closed) as error:
            failed = failure(error, attempt)
            return ProbeResult(failed.outcome, f"{kind}: {failed.detail}")
        if not is_answer(message, query):
            raise Malformed(f"{kind}: the answer is not DNS")
    return ProbeResult(Outcome.OK, detail)


async def _query_udp(attempt: Attempt, query: bytes) -> bytes:
    protocol = await attempt.dialer.datagram(attempt.probe.port, _Datagrams)
    try:
        protocol.transport.sendto(query)
        return await protocol.first
    finally:
        protocol.transport.abort()


async def _query_tcp(attempt: Attempt, query: bytes) -> bytes:
    line = await attempt.connect(DnsProtocol)
    line.transport.write(struct.pack("!H", len(query)) + query)
    return await line.first


_WAYS = (("UDP", _query_udp), ("TCP", _query_tcp))
