"""Probers on each backend: whatever one does, the connections beside it are not disturbed."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from types import ModuleType
from typing import Any

import pytest

from exporter.access.direct import Direct
from exporter.model import (
    Cadence,
    Outcome,
    Probe,
    ProbeKind,
    Role,
    SocketTable,
    Target,
    TargetKey,
    View,
)
from exporter.probes.attempt import Attempt, ProbeOptions, ProbeProtocol, Prober, ProbeResult
from exporter.probes.probers import PROBERS
from exporter.probes.runner import probe_all
from exporter.transport import event_loop
from tests.transport.conftest import ports_connected_to, quiet_port, until

RESPONSE = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nserver: envoy\r\n\r\n"


class OnEventLoop:
    """The network view by the event loop's transports; `Direct` has the epoll's here."""

    view, address, reports_accept = View.NETWORK, "127.0.0.1", True

    def connect(self, port: int, factory: Callable[[], Any]) -> Awaitable[Any]:
        return event_loop.connect(socket.AF_INET, (self.address, port), factory)

    async def datagram(self, port: int, factory: Callable[[], Any]) -> Any:
        return await Direct(self.address).datagram(port, factory)

    async def sockets(self) -> SocketTable:
        return await Direct(self.address).sockets()


@pytest.fixture
async def server() -> AsyncIterator[asyncio.Server]:
    """A proxy that is ready; it closes a connection when its client has reset it."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                writer.write(RESPONSE)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    made = await asyncio.start_server(serve, "127.0.0.1", quiet_port())
    yield made
    made.close()


def attempt_at(backend: ModuleType, port: int, seconds: float = 2.0) -> Attempt:
    probe = Probe(port, ProbeKind.READINESS, View.NETWORK, "127.0.0.1", "/healthz/ready")
    target = Target(key=TargetKey("shop", "cart"), role=Role.SIDECAR, addresses=("127.0.0.1",))
    due = frozenset((Cadence.FAST,))
    dialer = OnEventLoop() if backend is event_loop else Direct("127.0.0.1")
    return Attempt(dialer, probe, due, seconds, target, ProbeOptions())


class Raising(ProbeProtocol):
    def data_received(self, data: bytes) -> None:
        raise KeyError(data)


class RaisingAtOnce(ProbeProtocol):
    def connection_made(self, transport: Any) -> None:
        raise KeyError(transport)


async def raises(attempt: Attempt) -> ProbeResult:
    await attempt.connect(ProbeProtocol)
    raise ValueError


async def waits_for_ever(attempt: Attempt) -> ProbeResult:
    await attempt.connect(ProbeProtocol)
    while True:
        try:
            await asyncio.sleep(5)
        except TimeoutError:
            continue


async def uses_a_timeout_of_asyncio(attempt: Attempt) -> ProbeResult:
    async with asyncio.timeout(0.01):
        await attempt.connect(ProbeProtocol)
    return ProbeResult(Outcome.OK)


async def uses_a_timeout_once_connected(attempt: Attempt) -> ProbeResult:
    await attempt.connect(ProbeProtocol)
    async with asyncio.timeout(0.01):
        await asyncio.sleep(5)
    return ProbeResult(Outcome.OK)


async def awaits_a_connect_twice(attempt: Attempt) -> ProbeResult:
    connecting = attempt.dialer.connect(attempt.probe.port, ProbeProtocol)
    (await connecting).drop()
    await connecting
    return ProbeResult(Outcome.OK)


async def raises_in_its_protocol(attempt: Attempt) -> ProbeResult:
    protocol = await attempt.connect(Raising)
    protocol.transport.write(b"GET / HTTP/1.1\r\n\r\n")
    await asyncio.sleep(5)
    return ProbeResult(Outcome.OK)


async def raises_when_connected(attempt: Attempt) -> ProbeResult:
    await attempt.connect(RaisingAtOnce)
    return ProbeResult(Outcome.OK)


FAULTY = {
    raises: Outcome.NO_ACCESS,
    waits_for_ever: Outcome.TIMEOUT,
    uses_a_timeout_of_asyncio: Outcome.NO_ACCESS,
    uses_a_timeout_once_connected: Outcome.NO_ACCESS,
    awaits_a_connect_twice: Outcome.NO_ACCESS,
    raises_in_its_protocol: Outcome.TIMEOUT,
    raises_when_connected: Outcome.NO_ACCESS,
}


@pytest.mark.parametrize("prober", FAULTY, ids=lambda prober: prober.__name__)
async def test_a_prober_that_breaks_the_rules_ends_alone_and_leaves_no_connection(
    backend: ModuleType, prober: Prober, server: asyncio.Server
) -> None:
    port = server.sockets[0].getsockname()[1]
    probes = [(prober, attempt_at(backend, port, 0.1)) for _ in range(3)]
    probes += [(PROBERS["readiness"], attempt_at(backend, port)) for _ in range(3)]
    async with asyncio.timeout(2):
        observations = await probe_all(probes)
    assert [one.outcome for one in observations] == [FAULTY[prober]] * 3 + [Outcome.OK] * 3
    await until(lambda: not ports_connected_to(port))


async def test_what_arrived_during_a_stall_of_ours_is_no_timeout(
    backend: ModuleType, server: asyncio.Server
) -> None:
    """The response is in the kernel when the event loop gets to the deadline."""
    port = server.sockets[0].getsockname()[1]

    async def stalls(attempt: Attempt) -> ProbeResult:
        asyncio.get_running_loop().call_later(0.05, time.sleep, 0.3)
        await asyncio.sleep(0)
        return await PROBERS["readiness"](attempt)

    (observation,) = await probe_all([(stalls, attempt_at(backend, port, 0.2))])
    assert observation.outcome is Outcome.OK


@pytest.mark.parametrize("count", [1, 60])
async def test_a_cancelled_poll_leaves_no_connection(
    backend: ModuleType, server: asyncio.Server, count: int
) -> None:
    port = server.sockets[0].getsockname()[1]
    probes = [(waits_for_ever, attempt_at(backend, port)) for _ in range(count)]
    poll = asyncio.ensure_future(probe_all(probes))
    await asyncio.sleep(0.02)
    poll.cancel()
    with pytest.raises(asyncio.CancelledError):
        await poll
    await until(lambda: not ports_connected_to(port))
