"""What a connection is given: the protocols on top of it, and how its socket closes."""

import asyncio
import socket
import struct
from typing import TypeVar

StreamT = TypeVar("StreamT", bound=asyncio.Protocol)


class HalfOpenConnect(asyncio.Protocol):
    """A protocol that only asks whether a port accepts, and is dropped as soon as it does.

    Where it can be, the last packet of the handshake is withheld: a reset follows instead, and the
    process that listens never hears of it.
    """

    __slots__ = ()


LINGER_ZERO = struct.pack("ii", 1, 0)
"""SO_LINGER's value for "close with a reset"."""


def close_with_reset(transport: asyncio.BaseTransport) -> None:
    """Make the transport's socket answer its closing with a reset instead of TIME_WAIT."""
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_ZERO)
