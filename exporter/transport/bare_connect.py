"""Whether a port accepts, on the epoll's sockets: a `Connection` without a protocol.

A half-open connect has nothing to send or to read, so that most of what a connection is made of
only costs: a poll of a workload in ambient is two of these, and takes an eighth less.
"""

import socket

from exporter.transport import epoll, icmp
from exporter.transport.protocols import ConnectEnded, start_half_open


class EpollBareConnect:
    """A half-open connect, begun when it is made; OSError where the system does not even try."""

    __slots__ = ("_ended", "_socket", "_sockets")

    def __init__(self, family: int, remote: tuple[str, int], ended: ConnectEnded) -> None:
        sockets = self._sockets = epoll.current_sockets()
        own = sockets.acquire(family)
        self._socket: socket.SocketType | None = own
        self._ended = ended
        try:
            start_half_open(own, remote)
            sockets.register(own, self._handle)
        except BaseException:
            own.close()
            raise

    def abort(self) -> None:
        """Nobody waits for it any more."""
        self._release(keep=False)

    def _handle(self, events: int) -> None:
        """The connect has ended; one that was reset at once had been accepted."""
        own = self._socket
        if own is None:  # released by somebody who was called before
            return
        error = icmp.connect_error(own) if events & epoll.BROKEN else None
        if error is not None and icmp.is_after_connect(error):
            error = None
        if error is None:
            icmp.collect(own, 0)
        self._release(keep=error is None)
        self._ended(error)

    def _release(self, *, keep: bool) -> None:
        if self._socket is not None:
            self._sockets.release(self._socket, keep=keep)
            self._socket = None
