"""What a connection is given: the protocol on top of it, and how its socket behaves."""

import asyncio
import errno
import os
import socket
import struct
import sys
from collections.abc import Callable
from typing import Protocol, TypeVar

from exporter.transport import icmp

StreamT = TypeVar("StreamT", bound=asyncio.Protocol)


class BareConnects(Protocol):
    """Half-open connects without a protocol on top of them."""

    def begin(
        self, family: int, remote: tuple[str, int], handler: Callable[[int], None]
    ) -> socket.SocketType:
        """Begin one; OSError where the system does not even try. The handler gets its end."""

    def end(self, own: socket.SocketType, events: int) -> OSError | None:
        """What the handler got: None where the port accepts, else what a connect raises."""

    def abort(self, own: socket.SocketType) -> None:
        """Nobody waits for it any more."""


NO_PROTOCOL = asyncio.Protocol()
"""Receives what nobody waits for any more."""

ENDS_PROCESS = (KeyboardInterrupt, SystemExit)
"""Raised by a protocol, these alone go on from there."""

LINGER_ZERO = struct.pack("ii", 1, 0)
"""SO_LINGER's value for "close with a reset"."""

_IS_LINUX = hasattr(socket, "TCP_QUICKACK")

HAS_HALF_OPEN_CONNECTS = _IS_LINUX
"""Whether the system lets a process withhold the last packet of a handshake."""

_STARTED = frozenset((0, errno.EINPROGRESS))
_INFO_SIZE = 56
"""Bytes of struct tcp_info up to tcpi_last_data_recv, milliseconds (Linux uapi/linux/tcp.h)."""


class HalfOpenConnect(asyncio.Protocol):
    """A protocol that is only interested in whether a port accepts, and aborts as soon as it does.

    The last packet of the handshake is withheld: a reset follows instead, once the SYN-ACK has
    arrived, and the process that listens does not notice.
    """

    __slots__ = ()


def start_connect(
    own: socket.SocketType, remote: tuple[str, int], protocol: asyncio.Protocol
) -> None:
    """Begin to connect a non-blocking socket; OSError where the system does not even try."""
    if isinstance(protocol, HalfOpenConnect) and _IS_LINUX:
        own.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 0)
    icmp.collect(own, 1)
    start_prepared(own, remote)


def keep_half_open(own: socket.SocketType) -> None:
    """Withhold that packet in every connect of a socket: unlike TCP_QUICKACK, this stays set."""
    if _IS_LINUX:
        own.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 1)


def start_prepared(own: socket.SocketType, remote: tuple[str, int]) -> None:
    """Begin to connect a socket as it is; OSError where the system does not even try."""
    number = own.connect_ex(remote)
    if number not in _STARTED:
        raise OSError(number, os.strerror(number))


def unread_seconds(own: socket.SocketType) -> float:
    """How long ago the last bytes arrived: for so long this process did not read them (tcp(7))."""
    if not _IS_LINUX:
        return 0.0
    info = own.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO_SIZE)
    return int.from_bytes(info[-4:], sys.byteorder) / 1000


def report_lost(protocol: asyncio.Protocol, error: BaseException | None) -> None:
    """Call `connection_lost`; what it raises is logged by the event loop, and disturbs nobody."""
    try:
        protocol.connection_lost(error)  # type: ignore[arg-type] # whatever the protocol raised
    except ENDS_PROCESS:
        raise
    except BaseException as fault:  # noqa: BLE001 - as asyncio does
        context = {"message": "connection_lost failed", "exception": fault, "protocol": protocol}
        asyncio.get_running_loop().call_exception_handler(context)
