import asyncio
import os
import socket
import ssl
import time
from pathlib import Path
from typing import Any

import pytest
import uvloop

from exporter.access.dialer import NoAccess
from exporter.catalogue import PORTS
from exporter.model import Outcome, ProbeKind, View
from exporter.probes.attempt import (
    Closed,
    Malformed,
    ProbeProtocol,
    TooLarge,
    failure,
)
from exporter.probes.probers import PROBERS, probe
from exporter.transport.icmp import Rejected


def test_every_kind_has_a_prober_and_the_catalogue_names_kinds() -> None:
    named = {row.probe for row in PORTS} | {row.pod_probe for row in PORTS}
    assert named - {None} <= set(ProbeKind)
    assert set(PROBERS) == set(ProbeKind)


ERRORS = {
    "refused": (ConnectionRefusedError(111, "x"), Outcome.REFUSED),
    "rejected": (Rejected(111, "rejected by 10.0.0.1"), Outcome.REJECTED),
    "reset": (ConnectionResetError(104, "x"), Outcome.RESET),
    "broken pipe": (BrokenPipeError(32, "x"), Outcome.RESET),
    "no route": (OSError(113, "No route to host"), Outcome.UNREACHABLE),
    "no network": (OSError(101, "Network is unreachable"), Outcome.UNREACHABLE),
    "no local port": (OSError(99, "Cannot assign requested address"), Outcome.NO_ACCESS),
    "no buffer": (OSError(105, "No buffer space available"), Outcome.NO_ACCESS),
    "no memory": (OSError(12, "Cannot allocate memory"), Outcome.NO_ACCESS),
    "no memory of Python's": (MemoryError(), Outcome.NO_ACCESS),
    "no descriptors left": (OSError(23, "Too many open files in system"), Outcome.NO_ACCESS),
    "kernel gave up": (TimeoutError(110, "x"), Outcome.TIMEOUT),
    "deadline": (TimeoutError(), Outcome.TIMEOUT),
    "no descriptors": (OSError(24, "Too many open files"), Outcome.NO_ACCESS),
    "own firewall": (PermissionError(1, "Operation not permitted"), Outcome.NO_ACCESS),
    "tls": (ssl.SSLError(1, "bad"), Outcome.TLS_ERROR),
    "closed": (Closed(), Outcome.CLOSED),
    "malformed": (Malformed("x"), Outcome.WRONG_PROTOCOL),
    "too large": (TooLarge(), Outcome.TOO_LARGE),
    "no access": (NoAccess("The door is shut."), Outcome.NO_ACCESS),
    "bug": (KeyError("x"), Outcome.NO_ACCESS),
}


@pytest.mark.parametrize(("error", "outcome"), ERRORS.values(), ids=ERRORS)
def test_every_failure_is_an_outcome(attempt_at: Any, error: Any, outcome: Outcome) -> None:
    answer = failure(error, attempt_at(1))
    assert answer.outcome is outcome
    assert answer.detail


def test_the_exporters_own_errors_name_the_exporter(attempt_at: Any) -> None:
    assert "exporter" in failure(OSError(24, "Too many open files"), attempt_at(1)).detail


BAD = {
    "silent": {Outcome.TIMEOUT},
    "closes_when_asked": {Outcome.CLOSED},
    "resets_when_asked": {Outcome.RESET},
    "garbage": {Outcome.WRONG_PROTOCOL},
}
TALKING = ("agent", "readiness", "stats", "istiod", "metrics", "http", "admin", "ztunnel_ready")


@pytest.mark.parametrize("name", TALKING)
@pytest.mark.parametrize(("ending", "outcomes"), BAD.items(), ids=BAD)
async def test_bad_peers_end_as_outcomes(
    listen: Any, attempt_at: Any, endings: Any, name: str, ending: str, outcomes: Any
) -> None:
    port = await listen(endings[ending])
    observed = await probe(attempt_at(port, timeout=0.3, path="/metrics", kind=name))
    assert observed.outcome in outcomes, observed
    assert observed.connected is True
    assert observed.port == port
    assert observed.view is View.NETWORK
    assert observed.address == "127.0.0.1"


@pytest.mark.parametrize("name", sorted(set(PROBERS) - {"sockets", "dns"}))
async def test_a_refused_port_is_refused_by_every_prober(
    attempt_at: Any, unused_tcp_port: int, name: str
) -> None:
    observed = await probe(
        attempt_at(unused_tcp_port, control=unused_tcp_port, path="/", kind=name)
    )
    assert observed.outcome is Outcome.REFUSED
    assert observed.connected is False


async def test_an_endless_answer_stops_at_the_limit(
    listen: Any, attempt_at: Any, endings: Any
) -> None:
    port = await listen(endings["endless"])
    observed = await probe(attempt_at(port, 15090, kind="stats"))
    assert observed.outcome is Outcome.TOO_LARGE
    assert observed.seconds < 2


async def test_a_probe_that_never_connects_times_out_unconnected(attempt_at: Any) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        fillers = [socket.socket() for _ in range(3)]
        for filler in fillers:
            filler.setblocking(False)  # noqa: FBT003
            filler.connect_ex(("127.0.0.1", port))
        observed = await probe(attempt_at(port, timeout=0.3, kind="readiness"))
        for filler in fillers:
            filler.close()
    assert observed.outcome is Outcome.TIMEOUT
    assert observed.connected is False


class Slow:
    """A dialer whose connections take their time, and of which only so many come about."""

    view = View.NETWORK
    address = "127.0.0.1"
    reports_accept = True

    def __init__(self, most: int) -> None:
        self.left = most

    async def connect(self, port: int, factory: Any) -> Any:
        await asyncio.sleep(0.2)
        if self.left == 0:
            raise ConnectionRefusedError(111, "x")
        self.left -= 1
        loop = asyncio.get_running_loop()
        return (await loop.create_connection(factory, self.address, port))[1]


async def test_a_slow_connection_is_no_slow_answer(
    serve: Any, attempt_at: Any, answer: Any
) -> None:
    asked = attempt_at(await serve({"/healthz/ready": answer(200)}))
    asked.dialer = Slow(1)
    observed = await probe(asked)
    assert observed.outcome is Outcome.OK
    assert observed.seconds < 0.15


async def test_a_refused_reconnect_does_not_take_the_connection_back(
    listen: Any, attempt_at: Any, endings: Any
) -> None:
    asked = attempt_at(await listen(endings["silent"]))
    asked.dialer = Slow(1)
    await asked.connect(ProbeProtocol)
    with pytest.raises(ConnectionRefusedError):
        await asked.connect(ProbeProtocol)
    assert asked.connected is True


async def test_the_network_shows_no_socket_table(attempt_at: Any) -> None:
    observed = await probe(attempt_at(1, kind="sockets"))
    assert observed.outcome is Outcome.NO_ACCESS
    assert observed.connected is None


def test_a_thousand_silent_peers_all_end_on_time(attempt_at: Any) -> None:
    async def poll() -> tuple[float, set[Outcome]]:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen(2048)
            port = listener.getsockname()[1]
            started = time.monotonic()
            seen = await asyncio.gather(
                *(probe(attempt_at(port, timeout=1.0, kind="readiness")) for _ in range(1000))
            )
            return time.monotonic() - started, {observed.outcome for observed in seen}

    seconds, outcomes = uvloop.run(poll())
    assert outcomes == {Outcome.TIMEOUT}
    assert seconds < 2.5  # one after another they would take a thousand seconds


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_a_finished_probe_leaves_no_time_wait(attempt_at: Any, answer: Any, run: Any) -> None:
    class Answering(asyncio.Protocol):
        def connection_made(self, transport: Any) -> None:
            self.transport = transport

        def data_received(self, _data: bytes) -> None:
            self.transport.write(answer(200))

    def time_waits(port: int) -> set[str]:
        rows = [line.split()[1:4] for line in Path("/proc/net/tcp").read_text().splitlines()]
        ended = [(local, remote) for local, remote, state in rows[1:] if state == "06"]
        return {str(pair) for pair in ended if any(end.endswith(f":{port:04X}") for end in pair)}

    async def poll() -> tuple[set[Outcome], set[str]]:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(Answering, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        before = time_waits(port)
        seen = [await probe(attempt_at(port, kind="readiness")) for _ in range(20)]
        seen += [await probe(attempt_at(port, kind="control")) for _ in range(20)]
        await asyncio.sleep(0.05)
        left = time_waits(port) - before
        server.close()
        return {observed.outcome for observed in seen}, left

    outcomes, left = run(poll())
    assert outcomes == {Outcome.OK}
    assert left == set()


async def test_a_probe_leaves_no_descriptor_open(
    listen: Any, attempt_at: Any, endings: Any
) -> None:
    port = await listen(endings["silent"])
    await probe(attempt_at(port, timeout=0.05, kind="readiness"))
    await asyncio.sleep(0.05)
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    for name in ("readiness", "hello", "grpc", "blackhole", "exposure", "dns"):
        await probe(attempt_at(port, timeout=0.05, control=port, kind=name))
    await asyncio.sleep(0.05)
    own_side = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    assert own_side - before <= 5  # the listener's side of the five that connected
