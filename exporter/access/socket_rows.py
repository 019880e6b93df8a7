"""The rows of the kernel's socket tables: /proc/net/tcp, tcp6, udp and udp6. Pure."""

import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv6Address

from exporter.parsing import LARGEST_PORT

ESTABLISHED, TIME_WAIT, UNCONNECTED, LISTEN = "01", "06", "07", "0A"
"""The states, as the tables write them."""

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
    number = int(port, 16)
    if not 0 <= number <= LARGEST_PORT:
        raise ValueError("no port")
    words = [int(address[at : at + 8], 16) for at in range(0, len(address), 8)]
    raw = struct.pack(f"={len(words)}I", *words)
    if len(address) == _IPV4_DIGITS:
        return socket.inet_ntop(socket.AF_INET, raw), number
    parsed = IPv6Address(raw)
    return str(parsed.ipv4_mapped or parsed), number
