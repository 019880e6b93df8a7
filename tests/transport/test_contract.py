"""What `exporter.transport` promises, over both backends and both event loops."""

import asyncio
import random
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from types import ModuleType
from typing import Any

import pytest

from exporter.transport.backend import VARIABLE
from exporter.transport.protocols import HalfOpenConnect
from tests.transport.conftest import Recorder, fresh, ports_connected_to, result_of, until

FAMILIES = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}
Joined = tuple[Any, socket.socket]


async def joined(
    backend: ModuleType, listener: socket.socket, kind: type[Recorder] = Recorder
) -> Joined:
    """A protocol that is connected to the listener, and the accepted socket."""
    protocol = await backend.connect(socket.AF_INET, listener.getsockname(), kind)
    return protocol, listener.accept()[0]


def reset(peer: socket.socket) -> None:
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()


def drain(peer: socket.socket) -> None:
    while peer.recv(1 << 20):
        pass


class Sizes(Recorder):
    """Notes how much comes at once."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self.sizes.append(len(data))


async def some_turns() -> None:
    """For what must not happen."""
    await asyncio.sleep(0.05)


# --- Connecting ----------------------------------------------------------------------------------


@pytest.mark.parametrize("is_ours", [True, False], ids=["connect", "connect_socket"])
@pytest.mark.parametrize("family", FAMILIES)
async def test_connects_and_carries_bytes_both_ways(
    backend: ModuleType, family: socket.AddressFamily, is_ours: object
) -> None:
    with socket.create_server((FAMILIES[family], 0), family=family) as listener:
        remote = listener.getsockname()[:2]
        protocol = await (
            backend.connect(family, remote, Recorder)
            if is_ours
            else backend.connect_socket(fresh(family), remote, Recorder)
        )
        peer = listener.accept()[0]
        protocol.transport.write(b"request")
        assert peer.recv(64) == b"request"
        peer.sendall(b"response")
        peer.close()
        assert await protocol.lost is None
    assert protocol.received == b"response"
    assert protocol.calls == ["made", "data", "lost"]


@pytest.mark.parametrize("family", FAMILIES)
async def test_a_refused_connect_raises_and_leaves_no_socket(
    backend: ModuleType, family: socket.AddressFamily, unused_tcp_port: int
) -> None:
    own, made = fresh(family), []
    with pytest.raises(ConnectionRefusedError):
        await backend.connect_socket(
            own, (FAMILIES[family], unused_tcp_port), lambda: made.append(Recorder()) or made[-1]
        )
    with pytest.raises(ConnectionRefusedError):
        await backend.connect(family, (FAMILIES[family], unused_tcp_port), Recorder)
    assert own.fileno() == -1
    assert made[0].calls == []


async def test_what_the_system_does_not_even_try_raises(backend: ModuleType) -> None:
    own = fresh()
    with pytest.raises(OSError, match=r"unreachable|denied"):
        await backend.connect_socket(own, ("255.255.255.255", 9), Recorder)
    assert own.fileno() == -1


async def test_many_at_once_each_have_a_connection_of_their_own(
    backend: ModuleType, listener: socket.socket
) -> None:
    remote, sockets = listener.getsockname(), [fresh() for _ in range(150)]
    connecting = [backend.connect_socket(own, remote, Recorder) for own in sockets]
    connecting += [backend.connect(socket.AF_INET, remote, Recorder) for _ in sockets]
    protocols = await asyncio.gather(*map(result_of, connecting))
    for number, protocol in enumerate(protocols):
        protocol.transport.write(b"%d" % number)
    for _ in protocols:
        peer = listener.accept()[0]
        peer.sendall(peer.recv(64))
        peer.close()
    assert [await protocol.lost for protocol in protocols] == [None] * len(protocols)
    assert [int(protocol.received) for protocol in protocols] == list(range(len(protocols)))
    await until(lambda: {own.fileno() for own in sockets} == {-1})


async def test_a_connection_is_as_new_as_any_whatever_ended_before_it(
    backend: ModuleType, listener: socket.socket, unused_tcp_port: int
) -> None:
    """A backend may use sockets again: nothing of one connection may show in another."""
    seen = set()
    for _ in range(20):
        first, peer = await joined(backend, listener)
        peer.sendall(b"not read")
        first.transport.abort()
        with pytest.raises(ConnectionRefusedError):
            await backend.connect(socket.AF_INET, ("127.0.0.1", unused_tcp_port), Recorder)
        second = await backend.connect(socket.AF_INET, listener.getsockname(), Recorder)
        other, local = listener.accept()
        seen.add(local)
        other.sendall(b"hello")
        other.close()
        assert await second.lost is None
        assert (first.received, second.received) == (b"", b"hello")
        peer.close()
    assert len(seen) == 20


async def test_no_connection_leaves_time_wait(backend: ModuleType, listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    for _ in range(10):
        protocol, peer = await joined(backend, listener)
        assert ports_connected_to(port)
        protocol.transport.abort()
        await until(lambda: not ports_connected_to(port))
        peer.close()


async def test_a_half_open_connect_is_not_noticed_and_the_next_connect_is(
    backend: ModuleType, listener: socket.socket
) -> None:
    class HalfOpen(Recorder, HalfOpenConnect):
        pass

    remote = listener.getsockname()
    protocol = await backend.connect(socket.AF_INET, remote, HalfOpen)
    protocol.transport.abort()
    await some_turns()
    listener.settimeout(0.1)
    with pytest.raises(TimeoutError):
        listener.accept()
    protocol = await backend.connect(socket.AF_INET, remote, Recorder)
    listener.accept()[0].close()
    await protocol.lost


# --- Ends ----------------------------------------------------------------------------------------


async def test_everything_that_came_before_the_end_is_received(
    backend: ModuleType, listener: socket.socket
) -> None:
    protocol, peer = await joined(backend, listener)
    peer.sendall(b"x" * 200_000)
    peer.close()
    assert await protocol.lost is None
    assert len(protocol.received) == 200_000


async def test_a_connection_that_was_reset_at_once_is_made_and_lost(
    backend: ModuleType, listener: socket.socket
) -> None:
    connecting = asyncio.ensure_future(
        result_of(backend.connect(socket.AF_INET, listener.getsockname(), Recorder))
    )
    await asyncio.sleep(0)
    reset(listener.accept()[0])
    protocol = await connecting
    assert isinstance(await protocol.lost, ConnectionResetError)
    assert protocol.calls == ["made", "lost"]


@pytest.mark.parametrize("stage", ["connected", "received", "unsent"])
async def test_a_reset_is_an_error_at_every_stage(
    backend: ModuleType, listener: socket.socket, stage: str
) -> None:
    protocol, peer = await joined(backend, listener)
    if stage == "received":
        peer.sendall(b"some")
        await until(lambda: protocol.received)
    if stage == "unsent":
        protocol.transport.write(b"x" * 20_000_000)
        peer.recv(1000)
    reset(peer)
    assert isinstance(await protocol.lost, ConnectionError)
    assert protocol.calls.count("lost") == 1


async def test_a_half_close_of_the_peer_ends_the_connection_though_bytes_are_unsent(
    backend: ModuleType, listener: socket.socket
) -> None:
    protocol, peer = await joined(backend, listener)
    protocol.transport.write(b"x" * 20_000_000)
    peer.sendall(b"bye")
    peer.shutdown(socket.SHUT_WR)
    async with asyncio.timeout(2):
        assert await protocol.lost is None
    assert protocol.received == b"bye"
    with pytest.raises(ConnectionResetError):
        drain(peer)
    peer.close()


async def test_writing_after_the_end_is_no_error(
    backend: ModuleType, listener: socket.socket, caplog: pytest.LogCaptureFixture
) -> None:
    protocol, peer = await joined(backend, listener)
    reset(peer)
    protocol.transport.write(b"fails")
    assert isinstance(await protocol.lost, ConnectionError)
    for _ in range(10):
        protocol.transport.write(b"is dropped")
    protocol.transport.abort()
    assert protocol.transport.unread_seconds == 0.0
    assert caplog.text == ""


async def test_writes_more_than_the_kernel_takes(
    backend: ModuleType, listener: socket.socket
) -> None:
    protocol, peer = await joined(backend, listener)
    sent = bytes(range(256)) * 40_000
    protocol.transport.write(sent[:9_000_000])
    protocol.transport.write(sent[9_000_000:])
    peer.setblocking(False)  # noqa: FBT003
    received = b""
    while len(received) < len(sent):
        received += await asyncio.get_running_loop().sock_recv(peer, 1 << 20)
    assert received == sent
    protocol.transport.abort()
    peer.close()


async def test_knows_for_how_long_it_did_not_read(
    backend: ModuleType, listener: socket.socket
) -> None:
    protocol, peer = await joined(backend, listener)
    peer.sendall(b"early")
    time.sleep(0.2)  # noqa: ASYNC251 - the stall that is measured
    await until(lambda: protocol.received)
    assert 0.19 < protocol.transport.unread_seconds < 1
    protocol.transport.abort()
    peer.close()


# --- Waiting -------------------------------------------------------------------------------------


@pytest.mark.parametrize("ends", ["throw", "close"])
async def test_a_cancelled_connect_closes_its_socket_and_makes_no_connection(
    backend: ModuleType, hole: tuple[str, int], listener: socket.socket, ends: str
) -> None:
    for remote in (hole, listener.getsockname()):
        own, made = fresh(), Recorder()
        connecting = result_of(backend.connect_socket(own, remote, lambda made=made: made))
        connecting.send(None)
        if ends == "throw":
            with pytest.raises(asyncio.CancelledError):
                connecting.throw(asyncio.CancelledError())
        connecting.close()
        await until(lambda own=own: own.fileno() == -1)
        assert made.calls == []


async def test_a_connect_that_is_never_answered_ends_with_its_deadline(
    backend: ModuleType, hole: tuple[str, int]
) -> None:
    """Descriptors are numbered anew: the next one that waits has the number of the last."""
    for _ in range(5):
        own = fresh()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(
                result_of(backend.connect_socket(own, hole, Recorder)), timeout=0.05
            )
        assert own.fileno() == -1


async def test_a_second_waiter_is_an_error_and_the_first_connects(
    backend: ModuleType, listener: socket.socket
) -> None:
    connecting = backend.connect(socket.AF_INET, listener.getsockname(), Recorder)
    first, second = await asyncio.gather(
        result_of(connecting), result_of(connecting), return_exceptions=True
    )
    assert type(second) is RuntimeError
    first.transport.abort()


# --- Protocols that break the rules --------------------------------------------------------------


class OddError(BaseException):
    """What no `except Exception` catches."""


def failing_in(*methods: str) -> type[Recorder]:
    """A protocol that raises in these."""

    def fail(*_: object) -> None:
        raise OddError

    return type("Failing", (Recorder,), dict.fromkeys(methods, fail))


async def test_what_the_factory_raises_closes_the_socket(backend: ModuleType) -> None:
    def factory() -> Recorder:
        raise OddError

    own = fresh()
    with pytest.raises(OddError):
        await backend.connect_socket(own, ("127.0.0.1", 9), factory)
    assert own.fileno() == -1


async def test_what_connection_made_raises_is_raised_where_the_connect_is_awaited(
    backend: ModuleType, listener: socket.socket
) -> None:
    own = fresh()
    with pytest.raises(OddError):
        await backend.connect_socket(own, listener.getsockname(), failing_in("connection_made"))
    await until(lambda: own.fileno() == -1)


async def test_what_data_received_raises_ends_its_own_connection_only(
    backend: ModuleType, listener: socket.socket
) -> None:
    faulty, first = await joined(backend, listener, failing_in("data_received"))
    sound, second = await joined(backend, listener)
    first.sendall(b"?")
    second.sendall(b"!")
    second.close()
    assert isinstance(await faulty.lost, OddError)
    await sound.lost
    assert sound.received == b"!"
    first.close()


@pytest.mark.parametrize("also", [(), ("data_received",)])
async def test_what_connection_lost_raises_is_logged_and_disturbs_nobody(
    backend: ModuleType,
    listener: socket.socket,
    caplog: pytest.LogCaptureFixture,
    also: tuple[str, ...],
) -> None:
    _, first = await joined(backend, listener, failing_in("connection_lost", *also))
    sound, second = await joined(backend, listener)
    first.sendall(b"?")
    first.close()
    second.sendall(b"!")
    second.close()
    await sound.lost
    assert sound.received == b"!"
    await until(lambda: caplog.records)
    assert [record.exc_info[0] for record in caplog.records if record.exc_info] == [OddError]


@pytest.mark.parametrize("method", ["connection_made", "data_received"])
async def test_nothing_is_reported_after_an_abort(
    backend: ModuleType, listener: socket.socket, method: str
) -> None:
    def abort(self: Recorder, argument: Any) -> None:
        getattr(Recorder, method)(self, argument)
        self.transport.abort()

    protocol = await backend.connect(
        socket.AF_INET, listener.getsockname(), type("Aborting", (Recorder,), {method: abort})
    )
    peer = listener.accept()[0]
    with suppress(ConnectionError):
        peer.sendall(b"one")
        await some_turns()
        peer.sendall(b"two")
    peer.close()
    await some_turns()
    assert protocol.calls == (["made", "data"] if method == "data_received" else ["made"])
    protocol.transport.write(b"is dropped")
    protocol.transport.abort()


async def test_late_data_is_not_reported_to_who_aborted(
    backend: ModuleType, listener: socket.socket
) -> None:
    """It is in the kernel already, and in the event loop's hands, when another aborts it."""
    protocols = [await joined(backend, listener) for _ in range(2)]
    (first, one), (second, other) = protocols
    first.data_received = lambda _data: second.transport.abort()
    second.data_received = lambda _data: first.transport.abort()
    one.sendall(b"x")
    other.sendall(b"x")
    await some_turns()
    assert (first.calls, second.calls) == (["made"], ["made"])
    one.close()
    other.close()


async def test_a_protocol_may_connect_again_in_any_callback(
    backend: ModuleType, listener: socket.socket, hole: tuple[str, int]
) -> None:
    """The end of another connection comes with it, whose socket may be the next one's."""
    connecting: list[asyncio.Task[Any]] = []

    class Connects(Recorder):
        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            again = result_of(backend.connect(socket.AF_INET, hole, Recorder))
            connecting.append(asyncio.ensure_future(again))

    protocol, peer = await joined(backend, listener, Connects)
    other, its_peer = await joined(backend, listener)
    peer.sendall(b"go on")
    other.transport.abort()
    await some_turns()
    assert not connecting[0].done()
    connecting[0].cancel()
    await asyncio.wait(connecting)
    protocol.transport.abort()
    peer.close()
    its_peer.close()


Action = Callable[[Any, socket.socket], object]
ACTIONS: dict[str, Action] = {
    "peer sends": lambda _protocol, peer: peer.send(b"0123456789" * 500),
    "peer ends its stream": lambda _protocol, peer: peer.shutdown(socket.SHUT_WR),
    "peer resets": lambda _protocol, peer: reset(peer),
    "peer closes": lambda _protocol, peer: peer.close(),
    "writes": lambda protocol, _peer: protocol.transport.write(b"x" * 3000),
    "writes a lot": lambda protocol, _peer: protocol.transport.write(b"x" * 3_000_000),
    "aborts": lambda protocol, _peer: protocol.transport.abort(),
}


@pytest.mark.parametrize("seed", range(3))
async def test_whatever_happens_in_whatever_order_the_calls_are_in_theirs(
    backend: ModuleType, listener: socket.socket, seed: int
) -> None:
    """Made once, bytes as they were sent, lost once and last, and nothing after an abort."""
    chosen = random.Random(seed)
    for _ in range(40):
        protocol, peer = await joined(backend, listener)
        names = chosen.choices(list(ACTIONS), k=chosen.randint(1, 6))
        before: list[str] | None = None
        for name in names:
            with suppress(OSError):  # the peer's socket may be closed or reset by now
                ACTIONS[name](protocol, peer)
            if name == "aborts" and before is None:
                before = list(protocol.calls)
            if chosen.random() < 0.5:
                await asyncio.sleep(chosen.choice((0, 0.001)))
        peer.close()
        await until(lambda p=protocol, b=before: b is not None or p.lost.done())
        await asyncio.sleep(0.002)
        calls = protocol.calls
        assert before is None or calls == before, names
        assert (calls.count("made"), calls[0]) == (1, "made"), names
        assert "lost" not in calls[:-1], names
        assert (b"0123456789" * 5000).startswith(protocol.received), names


# --- The choice ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "expected"),
    [("", "connection"), ("epoll", "connection"), ("event-loop", "event_loop")],
)
def test_the_environment_may_choose_the_backend(value: str, expected: str) -> None:
    program = "from exporter.transport import backend; print(backend.connect.__module__)"
    printed = subprocess.run(
        [sys.executable, "-c", program], env={VARIABLE: value}, capture_output=True, check=True
    ).stdout
    assert printed.decode().strip() == f"exporter.transport.{expected}"


def test_a_backend_that_does_not_exist_is_an_error() -> None:
    program = [sys.executable, "-c", "import exporter.transport.backend"]
    ended = subprocess.run(program, env={VARIABLE: "x"}, capture_output=True, check=False)
    assert ended.returncode == 1
    assert VARIABLE.encode() in ended.stderr


async def test_what_a_protocol_gets_at_once_has_a_bound(
    backend: ModuleType, listener: socket.socket
) -> None:
    protocol, peer = await joined(backend, listener, Sizes)
    with peer:
        peer.setblocking(False)  # noqa: FBT003 - as sockets have it
        sent = 0
        while sent < 2**20:
            with suppress(BlockingIOError):
                sent += peer.send(b"x" * 2**18)
            await asyncio.sleep(0)
        await until(lambda: len(protocol.received) == sent)
    assert max(protocol.sizes) <= 32768
