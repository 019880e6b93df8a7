"""Who ended a connect, over real networks: this host, a router with filters, a pod behind it."""

import asyncio
import errno
import random
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from ipaddress import ip_network
from types import ModuleType
from typing import Any

import pytest

from exporter.access.direct import Direct
from exporter.access.netns import Netns
from exporter.model import Cadence, Outcome, Probe, ProbeKind, Role, Target, TargetKey, View
from exporter.probes.attempt import Attempt, ProbeOptions
from exporter.probes.probers import PROBERS
from exporter.probes.runner import probe_all
from exporter.transport.icmp import Rejected
from exporter.transport.protocols import HalfOpenConnect
from tests.real.network import Network, run
from tests.transport.conftest import Recorder

pytestmark = [pytest.mark.real, pytest.mark.asyncio(loop_scope="module")]

OPEN = 8080
INET = {4: socket.AF_INET, 6: socket.AF_INET6}
UNREACHABLE = (errno.EHOSTUNREACH, errno.ENETUNREACH)


class HalfOpen(Recorder, HalfOpenConnect):
    """Aborts a connection as soon as there is one."""


ANSWERS = {
    4: {
        9001: ("icmp-port-unreachable", "port unreachable"),
        9002: ("icmp-admin-prohibited", "communication administratively prohibited"),
        9003: ("icmp-net-prohibited", "network administratively prohibited"),
        9004: ("icmp-host-prohibited", "host administratively prohibited"),
        9005: ("icmp-host-unreachable", "unreachable"),
        9006: ("icmp-net-unreachable", "unreachable"),
        9007: ("icmp-proto-unreachable", "unreachable"),
        9008: ("tcp-reset", "refused"),
    },
    6: {
        9001: ("icmp6-port-unreachable", "port unreachable"),
        9002: ("icmp6-adm-prohibited", "administratively prohibited"),
        9005: ("icmp6-addr-unreachable", "unreachable"),
        9006: ("icmp6-no-route", "unreachable"),
        9007: ("icmp6-policy-fail", "unreachable"),
        9008: ("tcp-reset", "refused"),
    },
}
"""What a filter on the way answers at a port, by family, and what a connect there must end as."""

OWN_FILTER, PODS_FILTER = 9101, 9102
EACH = [
    (family, port, expected)
    for family, rows in ANSWERS.items()
    for port, (_, expected) in rows.items()
]


class Way:
    """This host, a router and a pod, each with a kernel's network of its own."""

    def __init__(self) -> None:
        self.router = Network(families=(4, 6))
        self.pod = Network(families=(4, 6))
        number = self.pod.number
        self.address = {4: f"10.214.{number}.2", 6: f"fd00:214:{number:x}::2"}
        self._between = {4: f"10.214.{number}.1", 6: f"fd00:214:{number:x}::1"}
        self._join()
        self._filter()

    def sender(self, family: int) -> str:
        return self.router.addresses[family]

    def close(self) -> None:
        for family, address in self.address.items():
            run("ip", f"-{family}", "route", "del", self._net(address))
        self.pod.close()
        self.router.close()

    @staticmethod
    def _net(address: str) -> str:
        size = 64 if ":" in address else 30
        return str(ip_network(f"{address}/{size}", strict=False))

    def _join(self) -> None:
        router, pod = self.router.name, self.pod.name
        link = ("link", "add", "way", "netns", router, "type", "veth", "peer", "way", "netns", pod)
        run("ip", *link)
        for name, ends in ((router, self._between), (pod, self.address)):
            run("ip", "-n", name, "link", "set", "way", "up")
            for family, address in ends.items():
                size, more = ("30", ()) if family == 4 else ("64", ("nodad",))
                run("ip", "-n", name, "addr", "add", f"{address}/{size}", "dev", "way", *more)
        for family, address in self.address.items():
            via = self.router.addresses[family]
            run("ip", f"-{family}", "route", "add", self._net(address), "via", via)
            back = self._net(self.router.addresses[family])
            run("ip", "-n", pod, f"-{family}", "route", "add", back, "via", self._between[family])
        set_ = ("net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
        for name in (router, pod):
            free = ("net.ipv4.icmp_ratemask=0", "net.ipv6.icmp.ratelimit=0")
            run("ip", "netns", "exec", name, "sysctl", "-qw", *set_, *free)

    def _filter(self) -> None:
        for family, rows in ANSWERS.items():
            for port, (answer, _) in rows.items():
                self._reject(self.router, family, "FORWARD", port, answer)
            own = "icmp-port-unreachable" if family == 4 else "icmp6-port-unreachable"
            self._reject(self.router, family, "OUTPUT", OWN_FILTER, own)
            self._reject(self.pod, family, "INPUT", PODS_FILTER, own)

    @staticmethod
    def _reject(where: Network, family: int, chain: str, port: int, answer: str) -> None:
        tool = "iptables" if family == 4 else "ip6tables"
        what = f"-A {chain} -p tcp --dport {port} -j REJECT --reject-with {answer}"
        run("ip", "netns", "exec", where.name, tool, *what.split())


@pytest.fixture(scope="module")
def way() -> Iterator[Way]:
    made = Way()
    yield made
    made.close()


@pytest.fixture(autouse=True)
async def listening(way: Way) -> AsyncIterator[None]:
    """The pod serves one port; its kernel refuses the others."""
    inside = Netns(way.pod.name, "10.0.0.1")
    sockets = []
    for every in ("0.0.0.0", "::"):
        made = await inside._socket(every, socket.SOCK_STREAM)
        if every == "::":
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind((every, OPEN))
        made.listen(512)
        sockets.append(made)
    yield
    for made in sockets:
        made.close()


async def ended(
    backend: ModuleType, way: Way, family: int, port: int, kind: type[Recorder] = Recorder
) -> OSError | None:
    """How a connect from this host to the pod ended."""
    return await end_of(backend.connect, INET[family], (way.address[family], port), kind)


async def ended_inside(backend: ModuleType, name: str, address: str, port: int) -> OSError | None:
    """The same from inside a namespace."""
    own = await Netns(name, address)._socket(address, socket.SOCK_STREAM)
    return await end_of(backend.connect_socket, own, (address, port), Recorder)


async def end_of(connect: Callable[..., Awaitable[Any]], *arguments: object) -> OSError | None:
    try:
        protocol = await connect(*arguments)
    except OSError as error:
        return error
    protocol.transport.abort()
    return None


def is_as(error: OSError | None, expected: str, sender: str) -> bool:
    """Whether a connect ended as it must."""
    if expected == "refused":
        return type(error) is ConnectionRefusedError
    if expected == "unreachable":
        return type(error) is OSError and error.errno in UNREACHABLE
    if expected == "reached":
        return error is None
    said = f"rejected by {sender}: ICMP {expected}"
    return type(error) is Rejected and error.strerror == said


@pytest.mark.parametrize("kind", [Recorder, HalfOpen])
@pytest.mark.parametrize(("family", "port", "expected"), EACH)
async def test_a_filter_on_the_way_is_distinguished_from_a_pod_that_refuses(
    backend: ModuleType,
    way: Way,
    family: int,
    port: int,
    expected: str,
    kind: type[Recorder],
) -> None:
    error = await ended(backend, way, family, port, kind)
    assert is_as(error, expected, way.sender(family)), error


@pytest.mark.parametrize("family", [4, 6])
async def test_a_filter_answers_before_the_connect_would_be_sent_again(
    backend: ModuleType, way: Way, family: int
) -> None:
    await ended(backend, way, family, OPEN)  # the neighbours are resolved
    began = time.monotonic()
    assert await ended(backend, way, family, 9001) is not None
    assert time.monotonic() - began < 0.5


@pytest.mark.parametrize("family", [4, 6])
async def test_a_filter_inside_the_pod_rejects_in_the_pods_name(
    backend: ModuleType, way: Way, family: int
) -> None:
    error = await ended(backend, way, family, PODS_FILTER)
    assert is_as(error, "port unreachable", way.address[family]), error


@pytest.mark.parametrize("family", [4, 6])
async def test_a_filter_of_our_own_kernel_is_no_rejection(
    backend: ModuleType, way: Way, family: int
) -> None:
    error = await ended_inside(backend, way.router.name, way.address[family], OWN_FILTER)
    assert is_as(error, "unreachable", ""), error


@pytest.mark.parametrize(
    ("family", "address"), [(4, "127.0.0.1"), (4, "127.0.0.5"), (6, "::1"), (4, ""), (6, "")]
)
async def test_a_filter_between_a_pod_and_itself_is_no_rejection(
    backend: ModuleType, way: Way, family: int, address: str
) -> None:
    error = await ended_inside(backend, way.pod.name, address or way.address[family], PODS_FILTER)
    assert is_as(error, "unreachable", ""), error


@pytest.mark.parametrize("family", [4, 6])
async def test_a_route_that_is_not_there_is_no_rejection(
    backend: ModuleType, way: Way, family: int
) -> None:
    nowhere = "10.255.255.1" if family == 4 else "fd00:ffff::1"
    error = await ended_inside(backend, way.router.name, nowhere, 9001)
    assert is_as(error, "unreachable", ""), error


@pytest.mark.parametrize("family", [4, 6])
async def test_whatever_went_before_each_connect_ends_as_it_must(
    backend: ModuleType, way: Way, family: int
) -> None:
    """Sockets are used again: no message of one connect may end another."""
    expected = {port: row[1] for port, row in ANSWERS[family].items()}
    expected |= {OPEN: "reached", 7: "refused"}
    chosen = random.Random(family)
    ports = [OPEN, *expected]
    for _ in range(40):
        batch = [chosen.choice(ports) for _ in range(chosen.randint(1, 12))]
        kinds = [chosen.choice((Recorder, HalfOpen)) for _ in batch]
        ends = await asyncio.gather(
            *(
                ended(backend, way, family, port, kind)
                for port, kind in zip(batch, kinds, strict=True)
            )
        )
        for port, error in zip(batch, ends, strict=True):
            assert is_as(error, expected[port], way.sender(family)), (port, error)


@pytest.mark.parametrize("family", [4, 6])
async def test_a_later_icmp_message_does_not_end_a_connection(
    backend: ModuleType, way: Way, family: int
) -> None:
    tool = "iptables" if family == 4 else "ip6tables"
    rule = f"FORWARD -p tcp -d {way.address[family]} --dport {OPEN} -j REJECT".split()
    remote = INET[family], (way.address[family], OPEN)
    protocol = await backend.connect(*remote, Recorder)
    run("ip", "netns", "exec", way.router.name, tool, "-I", *rule)
    try:
        protocol.transport.write(b"rejected on its way")
        done, _ = await asyncio.wait((protocol.lost,), timeout=0.5)
        assert not done
        with pytest.raises(BlockingIOError):
            protocol.transport._socket.recvmsg(0, 512, socket.MSG_ERRQUEUE)
        protocol.transport.abort()
    finally:
        run("ip", "netns", "exec", way.router.name, tool, "-D", *rule)
    protocol = await backend.connect(*remote, Recorder)
    protocol.transport.abort()


PROBES = sorted(set(PROBERS) - {"dns", "sockets"})


@pytest.mark.parametrize("name", PROBES)
async def test_every_probe_of_the_network_reports_a_rejection(way: Way, name: str) -> None:
    probe = Probe(9001, ProbeKind(name), View.NETWORK, way.address[4], path="/healthz/ready")
    target = Target(key=TargetKey("shop", "app"), role=Role.SIDECAR, addresses=(way.address[4],))
    dialer = Direct(way.address[4])
    attempt = Attempt(dialer, probe, frozenset(Cadence), 1.0, target, ProbeOptions())
    (seen,) = await probe_all([(PROBERS[name], attempt)])
    assert (seen.outcome, seen.connected) == (Outcome.REJECTED, False)
    assert way.sender(4) in seen.detail
