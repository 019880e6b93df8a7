"""Local ports in use, and connections that hold Istio's ports, from rows and from real sockets."""

import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from exporter.access.local_ports import DEFAULT_RANGE, local_port_uses, outgoing_connections
from exporter.access.netns import Netns
from exporter.access.socket_rows import ESTABLISHED, LISTEN, TIME_WAIT, Row
from exporter.model import LocalPortUse, OutgoingConnection

POD, PEER = "10.0.0.7", "10.0.0.8"
SMALL = range(40_000, 40_010)
PROXY = Row(("0.0.0.0", 15001), ("0.0.0.0", 0), LISTEN, 1)


def connection(
    local: tuple[str, int], remote: tuple[str, int], state: str = ESTABLISHED, inode: int = 9
) -> Row:
    return Row(local, remote, state, inode)


def test_counts_the_ports_of_connections_that_the_proxy_accepted_from_its_own_pod() -> None:
    accepted = [connection(("127.0.0.1", 15001), (POD, port)) for port in SMALL]
    own = connection((POD, 50_000), (PEER, 443))
    assert local_port_uses([PROXY, *accepted, own], SMALL) == (
        LocalPortUse(client=POD, server="127.0.0.1", port=15001, used=10, size=10),
    )


def test_counts_a_connection_once_whose_two_ends_are_in_the_pod() -> None:
    app = Row(("0.0.0.0", 8080), ("0.0.0.0", 0), LISTEN, 2)
    ends = [
        row
        for port in SMALL
        for row in (
            connection(("127.0.0.6", port), (POD, 8080)),
            connection((POD, 8080), ("127.0.0.6", port)),
        )
    ]
    (use,) = local_port_uses([app, *ends], SMALL)
    assert (use.client, use.server, use.port, use.used) == ("127.0.0.6", POD, 8080, 10)


def test_a_port_in_time_wait_is_in_use() -> None:
    rows = [connection(("127.0.0.6", port), (POD, 8080), TIME_WAIT, 0) for port in SMALL]
    assert [use.used for use in local_port_uses(rows, SMALL)] == [10]


NOT_USED_UP = {
    "another host's ports": [PROXY, *(connection((POD, 15001), (PEER, port)) for port in SMALL)],
    "many places": [connection((POD, port), (PEER, port)) for port in SMALL],
    "few connections": [connection((POD, port), (PEER, 443)) for port in SMALL[:4]],
    "ports that the range does not give": [
        connection((POD, port), (PEER, 443)) for port in range(2000, 2100)
    ],
    "nothing": [],
}


@pytest.mark.parametrize("rows", NOT_USED_UP.values(), ids=NOT_USED_UP)
def test_reports_no_use_of(rows: list[Row]) -> None:
    assert local_port_uses(rows, SMALL) == ()


def test_the_kernels_own_range_has_28232_ports() -> None:
    assert len(DEFAULT_RANGE) == 28_232


OUTGOING = {
    "an application's": (connection((POD, 15090), (PEER, 5432)), {9: "java"}, "java"),
    "to a well-known port": (connection((POD, 15090), (PEER, 443)), {}, ""),
    "closing": (connection((POD, 15090), (PEER, 5432), "08"), {9: "java"}, "java"),
}


@pytest.mark.parametrize(("row", "owners", "process"), OUTGOING.values(), ids=OUTGOING)
def test_names_who_holds_a_port_of_istio_as_local_port(
    row: Row, owners: dict[int, str], process: str
) -> None:
    expected = (OutgoingConnection(port=15090, process=process),)
    assert outgoing_connections([row, PROXY], owners) == expected


STATS_PORT = Row(("0.0.0.0", 15090), ("0.0.0.0", 0), LISTEN, 3)
NOT_OUTGOING = {
    "somebody listens there": [STATS_PORT, connection((POD, 15090), (PEER, 443))],
    "it has ended": [connection((POD, 15090), (PEER, 443), TIME_WAIT, 0)],
    "nobody knows who made it": [connection((POD, 15090), (PEER, 45_000))],
    "it is no port of Istio's": [connection((POD, 40_000), (PEER, 443))],
}


@pytest.mark.parametrize("rows", NOT_OUTGOING.values(), ids=NOT_OUTGOING)
def test_a_connection_holds_no_port_of_istio_where(rows: list[Row]) -> None:
    assert outgoing_connections(rows, {}) == ()


SERVER = """
import socket
server = socket.create_server(("127.0.0.1", 8080))
place, source = ("127.0.0.1", 8080), ("127.0.0.6", 0)
kept = [socket.create_connection(place, source_address=source) for _ in range(30)]
kept += [server.accept()[0] for _ in range(30)]
held = socket.create_connection(place, source_address=("127.0.0.1", 15020))
print("up", flush=True)
input()
"""


@pytest.fixture
def namespace() -> Iterator[str]:
    """A namespace with 32 local ports, in which one process uses 30 towards one place."""
    name = f"exporter-{uuid.uuid4().hex[:8]}"
    inside = ["ip", "netns", "exec", name]
    subprocess.run(["ip", "netns", "add", name], check=True)
    subprocess.run(["ip", "-n", name, "link", "set", "lo", "up"], check=True)
    limit = "net.ipv4.ip_local_port_range=40000 40031"
    subprocess.run([*inside, "sysctl", "-q", "-w", limit], check=True)
    pipe = subprocess.PIPE
    command = [*inside, sys.executable, "-c", SERVER]
    with subprocess.Popen(command, stdin=pipe, stdout=pipe) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield name
        process.communicate(b"\n")
    subprocess.run(["ip", "netns", "delete", name], check=True)


@pytest.mark.real
async def test_reads_the_namespaces_own_range_and_connections(namespace: str) -> None:
    table = await Netns(namespace, POD).sockets()
    python = Path(sys.executable).name[:15]
    assert table.outgoing == (OutgoingConnection(port=15020, process=python),)
    assert table.local_ports == (
        LocalPortUse(client="127.0.0.6", server="127.0.0.1", port=8080, used=30, size=32),
    )
