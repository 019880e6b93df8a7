"""Which local ports a namespace's connections hold: used up towards one place, or Istio's own.

In: the rows of its TCP tables. A local port can be used once for each remote address and port, so
that connections to one place use the range up, while others still come about. Pure but for
`local_port_range`.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from exporter.access.socket_rows import ESTABLISHED, LISTEN, TIME_WAIT, Row
from exporter.catalogue import PORT_NUMBERS
from exporter.model import LocalPortUse, OutgoingConnection
from exporter.model.facts import is_loopback

DEFAULT_RANGE = range(32768, 61000)
"""net.ipv4.ip_local_port_range as the kernel sets it."""

MOST_ROWS = 4
"""The most rows of each kind that are kept of one pod."""

_WELLPORT_NUMBERS = 1024
_UNSPECIFIED = frozenset({"0.0.0.0", "::"})


def local_port_range() -> range:
    """The range of the namespace that this thread is in; the kernel's own where it is not shown."""
    try:
        text = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="ascii")
        first, last = map(int, text.split())
    except (OSError, ValueError):
        return DEFAULT_RANGE
    return range(first, last + 1)


def local_port_uses(rows: Sequence[Row], available: range) -> tuple[LocalPortUse, ...]:
    """Places towards which at least half of the local ports are in use, the busiest first.

    Sockets in TIME_WAIT hold their port, so they count. Where both ends of a connection are in the
    namespace, both rows name the same local port.
    """
    own = {row.local[0] for row in rows} - _UNSPECIFIED
    listening = {row.local[1] for row in rows if row.state == LISTEN}
    used: defaultdict[tuple[str, str, int], set[int]] = defaultdict(set)
    for row in rows:
        if row.state == LISTEN:
            continue
        accepted = row.local[1] in listening
        client, server = (row.remote, row.local) if accepted else (row.local, row.remote)
        if client[1] in available and (client[0] in own or is_loopback(client[0])):
            used[client[0], *server].add(client[1])
    found = [
        LocalPortUse(client=client, server=server, port=port, used=len(ports), size=len(available))
        for (client, server, port), ports in used.items()
        if 2 * len(ports) >= len(available)
    ]
    return tuple(sorted(found, key=lambda use: (-use.used, use.client, use.server, use.port)))[
        :MOST_ROWS
    ]


def outgoing_connections(
    rows: Sequence[Row], owners: Mapping[int, str]
) -> tuple[OutgoingConnection, ...]:
    """Connections whose local port is one of Istio's, while nobody listens there.

    One to a well-known port was not accepted here; of any other that is not known, so that it
    counts for what its process is.
    """
    listening = {row.local[1] for row in rows if row.state == LISTEN}
    found = set(_outgoing(rows, owners, listening))
    ordered = sorted(found, key=lambda one: (one.port, one.process))
    return tuple(ordered[:MOST_ROWS])


def _outgoing(
    rows: Iterable[Row], owners: Mapping[int, str], listening: set[int]
) -> Iterator[OutgoingConnection]:
    for row in rows:
        port, process = row.local[1], owners.get(row.inode, "")
        if row.state in _CLOSED or port in listening or port not in PORT_NUMBERS:
            continue
        if process or (row.state == ESTABLISHED and row.remote[1] < _WELLPORT_NUMBERS):
            yield OutgoingConnection(port=port, process=process)


_CLOSED = frozenset({LISTEN, TIME_WAIT})
"""States of rows that are no open connection; a port in TIME_WAIT can be listened on."""
