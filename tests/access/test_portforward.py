"""What a look makes of a port-forward, whatever comes over the wire."""

import asyncio
import contextlib
import logging
import math
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from exporter.access.dialer import Dialer, NoAccess
from exporter.access.forwarded_streams import MOST_PORTS, fault_of
from exporter.access.portforward import RETRY_SECONDS, ForwardedPod, PortForwards
from exporter.access.portforward_budget import Budget
from exporter.kube.api_errors import ForbiddenError, KubernetesError
from exporter.model import TargetKey, View

KEY = TargetKey("shop", "cart")
REFUSED = (
    "error forwarding port 15053 to pod cart, uid : failed to execute portforward in network "
    'namespace "/var/run/netns/cni-1": failed to connect to localhost:15053 inside namespace '
    '"cart", IPv4: dial tcp4 127.0.0.1:15053: connect: connection refused IPv6 dial tcp6 '
    "[::1]:15053: connect: connection refused "
)


class Connection:
    """The other end of a wire: what it was sent, and what it is made to say."""

    def __init__(self, ports: Sequence[int]) -> None:
        self.ports = ports
        self.sent: list[bytes] = []
        self.is_closed = False
        self._said: asyncio.Queue[bytes | KubernetesError | None] = asyncio.Queue()
        for index, port in enumerate(ports):
            for channel in (2 * index, 2 * index + 1):
                self.say(channel, port.to_bytes(2, "little"))

    def say(self, channel: int, data: bytes) -> None:
        self._said.put_nowait(bytes([channel]) + data)

    def end(self, error: KubernetesError | None = None) -> None:
        self._said.put_nowait(error)

    async def send(self, message: bytes) -> None:
        self.sent.append(message)

    async def receive(self) -> bytes | None:
        said = await self._said.get()
        if isinstance(said, KubernetesError):
            raise said
        return said


class Server:
    """Opens wires, or refuses to."""

    def __init__(self) -> None:
        self.wires: list[Connection] = []
        self.refusal: KubernetesError | None = None
        self.asked = 0

    @asynccontextmanager
    async def open(self, key: TargetKey, ports: Sequence[int]) -> AsyncIterator[Connection]:
        assert key.pod == KEY.pod
        self.asked += 1
        if self.refusal:
            raise self.refusal
        wire = Connection(ports)
        self.wires.append(wire)
        try:
            yield wire
        finally:
            wire.is_closed = True


class Heard(asyncio.Protocol):
    """What reaches a prober's protocol."""

    def __init__(self) -> None:
        self.data = b""
        self.lost: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.data += data

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set_result(exc)


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - it is about several objects
            await asyncio.sleep(0)


@asynccontextmanager
async def inside(
    pod: ForwardedPod, together: Sequence[int] = (), apart: Sequence[int] = ()
) -> AsyncIterator[Dialer]:
    async with pod.entered(together, apart, urgent=False) as dialer:
        assert dialer is not None
        yield dialer


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def pod(server: Server) -> ForwardedPod:
    return PortForwards(server.open, None).pod(KEY)


async def test_ports_share_a_wire_but_for_those_whose_end_counts(
    server: Server, pod: ForwardedPod
) -> None:
    async with inside(pod, (15000, 15020), (15001, 15006)) as dialer:
        assert isinstance(dialer, Dialer)
        assert dialer.view is View.POD
        assert [wire.ports for wire in server.wires] == [(15000, 15020), (15001,), (15006,)]
    assert all(wire.is_closed for wire in server.wires)


async def test_bytes_go_both_ways_on_the_ports_own_channels(
    server: Server, pod: ForwardedPod
) -> None:
    async with inside(pod, (15000, 15020)) as dialer:
        (wire,) = server.wires
        admin, agent = [await dialer.connect(port, Heard) for port in (15000, 15020)]
        agent.transport.write(b"GET")
        admin.transport.write(b"PUT")
        await until(lambda: len(wire.sent) == 2)
        assert wire.sent == [b"\x02GET", b"\x00PUT"]
        wire.say(2, b"20")
        wire.say(0, b"LI")
        wire.say(2, b"0")
        await until(lambda: agent.data == b"200")
        assert admin.data == b"LI"


async def test_the_refusal_of_a_port_reaches_its_protocol(
    server: Server, pod: ForwardedPod
) -> None:
    async with inside(pod, (15000, 15053)) as dialer:
        heard = await dialer.connect(15053, Heard)
        server.wires[0].say(3, REFUSED.encode())
        assert isinstance(await heard.lost, ConnectionRefusedError)


async def test_a_refusal_that_came_first_is_a_connection_that_did_not_come_about(
    server: Server, pod: ForwardedPod
) -> None:
    async with inside(pod, (15053,)) as dialer:
        server.wires[0].say(1, REFUSED.encode())
        server.wires[0].end()
        await until(lambda: server.wires[0].is_closed)
        with pytest.raises(ConnectionRefusedError):
            await dialer.connect(15053, Heard)


async def test_the_end_of_a_lone_wire_is_the_ports_closing(
    server: Server, pod: ForwardedPod
) -> None:
    async with inside(pod, (), (15001,)) as dialer:
        heard = await dialer.connect(15001, Heard)
        server.wires[0].say(0, b"bye")
        server.wires[0].end()
        assert await heard.lost is None
        assert heard.data == b"bye"


async def test_what_came_before_the_connection_is_not_lost(
    server: Server, pod: ForwardedPod
) -> None:
    async with inside(pod, (), (15001,)) as dialer:
        server.wires[0].say(0, b"early")
        server.wires[0].end()
        await until(lambda: server.wires[0].is_closed)
        heard = await dialer.connect(15001, Heard)
        assert heard.data == b"early"
        assert await heard.lost is None


async def test_a_wire_that_breaks_says_nothing_of_the_ports(
    server: Server, pod: ForwardedPod
) -> None:
    async with inside(pod, (15000, 15020)) as dialer:
        heard = await dialer.connect(15000, Heard)
        server.wires[0].end(KubernetesError.of(0, "the port-forward's connection was lost"))
        assert isinstance(await heard.lost, NoAccess)
        with pytest.raises(NoAccess, match=r"^The port-forward's connection was lost\.$"):
            await dialer.connect(15020, Heard)


async def test_a_second_connection_to_a_port_has_a_wire_of_its_own(
    server: Server, pod: ForwardedPod
) -> None:
    async with inside(pod, (15000,)) as dialer:
        first, second = [await dialer.connect(15000, Heard) for _ in range(2)]
        assert first.transport is not second.transport
        assert [wire.ports for wire in server.wires] == [(15000,), (15000,)]


async def test_a_wire_closes_when_nobody_wants_more_of_it(
    server: Server, pod: ForwardedPod
) -> None:
    async with inside(pod, (15000, 15020)) as dialer:
        for port in (15000, 15020):
            assert not server.wires[0].is_closed
            heard = await dialer.connect(port, Heard)
            heard.transport.abort()
            assert heard.transport.is_closing()
            assert await heard.lost is None
        await until(lambda: server.wires[0].is_closed)


async def test_only_tcp_is_carried(pod: ForwardedPod) -> None:
    async with inside(pod, (15053,)) as dialer:
        with pytest.raises(NoAccess, match="TCP only"):
            await dialer.datagram(15053, asyncio.DatagramProtocol)
        with pytest.raises(NoAccess, match="socket table"):
            await dialer.sockets()


async def test_a_namespace_that_refuses_is_asked_rarely_and_said_once(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    now = 0.0
    forwarding = PortForwards(server.open, None, lambda: now)
    server.refusal = ForbiddenError(403, "no port-forward: a verb is missing")
    for _ in range(5):
        for name in ("cart", "cart"):
            async with inside(forwarding.pod(TargetKey("shop", name)), (15000,)) as dialer:
                with pytest.raises(NoAccess, match=r"^No port-forward: a verb is missing\.$"):
                    await dialer.connect(15000, Heard)
    assert server.asked == 1
    assert len(caplog.messages) == 1
    assert forwarding.trouble == "No port-forward: a verb is missing."
    server.refusal = None
    now = RETRY_SECONDS
    async with inside(forwarding.pod(KEY), (15000,)) as dialer:
        await dialer.connect(15000, Heard)
    assert forwarding.trouble == ""
    assert caplog.messages[1:] == ["port-forwards are allowed again"]


@pytest.mark.parametrize(("pods", "is_kept"), [(0, False), (500, True)])
def test_a_refusal_that_nobody_tries_again_is_forgotten(pods: int, is_kept: object) -> None:
    now = 0.0
    budget = Budget(1.0, 4)
    forwarding = PortForwards(Server().open, budget, lambda: now)
    waiting = [Server() for _ in range(pods)]
    for pod in waiting:
        budget.take(pod, 1, urgent=False)
    for name in ("gone", "shop"):
        forwarding.refused(name, f"{name} refuses")
    now = RETRY_SECONDS
    assert forwarding.refusal("shop") == ""
    forwarding.refused("shop", "shop refuses")
    assert forwarding.trouble == "gone refuses"
    now = 2 * RETRY_SECONDS
    assert (forwarding.trouble == "gone refuses") is is_kept
    now = 3 * RETRY_SECONDS
    assert bool(forwarding.trouble) is is_kept


async def test_what_is_not_a_refusal_is_asked_again(server: Server, pod: ForwardedPod) -> None:
    server.refusal = KubernetesError.of(404, "no port-forward: the pod is gone")
    for _ in range(2):
        async with inside(pod, (15000,)) as dialer:
            with pytest.raises(NoAccess, match="gone"):
                await dialer.connect(15000, Heard)
    assert server.asked == 2


@pytest.mark.parametrize("count", [1, MOST_PORTS, MOST_PORTS + 1, 3 * MOST_PORTS])
async def test_any_number_of_ports_is_carried(
    server: Server, pod: ForwardedPod, count: int
) -> None:
    ports = range(20000, 20000 + count)
    async with inside(pod, ports) as dialer:
        assert [port for wire in server.wires for port in wire.ports] == list(ports)
        assert len(server.wires) == math.ceil(count / MOST_PORTS)
        for port in ports:
            line = await dialer.connect(port, Heard)
            line.transport.write(port.to_bytes(2, "big"))
        await asyncio.sleep(0.01)
        sent = [message for wire in server.wires for message in wire.sent]
        assert [int.from_bytes(message[1:], "big") for message in sent] == list(ports)
        assert {message[0] % 2 for message in sent} == {0}


async def test_the_budget_is_paid_back_when_a_look_ends(server: Server) -> None:
    budget = Budget(1000, 3)
    pod = PortForwards(server.open, budget).pod(KEY)
    async with inside(pod, (15000,), (15001, 15006)) as dialer:
        await dialer.connect(15000, Heard)
        await dialer.connect(15000, Heard)
        assert not budget.take(Server(), 1, urgent=True)
    await asyncio.sleep(0.01)
    assert budget.take(Server(), 3, urgent=True)


async def test_a_look_that_the_budget_denies_is_left_out(server: Server) -> None:
    forwarding = PortForwards(server.open, Budget(0.001, 1))
    async with inside(forwarding.pod(KEY), (15000,)):
        pass
    other = forwarding.pod(TargetKey("shop", "cart2"))
    async with other.entered((15000,), (), urgent=False) as dialer:
        assert dialer is None
    assert server.asked == 1


def test_a_polled_pod_keeps_its_place_in_line(server: Server) -> None:
    forwarding = PortForwards(server.open, None)
    kept = forwarding.pod(KEY)
    assert forwarding.pod(KEY) is kept
    assert forwarding.probed_pod(KEY) is not kept


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (REFUSED, ConnectionRefusedError),
        ("exit status 1: socat[9] E connect(5): Connection refused", ConnectionRefusedError),
        (
            "read tcp4 127.0.0.1:1->127.0.0.1:2: read: connection reset by peer",
            ConnectionResetError,
        ),
        ("write tcp4 127.0.0.1:1: write: broken pipe", ConnectionResetError),
        ("dial tcp4 127.0.0.1:15000: i/o timeout", TimeoutError),
        ("dial tcp4 127.0.0.1:15000: connect: connection timed out", TimeoutError),
        ("dial tcp4 127.0.0.1:1: connect: network is unreachable", OSError),
        ('network namespace for sandbox "x" is closed', NoAccess),
        ("", NoAccess),
    ],
)
def test_the_error_channels_words_are_understood(text: str, kind: type[Exception]) -> None:
    assert type(fault_of(text)) is kind


class Kubelets:
    """Opens WebSockets, but for pods named `lost`: their kubelet's answer never comes, or late."""

    def __init__(self, seconds: float) -> None:
        self.asked: Counter[str] = Counter()
        self._seconds = seconds

    @asynccontextmanager
    async def open(self, key: TargetKey, ports: Sequence[int]) -> AsyncIterator[Connection]:
        self.asked[key.pod] += 1
        if key.pod.startswith("lost"):
            await asyncio.sleep(self._seconds)
            raise KubernetesError.of(502, "no port-forward: the kubelet does not answer")
        yield Connection(ports)


async def test_pods_whose_kubelet_answers_late_keep_no_other_from_being_seen() -> None:
    """What takes seconds and minutes elsewhere takes a hundredth of it here."""
    kubelets = Kubelets(seconds=0.1)
    forwarding = PortForwards(kubelets.open, Budget(100, 4))
    lost = [forwarding.pod(TargetKey("shop", f"lost-{number}")) for number in range(12)]
    well = [forwarding.pod(TargetKey("shop", f"well-{number}")) for number in range(2)]
    seen: Counter[ForwardedPod] = Counter()

    async def poll(pod: ForwardedPod, *, urgent: bool) -> None:
        while True:
            async with pod.entered((15000,), (15001, 15006), urgent=urgent) as dialer:
                with contextlib.suppress(NoAccess):
                    if dialer:
                        await dialer.connect(15000, Heard)
                        seen[pod] += 1
            await asyncio.sleep(0.05)

    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(2), asyncio.TaskGroup() as group:
            for pod in (*lost, *well):
                group.create_task(poll(pod, urgent=pod in lost))
    assert seen.keys() == set(well)
    assert min(seen.values()) >= 4
    assert max(kubelets.asked[f"lost-{number}"] for number in range(12)) <= 4 * 3


async def test_a_pod_that_was_not_opened_for_long_is_asked_again_later_and_later(
    server: Server,
) -> None:
    now, held = 0.0, 10.0
    forwarding = PortForwards(server.open, Budget(100, 4, lambda: now), lambda: now)
    pod, asked = forwarding.pod(KEY), []
    server.refusal = KubernetesError.of(504, "no port-forward: timed out")
    for moment in range(0, 2000, 10):
        now, before = float(moment), server.asked
        async with inside(pod, (15000,)) as dialer:
            now += held if server.asked > before else 0.0
            with pytest.raises(NoAccess, match=r"^No port-forward: timed out\.$"):
                await dialer.connect(15000, Heard)
        if server.asked > before:
            asked.append(moment)
    assert asked == [0, 30, 80, 170, 340, 670, 1280, 1890]
    server.refusal = None
    now = 3000.0
    async with inside(pod, (15000,)) as dialer:
        await dialer.connect(15000, Heard)
