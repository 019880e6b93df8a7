"""The kernel's socket tables of a network namespace, and whose sockets they are.

`read_sockets` runs in a thread that is inside the namespace and reads /proc/thread-self/net;
owners are found by matching socket inodes with the descriptors of the processes that live in
the same namespace. Processes come and go while this reads: what vanishes is left out.
"""

import socket
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv6Address
from pathlib import Path

from exporter.catalogue import PORTS
from exporter.model import Component, ListeningSocket, SocketTable

MOST_ROWS = 32
"""The most listening sockets that are reported of one pod; catalogue ports come first."""

_LISTEN = "0A"
_ESTABLISHED = "01"
_UNCONNECTED = "07"
_ISTIOD_PORTS = frozenset((15010, 15012))
_KNOWN = frozenset(row.number for row in PORTS)
_IPV4_DIGITS = 8


@dataclass(frozen=True, slots=True)
class Row:
    """One line of /proc/net/tcp, tcp6, udp or udp6."""

    local: tuple[str, int]
    remote: tuple[str, int]
    state: str
    inode: int


def read_rows(table: str) -> Iterator[Row]:
    """The rows of a table's text; lines that are no rows are left out."""
    for line in table.splitlines():
        fields = line.split()
        try:
            yield Row(_endpoint(fields[1]), _endpoint(fields[2]), fields[3], int(fields[9]))
        except (IndexError, ValueError, struct.error):
            continue


def _endpoint(text: str) -> tuple[str, int]:
    """Read 32-bit words as the host stores them: 0100007F:3A98 is 127.0.0.1 port 15000."""
    address, _, port = text.partition(":")
    words = [int(address[at : at + 8], 16) for at in range(0, len(address), 8)]
    raw = struct.pack(f"={len(words)}I", *words)
    if len(address) == _IPV4_DIGITS:
        return socket.inet_ntop(socket.AF_INET, raw), int(port, 16)
    parsed = IPv6Address(raw)
    return str(parsed.ipv4_mapped or parsed), int(port, 16)


def table_of(tcp: Iterable[Row], udp: Iterable[Row], owners: dict[int, str]) -> SocketTable:
    """The table that rows and the processes by socket inode make.

    Workers share a port by SO_REUSEPORT, so a listener is one (port, address, process).
    """
    listening = set()
    connections = set()
    for row in tcp:
        owner = owners.get(row.inode, "")
        if row.state == _LISTEN:
            listening.add(_listener(row, owner, "tcp"))
        elif (
            row.state == _ESTABLISHED
            and row.remote[1] in _ISTIOD_PORTS
            and owner == Component.PILOT_AGENT
        ):
            connections.add(row.remote)
    for row in udp:
        if row.state == _UNCONNECTED and row.local[1] in _KNOWN:
            listening.add(_listener(row, owners.get(row.inode, ""), "udp"))
    ordered = sorted(listening, key=_rank)
    return SocketTable(
        listening=tuple(ordered[:MOST_ROWS]), agent_connections=tuple(sorted(connections))
    )


def _listener(row: Row, owner: str, protocol: str) -> ListeningSocket:
    address, port = row.local
    return ListeningSocket(port=port, address=address, process=owner, protocol=protocol)


def _rank(row: ListeningSocket) -> tuple[bool, int, str, str, str]:
    return row.port not in _KNOWN, row.port, row.address, row.process, row.protocol


def read_sockets(processes: Iterable[Path] | None = None) -> SocketTable:
    """The table of the namespace that this thread is in.

    `processes` are the folders in /proc of those that may own its sockets; None for all.
    """
    tcp = [row for name in ("tcp", "tcp6") for row in read_rows(_read(name))]
    udp = [row for name in ("udp", "udp6") for row in read_rows(_read(name))]
    wanted = {row.inode for row in (*tcp, *udp) if row.inode}
    everybody = processes if processes is not None else _processes()
    return table_of(tcp, udp, _owners(wanted, everybody))


def _read(name: str) -> str:
    try:
        return Path(f"/proc/thread-self/net/{name}").read_text(encoding="ascii")
    except FileNotFoundError:  # no IPv6 on this machine
        return ""


def _processes() -> Iterator[Path]:
    return (process for process in Path("/proc").iterdir() if process.name.isdigit())


def _owners(wanted: set[int], processes: Iterable[Path]) -> dict[int, str]:
    """The process name by socket inode, for the inodes of this thread's namespace."""
    home = Path("/proc/thread-self/ns/net").stat().st_ino
    owners: dict[int, str] = {}
    for process in processes:
        try:
            if (process / "ns/net").stat().st_ino == home:
                owners.update(_sockets_of(process, wanted))
        except OSError:  # the process has ended, or is not ours to look at
            continue
    return owners


def _sockets_of(process: Path, wanted: set[int]) -> Iterator[tuple[int, str]]:
    name = (process / "comm").read_text(encoding="utf-8", errors="replace").strip()
    for descriptor in (process / "fd").iterdir():
        try:
            link = str(descriptor.readlink())
        except OSError:  # closed while we read
            continue
        if link.startswith("socket:["):
            inode = int(link[8:-1])
            if inode in wanted:
                yield inode, name
