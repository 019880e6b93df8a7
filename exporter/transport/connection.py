"""TCP connections of our own, many to a wake-up: what the dialers on Linux stand on.

asyncio's transports cost a probe a dozen system calls beside its own. A `Connection` takes a
connect, what is sent and read, and a reset; the `EpollSockets` of its event loop has its socket and
its news. A `Connection` is what protocols take for their transport; an aborted one tells its
protocol nothing more.
"""

import asyncio
import errno
import os
import select
import socket
import sys
from collections.abc import Callable, Generator
from typing import Any, Generic, cast

from exporter.transport import icmp
from exporter.transport.epoll import AVAILABLE, EpollSockets, current_sockets
from exporter.transport.protocols import HalfOpenConnect, StreamT
from exporter.transport.waiter import Waiter

_CHUNK = 65536
_READS_IN_A_ROW = 16
"""A peer that sends without end is left for another turn after so many chunks."""

_TOLD = 56
"""Bytes of struct tcp_info up to tcpi_last_data_recv, milliseconds (Linux uapi/linux/tcp.h)."""

_CAME_ABOUT = frozenset((errno.ECONNRESET, errno.EPIPE))
"""Errors of a connection that was there: a refused one has ECONNREFUSED (tcp_reset in Linux)."""

_BEGUN = frozenset((0, errno.EINPROGRESS))
_NOBODY = asyncio.Protocol()

if AVAILABLE:
    _BROKEN = select.EPOLLERR | select.EPOLLHUP
    _ENDING = _BROKEN | select.EPOLLRDHUP
    _READABLE = select.EPOLLIN | _ENDING


def dial(
    family: int, remote: tuple[str, int], factory: Callable[[], StreamT]
) -> "Connection[StreamT]":
    """Begin a connection to an IP literal and a port; OSError where that is not even tried."""
    hub = current_sockets()
    return Connection(hub, hub.take(family), remote, factory, can_spare=True)


def connect_socket(
    made: socket.SocketType, remote: tuple[str, int], factory: Callable[[], StreamT]
) -> "Connection[StreamT]":
    """The same on a fresh non-blocking socket that was made elsewhere; it is taken over."""
    hub = current_sockets()
    return Connection(hub, hub.adopt(made), remote, factory, can_spare=False)


def dispatch_pending() -> None:
    """Hand out what has already come, before somebody calls it late."""
    current_sockets().dispatch()


class Connection(Generic[StreamT]):
    """One connection, begun when it is made; awaited, it gives its protocol or raises OSError."""

    __slots__ = ("_can_spare", "_hub", "_is_open", "_line", "_opened", "_socket", "_unsent", "fd")

    def __init__(
        self,
        hub: EpollSockets,
        made: socket.SocketType,
        remote: tuple[str, int],
        factory: Callable[[], StreamT],
        *,
        can_spare: bool,
    ) -> None:
        self._hub = hub
        self._socket: socket.SocketType | None = made
        self._can_spare = can_spare
        self._is_open = False
        self._line: asyncio.Protocol = factory()
        self._opened: Waiter[None] = Waiter()
        self._unsent = b""
        self.fd = made.fileno()
        if isinstance(self._line, HalfOpenConnect):
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 0)
        icmp.ask(made)
        number = made.connect_ex(remote)
        if number not in _BEGUN:
            made.close()
            raise OSError(number, os.strerror(number))
        hub.tell(self.fd, self.ready)

    def __await__(self) -> Generator[Any, None, StreamT]:
        """The protocol, once the connection came about."""
        line = self._line
        try:
            yield from self._opened.__await__()
        except BaseException:
            self.abort()
            raise
        return cast("StreamT", line)

    def write(self, data: bytes) -> None:
        """Send, or keep what the kernel does not take yet. An error is told in a later turn."""
        if self._socket is None:
            return
        if self._unsent:
            self._unsent += data
            return
        try:
            sent = self._socket.send(data)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            self._hub.loop.call_soon(self._lose, error)
            return
        self._unsent = data[sent:]

    def abort(self) -> None:
        """Reset the connection, and tell the protocol nothing more."""
        self._end(again=self._can_spare and self._is_open)

    @property
    def unread_seconds(self) -> float:
        """How long ago what was read last had come: for so long this process was busy (tcp(7))."""
        if self._socket is None:
            return 0.0
        info = self._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TOLD)
        return int.from_bytes(info[-4:], sys.byteorder) / 1000

    def ready(self, events: int) -> None:
        """Take the kernel's news; what a protocol raises ends its own connection only."""
        if self._socket is None:  # ended by somebody who was told before
            return
        try:
            if not self._is_open:
                self._open(events)
            if self._unsent and events & select.EPOLLOUT:
                data, self._unsent = self._unsent, b""
                self.write(data)
            if events & _READABLE:
                self._read(until_end=events & _ENDING != 0)
        except Exception as error:  # noqa: BLE001 - the prober is told; other wires have news too
            self._lose(error)

    def _open(self, events: int) -> None:
        """The connection came about, or did not; one that was reset at once did."""
        made = self._socket
        if made is None:
            return
        error = None
        if events & _BROKEN:
            number = made.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            error = icmp.failure_of(made, number)
        if error and error.errno not in _CAME_ABOUT:
            self.abort()
            self._opened.fail(error)
            return
        icmp.ask_no_more(made)
        self._is_open = True
        self._line.connection_made(self)  # type: ignore[arg-type] # all that ours need of one
        self._opened.tell(None)
        if error:
            self._lose(error)

    def _read(self, *, until_end: bool = False) -> None:
        """Read until the kernel has no more: an edge is told once."""
        for _ in range(_READS_IN_A_ROW):
            if self._socket is None:
                return
            try:
                data = self._socket.recv(_CHUNK)
            except BlockingIOError:
                return
            except OSError as error:
                self._lose(error)
                return
            if not data:
                self._lose(None)
                return
            self._line.data_received(data)
            if len(data) < _CHUNK and not until_end:
                return
        self._hub.loop.call_soon(self.ready, select.EPOLLIN | select.EPOLLRDHUP)

    def _lose(self, error: Exception | None) -> None:
        if self._socket is not None:
            line = self._line
            self._end(again=False)
            self._opened.fail(error or ConnectionAbortedError())  # unless it was told already
            line.connection_lost(error)

    def _end(self, *, again: bool) -> None:
        if self._socket is not None:
            self._hub.drop(self.fd, self._socket, again=again)
            self._socket = None
            self._line = _NOBODY  # each would keep the other alive for the garbage collector
