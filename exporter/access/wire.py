"""TCP connections of our own, many to a wake-up: what the dialers on Linux stand on.

asyncio's transports cost a probe a dozen system calls beside its own. A `Wire` takes a socket, a
linger, a connect, one `epoll_ctl`, what is sent and read, and a close that resets. Strategy: all
wires of an event loop share one edge-triggered epoll whose own descriptor the loop watches, so
that one wake-up serves every connection that is ready. A `Wire` is what protocols take for their
transport; an aborted one tells its protocol nothing more.
"""

import asyncio
import errno
import os
import select
import socket
import sys
from collections.abc import Callable, Generator
from typing import Any, Generic, cast

from exporter.access import LINGER_ZERO, StreamT
from exporter.access.signal import Signal

AVAILABLE = hasattr(select, "epoll")
"""Whether this system has epoll; without it dialers fall back to asyncio's transports."""

_CHUNK = 65536
_READS_IN_A_ROW = 16
"""A peer that sends without end is left for another turn after so many chunks."""

_EVENTS_AT_ONCE = 512
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
    _WATCHED = select.EPOLLIN | select.EPOLLOUT | select.EPOLLRDHUP | select.EPOLLET


def deliver() -> None:
    """Hand out what has already come, before somebody calls it late."""
    _hub().dispatch()


class Wire(Generic[StreamT]):
    """One connection: begun at once; awaited, it gives its protocol or raises OSError.

    It takes over a fresh non-blocking socket, and closes it with a reset. `remote` is an IP literal
    and a port; OSError is raised where the system will not even try to connect to it.
    """

    __slots__ = ("_hub", "_line", "_opened", "_socket", "_unsent", "fd")

    def __init__(
        self, made: socket.SocketType, remote: tuple[str, int], factory: Callable[[], StreamT]
    ) -> None:
        self._socket: socket.SocketType | None = made
        self._unsent = b""
        self.fd = made.fileno()
        self._hub = _hub()
        self._line: asyncio.Protocol = factory()
        self._opened: Signal[None] = Signal()
        made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_ZERO)
        number = made.connect_ex(remote)
        if number not in _BEGUN:
            made.close()
            raise OSError(number, os.strerror(number))
        self._hub.add(self)

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
        """Close with a reset, and tell the protocol nothing more."""
        if self._socket is not None:
            self._hub.drop(self.fd, self._socket)
            self._socket = None
            self._line = _NOBODY  # each would keep the other alive for the garbage collector

    @property
    def unread_seconds(self) -> float:
        """How long ago what was read last had come: for so long this process was busy (tcp(7))."""
        if self._socket is None:
            return 0.0
        info = self._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TOLD)
        return int.from_bytes(info[-4:], sys.byteorder) / 1000

    def ready(self, events: int) -> None:
        """Take the kernel's news; what a protocol raises ends its own connection only."""
        try:
            if not self._opened.is_told:
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
        number = 0
        if self._socket is not None and events & _BROKEN:
            number = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        error = OSError(number, os.strerror(number)) if number else None
        if error and number not in _CAME_ABOUT:
            self.abort()
            self._opened.fail(error)
            return
        self._line.connection_made(self)  # type: ignore[arg-type] # all that ours need of one
        self._opened.tell(None)
        if number:
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
            self.abort()
            line.connection_lost(error)


class _Hub:
    """The wires of one event loop, by descriptor."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._wires: dict[int, Wire[Any]] = {}
        self._ended: list[socket.SocketType] = []
        self._is_dispatching = False
        self._epoll = select.epoll()
        loop.add_reader(self._epoll.fileno(), self.dispatch)

    def add(self, wire: "Wire[Any]") -> None:
        """Watch a wire until it is dropped."""
        self._epoll.register(wire.fd, _WATCHED)
        self._wires[wire.fd] = wire

    def drop(self, fd: int, made: socket.SocketType) -> None:
        """Close a wire's socket; after the turn, so that its number is not given out within it."""
        self._wires.pop(fd, None)
        if self._is_dispatching:
            self._ended.append(made)
        else:
            made.close()

    def close(self) -> None:
        """Give the epoll back, when the loop has ended."""
        self._epoll.close()

    def dispatch(self) -> None:
        """Tell every wire that has news."""
        self._is_dispatching = True
        for fd, events in self._epoll.poll(0, _EVENTS_AT_ONCE):
            wire = self._wires.get(fd)
            if wire is not None:
                wire.ready(events)
        self._is_dispatching = False
        while self._ended:
            self._ended.pop().close()


_hubs: dict[asyncio.AbstractEventLoop, _Hub] = {}


def _hub() -> _Hub:
    loop = asyncio.get_running_loop()
    hub = _hubs.get(loop)
    if hub is None:
        for ended in [known for known in _hubs if known.is_closed()]:
            _hubs.pop(ended).close()
        hub = _hubs[loop] = _Hub(loop)
    return hub
