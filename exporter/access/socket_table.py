"""The kernel's socket tables of a network namespace, and whose sockets they are.

`read_sockets` runs in a thread that is inside the namespace and reads /proc/thread-self/net;
owners are found by matching socket inodes with the descriptors of the processes that live in
the same namespace. Processes come and go while this reads: what vanishes is left out.
"""

from collections.abc import Iterable, Iterator
from itertools import islice, repeat
from pathlib import Path

from exporter.access.local_ports import (
    DEFAULT_RANGE,
    local_port_range,
    local_port_uses,
    outgoing_connections,
)
from exporter.access.socket_rows import ESTABLISHED, LISTEN, UNCONNECTED, Row, read_rows
from exporter.bounds import DESCRIPTORS, SOCKETS, TENANT_TEXT, cut_text
from exporter.catalogue import PORT_NUMBERS
from exporter.model import Component, ListeningSocket, SocketTable

MOST_ROWS = 32
"""The most listening sockets that are reported of one pod; catalogue ports come first."""

_ISTIOD_PORTS = frozenset((15010, 15012))


def table_of(
    tcp: Iterable[Row],
    udp: Iterable[Row],
    owners: dict[int, str],
    local_ports: range = DEFAULT_RANGE,
) -> SocketTable:
    """The table that rows and the processes by socket inode make.

    Workers share a port by SO_REUSEPORT, so a listener is one (port, address, process).
    """
    listening = set()
    connections = set()
    tcp = list(tcp)
    for row in tcp:
        owner = owners.get(row.inode, "")
        if row.state == LISTEN:
            listening.add(_listener(row, owner, "tcp"))
        elif (
            row.state == ESTABLISHED
            and row.remote[1] in _ISTIOD_PORTS
            and owner == Component.PILOT_AGENT
        ):
            connections.add(row.remote)
    for row in udp:
        if row.state == UNCONNECTED and row.local[1] in PORT_NUMBERS:
            listening.add(_listener(row, owners.get(row.inode, ""), "udp"))
    ordered = sorted(listening, key=_rank)
    return SocketTable(
        listening=tuple(ordered[:MOST_ROWS]),
        agent_connections=tuple(sorted(connections)[:MOST_ROWS]),
        outgoing=outgoing_connections(tcp, owners),
        local_ports=local_port_uses(tcp, local_ports),
    )


def _listener(row: Row, owner: str, protocol: str) -> ListeningSocket:
    address, port = row.local
    return ListeningSocket(port=port, address=address, process=owner, protocol=protocol)


def _rank(row: ListeningSocket) -> tuple[bool, int, str, str, str]:
    return row.port not in PORT_NUMBERS, row.port, row.address, row.process, row.protocol


def read_sockets(processes: Iterable[Path] | None = None) -> SocketTable:
    """The table of the namespace that this thread is in.

    `processes` are the folders in /proc of those that may own its sockets; None for all.
    """
    tcp = [row for name in ("tcp", "tcp6") for row in read_rows(_read(name))]
    udp = [row for name in ("udp", "udp6") for row in read_rows(_read(name))]
    wanted = {row.inode for row in (*tcp, *udp) if row.inode}
    everybody = processes if processes is not None else _processes()
    return table_of(tcp, udp, _owners(wanted, everybody), local_port_range())


def _read(name: str) -> str:
    """The first lines of a table: the kernel writes the sockets that listen before all others."""
    try:
        with Path(f"/proc/thread-self/net/{name}").open(encoding="ascii", errors="replace") as file:
            return "".join(islice(file, SOCKETS))
    except FileNotFoundError:  # no IPv6 on this machine
        return ""


def _processes() -> Iterator[Path]:
    return (process for process in Path("/proc").iterdir() if process.name.isdigit())


def _owners(wanted: set[int], processes: Iterable[Path]) -> dict[int, str]:
    """The process name by socket inode, for the inodes of this thread's namespace."""
    home = Path("/proc/thread-self/ns/net").stat().st_ino
    owners: dict[int, str] = {}
    left = repeat(None, DESCRIPTORS)
    for process in processes:
        try:
            if (process / "ns/net").stat().st_ino == home:
                owners.update(_sockets_of(process, wanted, left))
        except OSError:  # the process has ended, or is not ours to look at
            continue
    return owners


def _sockets_of(process: Path, wanted: set[int], left: Iterator[None]) -> Iterator[tuple[int, str]]:
    """The inodes that a process holds, and its name; as many descriptors are read as are `left`."""
    text = (process / "comm").read_text(encoding="utf-8", errors="replace").strip()
    name = cut_text(text, TENANT_TEXT)
    for _, descriptor in zip(left, (process / "fd").iterdir(), strict=False):
        try:
            link = str(descriptor.readlink())
        except OSError:  # closed while we read
            continue
        if link.startswith("socket:["):
            inode = int(link[8:-1])
            if inode in wanted:
                yield inode, name
