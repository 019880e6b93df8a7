"""How connections to one target are made: a `Dialer` per target address and view.

Probers only ever see the Dialer, so none of them knows whether a socket was opened from here or
inside the pod's network namespace. Its rule: every connection dies with a reset when it is
closed, so that no TIME_WAIT entry stays behind.
"""

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol, TypeVar, runtime_checkable

from exporter.model import SocketTable, View

StreamT = TypeVar("StreamT", bound=asyncio.Protocol)
DatagramT = TypeVar("DatagramT", bound=asyncio.DatagramProtocol)


class Knock(asyncio.Protocol):
    """A protocol that only asks whether a port accepts, and is dropped as soon as it does.

    Where it can be, the last packet of the handshake is withheld: a reset follows instead, and the
    process that listens never hears of it.
    """

    __slots__ = ()


LINGER_ZERO = struct.pack("ii", 1, 0)
"""SO_LINGER's value for "close with a reset"."""


class NoAccess(Exception):  # noqa: N818 - a fact about us, not a failure of the target
    """This view of the target is not open to us; the message is one sentence saying why."""


@runtime_checkable
class Dialer(Protocol):
    """Opens connections to one address of one target, as seen from one view.

    `address` is the IP literal that is dialled. Failures are `OSError` (the target's or the
    network's) or `NoAccess` (ours). `tells_connect`: that `connect` returns proves that the port
    accepted; elsewhere only what the protocol hears afterwards does.
    """

    view: View
    address: str
    tells_connect: bool

    def connect(self, port: int, factory: Callable[[], StreamT]) -> Awaitable[StreamT]:
        """Begin a TCP connection; awaited, it gives its protocol."""
        ...

    async def datagram(self, port: int, factory: Callable[[], DatagramT]) -> DatagramT:
        """Open a UDP socket connected to the port and return its protocol."""
        ...

    async def sockets(self) -> SocketTable:
        """Read the target's own socket table; only a namespace has one, else `NoAccess`."""
        ...


class PodView(Protocol):
    """How a target is seen from inside; one per target.

    `is_worrying`: what was last seen there calls for another look soon.
    """

    is_worrying: bool

    def entered(
        self, together: Sequence[int], apart: Sequence[int], *, urgent: bool
    ) -> AbstractAsyncContextManager[Dialer | None]:
        """Enter for one look at these ports; None where it has to be left out this time.

        `apart` are the ports whose closing has to be seen. `urgent`: the network's evidence is
        abnormal.
        """
        ...


def close_with_reset(transport: asyncio.BaseTransport) -> None:
    """Make the transport's socket answer its closing with a reset instead of TIME_WAIT."""
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_ZERO)
