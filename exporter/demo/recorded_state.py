"""A recorded state as plain data: what every port of one pod answered, byte for byte."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

_PROXIES = ("envoy", "pilot-agent", "ztunnel", "pilot-discovery", "install-cni")


class End(StrEnum):
    """How the far side left the connection: closed, reset, or still open."""

    FIN = "fin"
    RESET = "reset"
    OPEN = "open"


@dataclass(frozen=True, slots=True)
class RecordedAnswer:
    """What came back: bytes, how the connection ended, and seconds until then."""

    data: bytes = b""
    end: End = End.FIN
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Hello:
    """How a TLS hello ended: `handshake` is ok, reset, timeout or an error, as recorded.

    `then` is what followed without a client certificate; `certificate` is PEM. `seconds`: how long
    it took where that was long.
    """

    handshake: str
    then: str = ""
    alpn: str = ""
    certificate: bytes = b""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Exchange:
    """One recorded HTTP request with its answer. `header` is "" or one "Name: value"."""

    port: int
    path: str
    answer: RecordedAnswer
    header: str = ""
    tls: bool = False
    method: str = "GET"


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedView:
    """What one view saw. `connects` is ok, refused, rejected (by ICMP) or timeout by port.

    `silence` is what saying nothing brought, `roots` a bare GET (its first line is `data`),
    `hellos` TLS by (port, whether with Istio's ALPN), `bare` bytes that are no protocol.
    """

    connects: Mapping[int, str] = field(default_factory=dict)
    silence: Mapping[int, RecordedAnswer] = field(default_factory=dict)
    roots: Mapping[int, RecordedAnswer] = field(default_factory=dict)
    hellos: Mapping[tuple[int, bool], Hello] = field(default_factory=dict)
    bare: Mapping[int, RecordedAnswer] = field(default_factory=dict)
    exchanges: tuple[Exchange, ...] = ()
    is_unreachable: bool = False


@dataclass(frozen=True, slots=True)
class Socket:
    """One listening socket: address (`*` is both families), port, and its process."""

    address: str
    port: int
    process: str

    @property
    def is_loopback(self) -> bool:
        """Whether only the pod itself can reach it."""
        return self.address.startswith("127.") or self.address == "::1"


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedState:
    """One recorded state of one pod. `index` is its row of the index: what is true of it.

    `earlier` holds pages from some seconds before, to be polled first. `date` is when it was
    recorded, seconds since the epoch; 0 where no answer has it. `pod` is the pod document.
    `is_node_local`: recorded by a process of the pod's own node, so that there is no pod view.
    """

    name: str
    role: str
    index: Mapping[str, Any]
    network: RecordedView
    network6: RecordedView | None
    loopback: RecordedView
    sockets: tuple[Socket, ...] = ()
    has_istiod_connection: bool = False
    earlier: tuple[Exchange, ...] = ()
    pod: bytes = b""
    date: float = 0.0
    is_node_local: bool = False

    @property
    def is_ipv6(self) -> bool:
        """Whether the proxy's own sockets were IPv6 alone, so that the pod had no IPv4 address.

        The application's sockets do not count: redirection reaches it in the proxy's family.
        """
        rows = [row for row in self.sockets if row.address != "*"]
        own = [row for row in rows if row.process in _PROXIES] or rows
        return self.network6 is None and {":" in row.address for row in own} == {True}

    @property
    def is_healthy(self) -> bool:
        """Whether nothing is wrong with it."""
        return bool(self.index["cause"] == "none")
