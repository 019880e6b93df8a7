import asyncio
import gc
import socket
import subprocess
import sys
import threading
import uuid
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvloop

from exporter.access import netns as netns_module
from exporter.access.dialer import Dialer, NoAccess
from exporter.access.netns import Netns, path_of
from exporter.access.pod_processes import PodNamespace
from exporter.model import View

SERVER = """
import socket, sys
both = [socket.create_server(("127.0.0.1", 15021)), socket.create_server(("::1", 15021), family=10)]
four = socket.create_server(("127.0.0.1", 15000))
six = socket.create_server(("::1", 15090), family=10)
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.bind(("127.0.0.1", 15053))
print("up", flush=True)
while True:
    data, peer = udp.recvfrom(512)
    udp.sendto(data, peer)
"""


class Silent(asyncio.Protocol):
    def connection_made(self, transport: Any) -> None:
        self.transport = transport


class Datagrams(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.received = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, _addr: Any) -> None:
        self.received.set_result(data)


@pytest.fixture(scope="module")
def namespace() -> Iterator[tuple[str, int]]:
    """A network namespace with listeners of one process: its name and the process id."""
    name = f"exporter-{uuid.uuid4().hex[:8]}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    subprocess.run(["ip", "-n", name, "link", "set", "lo", "up"], check=True)
    command = ["ip", "netns", "exec", name, sys.executable, "-c", SERVER]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield name, process.pid
        process.terminate()
    subprocess.run(["ip", "netns", "delete", name], check=True)


KINDS = {
    "name": lambda name, _pid: name,
    "path": lambda name, _pid: f"/run/netns/{name}",
    "process": lambda _name, pid: str(pid),
}


@pytest.mark.real
@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("address", ["10.0.0.1", "2001:db8::1"])
@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_connects_inside_the_namespace_and_stays_outside(
    namespace: tuple[str, int], kind: Any, address: str, run: Any
) -> None:
    async def connect() -> str:
        protocol = await Netns(kind(*namespace), address).connect(15021, Silent)
        peer = protocol.transport._socket.getpeername()[0]
        protocol.transport.abort()
        await asyncio.sleep(0)
        return peer

    before = Path("/proc/thread-self/ns/net").readlink()
    assert run(connect()) == ("::1" if ":" in address else "127.0.0.1")
    assert Path("/proc/thread-self/ns/net").readlink() == before


@pytest.mark.real
async def test_sends_datagrams_inside_the_namespace(namespace: tuple[str, int]) -> None:
    protocol = await Netns(namespace[0], "10.0.0.1").datagram(15053, Datagrams)
    protocol.transport.sendto(b"?")
    assert await asyncio.wait_for(protocol.received, 2) == b"?"
    protocol.transport.abort()
    await asyncio.sleep(0)


@pytest.mark.real
async def test_a_port_that_only_we_serve_is_refused_inside(
    namespace: tuple[str, int], unused_tcp_port: int
) -> None:
    server = await asyncio.get_running_loop().create_server(Silent, "127.0.0.1", unused_tcp_port)
    with pytest.raises(ConnectionRefusedError):
        await Netns(namespace[0], "10.0.0.1").connect(unused_tcp_port, Silent)
    server.close()


@pytest.mark.real
async def test_reads_the_namespaces_own_socket_table(namespace: tuple[str, int]) -> None:
    table = await Netns(namespace[0], "10.0.0.1").sockets()
    name = Path(sys.executable).name[:15]
    rows = {(row.port, row.address, row.protocol) for row in table.listening}
    assert rows == {
        (15000, "127.0.0.1", "tcp"),
        (15021, "127.0.0.1", "tcp"),
        (15021, "::1", "tcp"),
        (15053, "127.0.0.1", "udp"),
        (15090, "::1", "tcp"),
    }
    assert {row.process for row in table.listening} == {name}
    assert all(row.is_loopback for row in table.listening)
    assert table.agent_connections == ()


@pytest.mark.real
async def test_a_socket_of_a_process_that_lives_elsewhere_has_no_owner(
    namespace: tuple[str, int],
) -> None:
    """As a ztunnel that all pods of a node share has one in each of them."""
    dialer = Netns(namespace[0], "127.0.0.1")
    with await dialer._socket("127.0.0.1", socket.SOCK_STREAM) as ours:
        ours.bind(("127.0.0.1", 15008))
        ours.listen()
        table = await dialer.sockets()
    assert [row.process for row in table.listening if row.port == 15008] == [""]


MISSING = {
    "name": "no-such-namespace",
    "process": "999999999",
    "not a namespace": "/etc/passwd",
}


@pytest.mark.parametrize("netns", MISSING.values(), ids=MISSING)
async def test_a_namespace_that_cannot_be_entered_is_no_access(netns: str) -> None:
    dialer = Netns(netns, "10.0.0.1")
    for attempt in (dialer.connect(1, Silent), dialer.datagram(1, Datagrams), dialer.sockets()):
        with pytest.raises(NoAccess, match=r"cannot be entered: .*\.$"):
            await attempt


def test_names_paths_and_processes_become_paths() -> None:
    assert path_of("cart") == "/run/netns/cart"
    assert path_of("/var/run/netns/x") == "/var/run/netns/x"
    assert path_of("4711") == "/proc/4711/ns/net"


def test_is_a_dialer_of_the_pods_own_view() -> None:
    dialer = Netns("x", "fd00::1")
    assert isinstance(dialer, Dialer)
    assert (dialer.view, dialer.address) == (View.POD, "::1")


@pytest.mark.real
@pytest.mark.parametrize("port", [15000, 15090])
async def test_on_a_mixed_pod_either_loopback_will_do(
    namespace: tuple[str, int], port: int
) -> None:
    protocol = await Netns(namespace[0], "fd00::7", "10.0.0.7").connect(port, Silent)
    protocol.transport.abort()


@pytest.mark.real
async def test_on_a_mixed_pod_refused_means_by_both(namespace: tuple[str, int]) -> None:
    with pytest.raises(ConnectionRefusedError):
        await Netns(namespace[0], "10.0.0.7", "fd00::7").connect(15020, Silent)


@pytest.mark.real
async def test_a_socket_that_nobody_waits_for_any_more_is_closed() -> None:
    entered, go_on = threading.Event(), threading.Event()

    def locate() -> PodNamespace:
        entered.set()
        go_on.wait()
        return PodNamespace("/proc/self/ns/net")

    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        connecting = asyncio.create_task(Netns(locate, "10.0.0.1").connect(15000, Silent))
        await asyncio.to_thread(entered.wait)
        connecting.cancel()
        await asyncio.wait({connecting})
        go_on.set()
        netns_module._worker.submit(gc.collect).result()
    assert [str(each.message) for each in warned] == []
