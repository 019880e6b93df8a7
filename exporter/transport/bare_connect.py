"""Whether a port accepts, on the epoll's sockets: a `Connection` without a protocol.

A half-open connect has nothing to send or to read, so that most of what a connection is made of
only costs: a poll of a workload in ambient is two of these, and takes an eighth less. Their sockets
are used for nothing else, so that what makes them half-open is set once.
"""

import socket

from exporter.transport import epoll, icmp
from exporter.transport.protocols import ConnectEnded, keep_half_open, start_prepared


class EpollBareConnect:
    """A half-open connect, begun when it is made; OSError where the system does not even try."""

    __slots__ = ("_ended", "_socket", "_sockets")

    def __init__(self, family: int, remote: tuple[str, int], ended: ConnectEnded) -> None:
        sockets = self._sockets = epoll.current_sockets()
        own = sockets.acquire(family, _prepare)
        self._socket: socket.SocketType | None = own
        self._ended = ended
        try:
            start_prepared(own, remote)
            sockets.register(own, self._handle)
        except BaseException:
            own.close()
            raise

    def abort(self) -> None:
        """Nobody waits for it any more."""
        own, self._socket = self._socket, None
        if own is not None:
            self._sockets.release(own, _prepare, keep=False)

    def _handle(self, events: int) -> None:
        """The connect has ended; one that was reset at once had been accepted.

        A socket with an ICMP message is not used again: the next connect would read it.
        """
        own = self._socket
        if own is None:  # released by somebody who was called before
            return
        self._socket, error = None, None
        if events & epoll.BROKEN:
            error = icmp.connect_error(own)
            if error is not None and icmp.is_after_connect(error):
                error = None
            self._sockets.release(own, _prepare, keep=False)
        else:
            self._sockets.release(own, _prepare, keep=True)
        self._ended(error)


def _prepare(own: socket.SocketType) -> None:
    """What lasts for as long as the socket does."""
    keep_half_open(own)
    icmp.collect(own, 1)
