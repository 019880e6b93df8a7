"""Who ended a connect, over real networks: this host, a router with filters, a pod behind it."""

import asyncio
import errno
import random
import socket
import time
from collections.abc import AsyncIterator, Iterator
from ipaddress import ip_network
from typing import Any

import pytest

from exporter.access.direct import Direct
from exporter.access.netns import Netns
from exporter.model import Cadence, Outcome, Probe, ProbeKind, Role, Target, TargetKey, View
from exporter.probes.attempt import Attempt, ProbeOptions
from exporter.probes.probers import PROBERS
from exporter.probes.runner import probe_all
from exporter.transport.connection import connect_socket
from exporter.transport.icmp import Rejected
from exporter.transport.protocols import HalfOpenConnect
from tests.real.network import Network, run

pytestmark = [pytest.mark.real, pytest.mark.asyncio(loop_scope="module")]

OPEN = 8080
UNREACHABLE = (errno.EHOSTUNREACH, errno.ENETUNREACH)


class Quiet(asyncio.Protocol):
    def __init__(self) -> None:
        self.lost: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set_result(exc)


class Knocking(Quiet, HalfOpenConnect):
    """Drops a connection as soon as there is one."""


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
EACH = [(family, port, *row) for family, rows in ANSWERS.items() for port, row in rows.items()]


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


async def ended(way: Way, family: int, port: int, kind: type[Quiet] = Quiet) -> OSError | None:
    """How a connect from this host to the pod ended."""
    try:
        line = await Direct(way.address[family]).connect(port, kind)
    except OSError as error:
        return error
    line.transport.abort()
    return None


async def carried(name: str, family: int, address: str, port: int) -> OSError | None:
    """The same from inside a namespace."""
    made = await Netns(name, address)._socket(address, socket.SOCK_STREAM)
    assert made.family == (socket.AF_INET if family == 4 else socket.AF_INET6)
    try:
        line = await connect_socket(made, (address, port), Quiet)
    except OSError as error:
        return error
    line.transport.abort()
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


@pytest.mark.parametrize("kind", [Quiet, Knocking])
@pytest.mark.parametrize(("family", "port", "answer", "expected"), EACH)
async def test_a_filter_on_the_way_is_told_from_a_pod_that_refuses(
    way: Way, family: int, port: int, answer: str, expected: str, kind: type[Quiet]
) -> None:
    del answer
    error = await ended(way, family, port, kind)
    assert is_as(error, expected, way.sender(family)), error


@pytest.mark.parametrize("family", [4, 6])
async def test_a_filter_answers_before_the_connect_would_be_sent_again(
    way: Way, family: int
) -> None:
    await ended(way, family, OPEN)  # the neighbours know each other
    began = time.monotonic()
    assert await ended(way, family, 9001) is not None
    assert time.monotonic() - began < 0.5


@pytest.mark.parametrize("family", [4, 6])
async def test_a_filter_inside_the_pod_rejects_in_the_pods_name(way: Way, family: int) -> None:
    error = await ended(way, family, PODS_FILTER)
    assert is_as(error, "port unreachable", way.address[family]), error


@pytest.mark.parametrize("family", [4, 6])
async def test_a_filter_of_our_own_kernel_is_no_rejection(way: Way, family: int) -> None:
    error = await carried(way.router.name, family, way.address[family], OWN_FILTER)
    assert is_as(error, "unreachable", ""), error


@pytest.mark.parametrize(
    ("family", "address"), [(4, "127.0.0.1"), (4, "127.0.0.5"), (6, "::1"), (4, ""), (6, "")]
)
async def test_a_filter_between_a_pod_and_itself_is_no_rejection(
    way: Way, family: int, address: str
) -> None:
    error = await carried(way.pod.name, family, address or way.address[family], PODS_FILTER)
    assert is_as(error, "unreachable", ""), error


@pytest.mark.parametrize("family", [4, 6])
async def test_a_route_that_is_not_there_is_no_rejection(way: Way, family: int) -> None:
    nowhere = "10.255.255.1" if family == 4 else "fd00:ffff::1"
    error = await carried(way.router.name, family, nowhere, 9001)
    assert is_as(error, "unreachable", ""), error


@pytest.mark.parametrize("family", [4, 6])
async def test_whatever_went_before_each_connect_ends_as_it_must(way: Way, family: int) -> None:
    """Sockets are used again: nothing that one connect was told may end another."""
    expected = {port: row[1] for port, row in ANSWERS[family].items()}
    expected |= {OPEN: "reached", 7: "refused"}
    chosen = random.Random(family)
    ports = [OPEN, *expected]
    for _ in range(40):
        batch = [chosen.choice(ports) for _ in range(chosen.randint(1, 12))]
        kinds = [chosen.choice((Quiet, Knocking)) for _ in batch]
        ends = await asyncio.gather(
            *(ended(way, family, port, kind) for port, kind in zip(batch, kinds, strict=True))
        )
        for port, error in zip(batch, ends, strict=True):
            assert is_as(error, expected[port], way.sender(family)), (port, error)


@pytest.mark.parametrize("family", [4, 6])
async def test_what_icmp_says_later_does_not_end_a_connection(way: Way, family: int) -> None:
    tool = "iptables" if family == 4 else "ip6tables"
    rule = f"FORWARD -p tcp -d {way.address[family]} --dport {OPEN} -j REJECT".split()
    line = await Direct(way.address[family]).connect(OPEN, Quiet)
    run("ip", "netns", "exec", way.router.name, tool, "-I", *rule)
    try:
        line.transport.write(b"rejected on its way")
        done, _ = await asyncio.wait((line.lost,), timeout=0.5)
        assert not done
        with pytest.raises(BlockingIOError):
            line.transport._socket.recvmsg(0, 512, socket.MSG_ERRQUEUE)
        number = line.transport.fd
        line.transport.abort()
    finally:
        run("ip", "netns", "exec", way.router.name, tool, "-D", *rule)
    line = await Direct(way.address[family]).connect(OPEN, Quiet)
    assert line.transport.fd == number
    line.transport.abort()


PROBES = sorted(set(PROBERS) - {"dns", "sockets"})


@pytest.mark.parametrize("name", PROBES)
async def test_every_probe_of_the_network_tells_a_rejection(way: Way, name: str) -> None:
    probe = Probe(9001, ProbeKind(name), View.NETWORK, way.address[4], path="/healthz/ready")
    target = Target(key=TargetKey("shop", "app"), role=Role.SIDECAR, addresses=(way.address[4],))
    dialer = Direct(way.address[4])
    visit = Attempt(dialer, probe, frozenset(Cadence), 1.0, target, ProbeOptions())
    (seen,) = await probe_all([(PROBERS[name], visit)])
    assert (seen.outcome, seen.connected) == (Outcome.REJECTED, False)
    assert way.sender(4) in seen.detail
