"""Serves an application on a socket, and bears only so much of each client and of all together.

Request lines and headers have a size, requests have no bodies to speak of, a client that sends
its request slowly or does not read its answer is let go, and so is one connection too many.
"""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiohttp import web


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerLimits:
    """What clients are allowed. Times in seconds, sizes in bytes.

    `idle_seconds`: until the first request is complete, and from one request to the next; more
    than a scrape interval of a minute. `unread_seconds`: how long an answer may wait for a client
    that does not read it. `shutdown_seconds`: for the answers in flight when the exporter ends.
    """

    connections: int = 512
    line_bytes: int = 8190
    header_bytes: int = 8190
    headers: int = 64
    idle_seconds: float = 75.0
    body_seconds: float = 2.0
    handshake_seconds: float = 10.0
    unread_seconds: float = 60.0
    shutdown_seconds: float = 10.0


DEFAULT = ServerLimits()

_FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\n"
    b"Content-Type: text/plain; charset=utf-8\r\n"
    b"Content-Length: 27\r\nRetry-After: 1\r\nConnection: close\r\n\r\n"
    b"Too many connections open.\n"
)


class _Connection(asyncio.Protocol):
    """One connection: handed on to aiohttp, or refused as one too many and closed.

    Only here is it known at once how many there are: several may be accepted in one turn of the
    event loop, and a TLS handshake may fail before aiohttp hears of a connection.
    """

    def __init__(self, server: web.Server, others: "set[_Connection]", most: int) -> None:
        self._server = server
        self._others = others
        self._most = most
        self._handler: asyncio.Protocol | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Hand it on while there is room."""
        if len(self._others) < self._most:
            self._others.add(self)
            self._handler = self._server()
            self._handler.connection_made(transport)
            return
        if isinstance(transport, asyncio.Transport):
            transport.write(_FULL)
        transport.close()

    def data_received(self, data: bytes) -> None:
        """Hand it on."""
        if self._handler:
            self._handler.data_received(data)

    def eof_received(self) -> bool | None:
        """Hand it on."""
        return self._handler.eof_received() if self._handler else None

    def pause_writing(self) -> None:
        """Hand it on."""
        if self._handler:
            self._handler.pause_writing()

    def resume_writing(self) -> None:
        """Hand it on."""
        if self._handler:
            self._handler.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Hand it on, and give the place back."""
        self._others.discard(self)
        if self._handler:
            self._handler.connection_lost(exc)


@asynccontextmanager
async def serving(
    app: web.Application,
    listener: socket.socket,
    tls: ssl.SSLContext | None = None,
    limits: ServerLimits = DEFAULT,
) -> AsyncIterator[None]:
    """Serve until the block ends; then answers in flight are finished and the socket closed."""
    runner = web.AppRunner(
        app,
        access_log=None,
        shutdown_timeout=limits.shutdown_seconds,
        max_line_size=limits.line_bytes,
        max_field_size=limits.header_bytes,
        max_headers=limits.headers,
        keepalive_timeout=limits.idle_seconds,
        lingering_time=limits.body_seconds,
    )
    await runner.setup()
    server = runner.server
    if server is None:
        raise RuntimeError("a runner that was set up has a server")

    connections: set[_Connection] = set()
    listener.setsockopt(
        socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(limits.unread_seconds * 1000)
    )
    listening = await asyncio.get_running_loop().create_server(
        lambda: _Connection(server, connections, limits.connections),
        sock=listener,
        ssl=tls,
        ssl_handshake_timeout=limits.handshake_seconds if tls else None,
    )
    try:
        yield
    finally:
        listening.close()
        await runner.cleanup()
