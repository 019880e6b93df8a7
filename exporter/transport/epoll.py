"""The sockets of one event loop's connections: one edge-triggered epoll, and sockets to use again.

The event loop watches the epoll's own descriptor, so that one wake-up serves every connection that
is ready. A socket that was connected is not closed but disconnected, which resets its connection as
closing would (connect(2), AF_UNSPEC); the next connection on it is as new as any other. That saves
a fifth of what a half-open connect costs the kernel.
"""

import asyncio
import atexit
import ctypes
import errno
import os
import resource
import select
import socket
import struct
import time
from collections import defaultdict, deque
from collections.abc import Callable
from threading import get_ident

from exporter.transport import icmp
from exporter.transport.protocols import LINGER_ZERO, keep_half_open, start_prepared

EventHandler = Callable[[int], None]
"""Receives a socket's events, as epoll has them."""

BROKEN = select.EPOLLERR | select.EPOLLHUP
ENDING = BROKEN | select.EPOLLRDHUP
_WATCHED = select.EPOLLIN | select.EPOLLOUT | select.EPOLLRDHUP | select.EPOLLET

SLICE_SECONDS = 0.002
"""After so long what is left to handle waits for the next turn of the event loop."""

_MAX_EVENTS = 512
_MAX_SPARE = 256
"""The most sockets of a family that are kept to be used again."""

_STREAM = socket.SOCK_STREAM | socket.SOCK_NONBLOCK
_UNSPECIFIED = struct.pack("H14x", socket.AF_UNSPEC)
_UNSPECIFIED_SIZE = len(_UNSPECIFIED)
"""A struct sockaddr that disconnects."""

_connect = ctypes.CDLL(None).connect
_connect.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)


class EpollSockets:
    """The sockets of one event loop, and who handles their events."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._handlers: dict[int, EventHandler] = {}
        self._spare: defaultdict[int, list[socket.SocketType]] = defaultdict(list)
        self._spare_half_open: defaultdict[int, list[socket.SocketType]] = defaultdict(list)
        self._waiting: deque[tuple[int, EventHandler, int]] = deque()
        self._is_resuming = False
        self._epoll = select.epoll()
        loop.add_reader(self._epoll.fileno(), self._dispatch)

    def acquire(self, family: int) -> socket.SocketType:
        """A non-blocking TCP socket that nobody uses, attached."""
        spare = self._spare[family]
        return spare.pop() if spare else self._new(family)

    def _new(self, family: int, *, is_half_open: bool = False) -> socket.SocketType:
        own = _socket_of(family)
        try:
            if is_half_open:
                keep_half_open(own)
                icmp.collect(own, 1)
            return self.attach(own)
        except BaseException:
            own.close()
            raise

    def attach(self, own: socket.SocketType) -> socket.SocketType:
        """Watch a socket that was made elsewhere; returns it."""
        own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_ZERO)
        self._epoll.register(own.fileno(), _WATCHED)
        return own

    def register(self, own: socket.SocketType, handler: EventHandler) -> None:
        """Give the socket's events to this handler, until it is released."""
        self._handlers[own.fileno()] = handler

    def release(self, own: socket.SocketType, *, keep: bool) -> None:
        """Reset a connection, and keep its socket to use it again or close it."""
        self._handlers.pop(own.fileno(), None)
        if keep:
            _keep(own, self._spare[own.family])
        else:
            own.close()

    def begin(
        self, family: int, remote: tuple[str, int], handler: EventHandler
    ) -> socket.SocketType:
        """Begin a half-open connect; its end comes to the handler, as events.

        Sockets are used for nothing else then, so that what makes them half-open is set once.
        """
        spare = self._spare_half_open[family]
        own = spare.pop() if spare else self._new(family, is_half_open=True)
        try:
            start_prepared(own, remote)
        except BaseException:
            own.close()
            raise
        self._handlers[own.fileno()] = handler
        return own

    def end(self, own: socket.SocketType, events: int) -> OSError | None:
        """What these events say: None where the port accepts. One that was reset had been accepted.

        A socket with an ICMP message is not used again: the next connect would read it.
        """
        del self._handlers[own.fileno()]
        if not events & BROKEN:
            _keep(own, self._spare_half_open[own.family])
            return None
        error = icmp.connect_error(own)
        own.close()
        return None if error is None or icmp.is_after_connect(error) else error

    def abort(self, own: socket.SocketType) -> None:
        """Nobody waits for a half-open connect any more."""
        self.release(own, keep=False)

    def _dispatch(self) -> None:
        """Handle every socket's events; then once more, for sockets that were reset have some too.

        Handlers are looked up before any is called: an event is for the descriptor's last user,
        and for nobody where another has it by then. Not until there is none left: a peer that sends
        without end would keep the event loop.
        """
        began = time.monotonic()
        for _ in range(2):
            for descriptor, events in self._epoll.poll(0, _MAX_EVENTS):
                handler = self._handlers.get(descriptor)
                if handler is not None:
                    self._waiting.append((descriptor, handler, events))
            if self._is_resuming or not self._handle_waiting(began):
                return

    def _handle_waiting(self, began: float) -> bool:
        """Whether everybody's events were handled; else the rest is in the next turn.

        What sends without end would otherwise take a turn for each of its connections.
        """
        waiting, handlers = self._waiting, self._handlers
        while waiting:
            descriptor, handler, events = waiting.popleft()
            if handlers.get(descriptor) is handler:
                handler(events)
            if waiting and time.monotonic() - began > SLICE_SECONDS:
                self._resume_later()
                return False
        return True

    def handle_later(self, own: socket.SocketType | None, events: int) -> None:
        """Call the socket's handler, if there is one, behind all that wait, in a later turn."""
        if own is not None:
            descriptor = own.fileno()
            self._waiting.append((descriptor, self._handlers[descriptor], events))
            self._resume_later()

    def _resume_later(self) -> None:
        if not self._is_resuming:
            self._is_resuming = True
            self.loop.call_soon(self._resume)

    def _resume(self) -> None:
        self._is_resuming = False
        self._handle_waiting(time.monotonic())

    def close(self) -> None:
        """Close the epoll and the spare sockets, when the event loop has ended."""
        self._epoll.close()
        for sockets in (*self._spare.values(), *self._spare_half_open.values()):
            for own in sockets:
                own.close()


def _socket_of(family: int) -> socket.SocketType:
    """A new socket; OSError where the descriptors that are left are for others.

    A new descriptor has the lowest number that is free. Without the reserve nobody would be
    answered over HTTP while polls hold every descriptor, and the kubelet would end the process.
    """
    own = socket.SocketType(family, _STREAM)
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if limit == resource.RLIM_INFINITY:
        return own
    if own.fileno() >= limit - min(_RESERVED_DESCRIPTORS, limit // 4):
        own.close()
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
    return own


_RESERVED_DESCRIPTORS = 64


def _keep(own: socket.SocketType, spare: list[socket.SocketType]) -> None:
    """Reset a socket's connection and forget it, or close it where the system refuses.

    The reset is kept in SO_ERROR; the next connect begins without it (Linux's tcp_connect_init).
    """
    is_one_more = len(spare) < _MAX_SPARE
    if is_one_more and _connect(own.fileno(), _UNSPECIFIED, _UNSPECIFIED_SIZE) == 0:
        spare.append(own)
    else:
        own.close()


_by_loop: dict[asyncio.AbstractEventLoop, EpollSockets] = {}
_by_thread: dict[int, EpollSockets] = {}
"""The last ones of each thread: up to Python 3.11 it is a system call to ask for its event loop."""


@atexit.register
def _close_all() -> None:
    while _by_loop:
        _by_loop.popitem()[1].close()


def current_sockets() -> EpollSockets:
    """The sockets of the running event loop."""
    last = _by_thread.get(get_ident())
    if last is not None and last.loop.is_running():
        return last
    loop = asyncio.get_running_loop()
    sockets = _by_loop.get(loop)
    if sockets is None:
        for ended in [other for other in _by_loop if other.is_closed()]:
            _by_loop.pop(ended).close()
        sockets = _by_loop[loop] = EpollSockets(loop)
    _by_thread[get_ident()] = sockets
    return sockets
