"""Probes over a way that is open before the port was dialled, as a port-forward is."""

import asyncio
import struct
from collections.abc import Callable
from typing import Any

import dns.message
import pytest
from msgspec.structs import replace

from exporter.access.dialer import NoAccess
from exporter.model import Outcome, ProbeKind, View
from exporter.probes.probers import PROBERS, probe


class Transport(asyncio.Transport):
    """Hands what is written to the test, which plays the port."""

    def __init__(self, protocol: Any, hear: Callable[[Any, bytes], None]) -> None:
        super().__init__()
        self._protocol, self._hear = protocol, hear

    def write(self, data: Any) -> None:
        self._hear(self._protocol, bytes(data))

    def abort(self) -> None:
        pass


class Late:
    """A dialer whose connections always come about; `then` is what follows."""

    view = View.POD
    address = "127.0.0.1"
    reports_accept = False

    def __init__(
        self,
        then: Callable[[Any], None] = lambda _protocol: None,
        hear: Callable[[Any, bytes], None] = lambda _protocol, _data: None,
    ) -> None:
        self._then, self._hear = then, hear

    async def connect(self, _port: int, factory: Any) -> Any:
        protocol = factory()
        protocol.connection_made(Transport(protocol, self._hear))
        asyncio.get_running_loop().call_later(0.01, self._then, protocol)
        return protocol

    async def datagram(self, _port: int, _factory: Any) -> Any:
        raise NoAccess("TCP only.")

    async def sockets(self) -> Any:
        raise NoAccess("none")


def refuses(protocol: Any) -> None:
    protocol.connection_lost(ConnectionRefusedError(111, "refused"))


@pytest.mark.parametrize("name", sorted(set(PROBERS) - {"sockets", "hello", "istiod"}))
async def test_no_prober_takes_a_late_refusal_for_anything_else(attempt_at: Any, name: str) -> None:
    observed = await probe(replace(attempt_at(15021, timeout=1.0, kind=name), dialer=Late(refuses)))
    assert (observed.outcome, observed.connected) == (Outcome.REFUSED, None)


ENDINGS: dict[str, tuple[Callable[[Any], None], Outcome]] = {
    "closes": (lambda line: line.connection_lost(None), Outcome.OK),
    "resets": (lambda line: line.connection_lost(ConnectionResetError(104, "x")), Outcome.OK),
    "speaks": (lambda line: line.data_received(b"220 mail.example ready"), Outcome.OK),
    "cannot be dialled": (lambda line: line.connection_lost(TimeoutError()), Outcome.TIMEOUT),
    "the way breaks": (lambda line: line.connection_lost(NoAccess("broke")), Outcome.NO_ACCESS),
    "silent": (lambda _line: None, Outcome.NO_ACCESS),
}


@pytest.mark.parametrize("ending", ENDINGS)
async def test_a_bare_connect_is_up_only_when_something_came_of_it(
    attempt_at: Any, ending: str
) -> None:
    then, outcome = ENDINGS[ending]
    observed = await probe(replace(attempt_at(15021, timeout=0.3, kind="tcp"), dialer=Late(then)))
    assert observed.outcome is outcome


@pytest.mark.parametrize(
    ("then", "outcome"), [(None, Outcome.OK), (refuses, Outcome.REFUSED)], ids=["silent", "refuses"]
)
async def test_a_listener_that_admin_lists_is_up_unless_its_port_refuses(
    attempt_at: Any, then: Any, outcome: Outcome
) -> None:
    given = attempt_at(15021, timeout=0.3, kind="tcp")
    listed = replace(given.probe, is_listed=True)
    dialer = Late(then) if then else Late()
    observed = await probe(replace(given, probe=listed, dialer=dialer))
    assert (observed.outcome, observed.connected) == (outcome, None)


def test_ports_whose_end_is_the_answer_are_known() -> None:
    closing = {kind for kind in ProbeKind if kind.is_answered_by_closing}
    assert closing == {"blackhole", "control", "tcp"}


async def test_silence_does_not_claim_a_connection(attempt_at: Any) -> None:
    observed = await probe(replace(attempt_at(15021, timeout=0.1, kind="readiness"), dialer=Late()))
    assert (observed.outcome, observed.connected) == (Outcome.TIMEOUT, None)
    assert observed.detail == "no answer within 0.1 s"


async def test_dns_is_queried_over_tcp_where_nothing_else_is_carried(attempt_at: Any) -> None:
    def answer(protocol: Any, data: bytes) -> None:
        response = dns.message.make_response(dns.message.from_wire(data[2:])).to_wire()
        protocol.data_received(struct.pack("!H", len(response)) + response)

    observed = await probe(replace(attempt_at(15053, 15053, kind="dns"), dialer=Late(hear=answer)))
    assert (observed.outcome, observed.detail) == (Outcome.OK, "TCP only.")
