"""Connections on one epoll: asyncio's transports cost a probe a dozen system calls beside its own.

A `Connection` makes a connect, what is sent and read, and a reset; the `EpollSockets` of its event
loop has its socket and dispatches its events. It is its protocol's transport.
"""

import asyncio
import select
import socket
import time
from collections.abc import Awaitable, Callable
from typing import cast

from exporter.transport import epoll, icmp
from exporter.transport.protocols import (
    ENDS_PROCESS,
    NO_PROTOCOL,
    StreamT,
    report_lost,
    start_connect,
    unread_seconds,
)
from exporter.transport.waiter import Waiter

_CHUNK = 32768
_MAX_READS = 16
"""A peer that sends without end is left for another turn after so many chunks."""

_READABLE = select.EPOLLIN | epoll.ENDING


def connect(
    family: int, remote: tuple[str, int], factory: Callable[[], StreamT]
) -> Awaitable[StreamT]:
    """Connect to an IP literal and a port."""
    sockets = epoll.current_sockets()
    return Connection(sockets, sockets.acquire(family), remote, factory, is_ours=True)


def connect_socket(
    own: socket.SocketType, remote: tuple[str, int], factory: Callable[[], StreamT]
) -> Awaitable[StreamT]:
    """The same on a fresh non-blocking socket that was made elsewhere."""
    sockets = epoll.current_sockets()
    return Connection(sockets, sockets.attach(own), remote, factory, is_ours=False)


class Connection(Waiter[StreamT]):
    """One connection, begun when it is made; awaited, it returns its protocol or raises OSError."""

    __slots__ = ("_failure", "_is_open", "_is_ours", "_protocol", "_socket", "_sockets", "_unsent")

    def __init__(
        self,
        sockets: epoll.EpollSockets,
        own: socket.SocketType,
        remote: tuple[str, int],
        factory: Callable[[], StreamT],
        *,
        is_ours: bool,
    ) -> None:
        super().__init__()
        self._sockets = sockets
        self._socket: socket.SocketType | None = own
        self._is_ours = is_ours
        self._is_open = False
        self._unsent = b""
        self._failure: OSError | None = None
        try:
            self._protocol: asyncio.Protocol = factory()
            start_connect(own, remote, self._protocol)
            sockets.register(own, self._handle)
        except BaseException:
            own.close()
            raise

    def cancel(self, msg: object = None) -> bool:
        """Nobody waits for it any more."""
        self.abort()
        return super().cancel(msg)

    def write(self, data: bytes) -> None:
        """Send, or keep what the kernel does not take yet. An error is reported in a later turn."""
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
            self._failure = error
            self._sockets.loop.call_soon(self._lose, error)
            return
        self._unsent = data[sent:]

    def abort(self) -> None:
        """Reset the connection, and report nothing more to the protocol."""
        self._release(keep=self._is_ours and self._is_open)

    @property
    def unread_seconds(self) -> float:
        """For how long what was read last had been in the kernel."""
        return 0.0 if self._socket is None else unread_seconds(self._socket)

    def _handle(self, events: int) -> None:
        """Handle the kernel's events; what a protocol raises ends its own connection only."""
        if self._socket is None:  # released by somebody who was called before
            return
        try:
            if not self._is_open:
                self._open(self._socket, events)
            if self._unsent and events & select.EPOLLOUT:
                data, self._unsent = self._unsent, b""
                self.write(data)
            if events & _READABLE:
                self._read(until_end=events & epoll.ENDING != 0)
        except ENDS_PROCESS:
            raise
        except BaseException as error:  # noqa: BLE001 - the protocol gets it; others have events too
            self._lose(error)

    def _open(self, own: socket.SocketType, events: int) -> None:
        """The connect has ended; a connection that was reset at once was established."""
        error = None
        if events & epoll.BROKEN:
            error = icmp.connect_error(own)
        if error and not icmp.is_after_connect(error):
            self.abort()
            self.set_exception(error)
            return
        icmp.collect(own, 0)
        self._is_open = True
        self._failure = error  # reported once what was received before the reset has been
        protocol = self._protocol
        protocol.connection_made(self)  # type: ignore[arg-type] # the contract's transport
        self.set_result(cast("StreamT", protocol))

    def _read(self, *, until_end: bool) -> None:
        """Read until the kernel has no more: an edge is reported once."""
        began = 0.0
        for _ in range(_MAX_READS):
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
                self._lose(self._failure)
                return
            self._protocol.data_received(data)
            if len(data) < _CHUNK and not until_end:
                return
            now = time.monotonic()
            began = began or now
            if now - began > epoll.SLICE_SECONDS:
                break
        self._sockets.handle_later(self._socket, _READABLE)

    def _lose(self, error: BaseException | None) -> None:
        if self._socket is not None:
            protocol = self._protocol
            self._release(keep=False)
            self.set_exception(error or ConnectionAbortedError())  # unless it was established
            report_lost(protocol, error)

    def _release(self, *, keep: bool) -> None:
        if self._socket is not None:
            self._sockets.release(self._socket, keep=keep)
            self._socket = None
            self._protocol = NO_PROTOCOL  # each would keep the other for the garbage collector
