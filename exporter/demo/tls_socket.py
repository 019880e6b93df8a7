"""A connection's bytes, in plaintext or through TLS, over a socket of the event loop.

TLS is made by hand on memory buffers, because the hello has been read before it is known
whether to answer it.
"""

import asyncio
import socket
import ssl

_CHUNK = 65536


class TlsSocket:
    """A connection's bytes, in plaintext or, after `secure`, through TLS."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls: ssl.SSLObject | None = None

    async def read(self) -> bytes:
        """What comes next; empty at the end."""
        if self._tls is None:
            return await self._receive()
        while True:
            try:
                return self._tls.read(_CHUNK)
            except ssl.SSLWantReadError:
                await self._flush()
                if not await self._fill():
                    return b""
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                return b""

    async def write(self, data: bytes) -> None:
        """Send all of it."""
        if self._tls is None:
            await asyncio.get_running_loop().sock_sendall(self._socket, data)
        else:
            self._tls.write(data)
            await self._flush()

    async def secure(self, context: ssl.SSLContext, first: bytes) -> None:
        """Make the handshake whose first bytes were read already; raises ssl.SSLError."""
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._incoming.write(first)
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                await self._flush()
                if not await self._fill():
                    raise ConnectionError from None
            else:
                break
            finally:
                await self._flush()
        await self._flush()

    async def drain(self) -> None:
        """Read and forget until the far side has gone."""
        while await self._receive():
            pass

    async def _fill(self) -> bool:
        data = await self._receive()
        self._incoming.write(data)
        return bool(data)

    async def _flush(self) -> None:
        data = self._outgoing.read()
        if data:
            await asyncio.get_running_loop().sock_sendall(self._socket, data)

    async def _receive(self) -> bytes:
        return await asyncio.get_running_loop().sock_recv(self._socket, _CHUNK)
