"""Accepted sockets, under TLS or without it.

The rule: whatever a client sends, neither TLS nor HTTP is handed more than a piece in one turn of
the event loop, so that each hello, which takes milliseconds to answer, has a turn of its own.
"""

import asyncio
import math
import ssl
from asyncio.sslproto import SSLProtocol
from socket import socket

from exporter.flow_control import PIECE_BYTES, control_flow
from exporter.turn import Turn


async def open_stream(
    sock: socket,
    connection: asyncio.Protocol,
    turn: Turn,
    tls: ssl.SSLContext | None,
    seconds: float,
) -> None:
    """Return when `connection` has its transport: with TLS after the handshake. Raises OSError.

    `turn`: what all clients share. `seconds`: for the handshake, in whole ones.
    """
    loop = asyncio.get_running_loop()
    if tls is None:
        await loop.connect_accepted_socket(lambda: connection, sock)
        return
    done = loop.create_future()
    below = _Tls(
        loop, connection, tls, done, server_side=True, ssl_handshake_timeout=math.ceil(seconds)
    )
    below.turn = turn
    transport, _ = await loop.connect_accepted_socket(lambda: below, sock)
    try:
        await done
    except BaseException:
        transport.abort()
        raise


class _Tls(SSLProtocol):
    """TLS as asyncio has it: that of uvloop reads from sockets of its own alone."""

    max_size = 4 * PIECE_BYTES  # a record; so much memory has each connection
    turn: Turn

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin the handshake."""
        super().connection_made(control_flow(transport, self, self.turn))

    def data_received(self, data: bytes) -> None:
        """Fill its buffer."""
        while data:
            buffer = memoryview(self.get_buffer(len(data)))
            size = min(len(buffer), len(data))
            buffer[:size] = data[:size]
            self.buffer_updated(size)
            data = data[size:]
