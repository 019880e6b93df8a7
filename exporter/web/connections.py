"""Which connections are open, whose they are, and which one gives way to a new one.

In: accepted sockets. Out: connections that speak to aiohttp. The rule: a client is its address, and
no client keeps another one out: a connection that is being answered stays, of all others the oldest
one of the client with the most gives way. So a kubelet or a Prometheus, with its few, gets in.
"""

import asyncio
import socket
import ssl
import time
from collections.abc import Callable
from contextlib import suppress

from aiohttp import web

from exporter.flow_control import control_flow
from exporter.turn import Turn
from exporter.web.accepted_streams import open_stream
from exporter.web.responses import SECURITY_HEADERS

_FULL_SENTENCE = "Too many connections open.\n"
_FULL_HEADERS = {
    **SECURITY_HEADERS,
    "Cache-Control": "no-store",
    "Connection": "close",
    "Content-Length": str(len(_FULL_SENTENCE)),
    "Content-Type": "text/plain; charset=utf-8",
    "Retry-After": "1",
}
_FULL = "\r\n".join(
    (
        "HTTP/1.1 503 Service Unavailable",
        *(f"{name}: {value}" for name, value in _FULL_HEADERS.items()),
        "",
        _FULL_SENTENCE,
    )
).encode()

_END_OF_HEADERS = b"\r\n\r\n"
_READ_WITHIN_SECONDS = 0.25


class ClientConnection(asyncio.Protocol):
    """One connection, handed on to aiohttp. `client`: its peer's address.

    A request, from its first byte to the end of its headers, has `seconds`; so has a connection
    until its first one. `is_answered`: a request that was let in is being answered.
    """

    def __init__(self, client: str, seconds: float, table: "ConnectionTable") -> None:
        self.client = client
        self.handler: asyncio.Protocol | None = None
        self.is_answered = False
        self._seconds = seconds
        self._table = table
        self._transport: asyncio.Transport | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._opening: asyncio.Task[None] | None = None
        self._requested = False
        self._tail = b""
        self._opened = time.monotonic()

    def open(self, sock: socket.socket, tls: ssl.SSLContext | None, handshake: float) -> None:
        """Make the TLS handshake if there is one, in a task; then the connection counts on."""
        self._opening = asyncio.create_task(self._open(sock, tls, handshake))

    async def _open(self, sock: socket.socket, tls: ssl.SSLContext | None, seconds: float) -> None:
        try:
            await open_stream(sock, self, self._table.turn, tls, seconds)
        except OSError:  # a handshake that failed, or took too long; its socket is closed
            return
        finally:
            if self._transport is None:
                self._table.remove(self)

    @property
    def is_idle(self) -> bool:
        """Whether nothing is lost that was asked for if it is closed."""
        unsent = self._transport.get_write_buffer_size() if self._transport else 0
        return not (self.is_answered or unsent)

    @property
    def is_due(self) -> bool:
        """Whether it is idle although its request had the time to be read."""
        return self.is_idle and time.monotonic() - self._opened > _READ_WITHIN_SECONDS

    def abort(self) -> None:
        """Close it at once."""
        self._table.remove(self)
        if self._transport:
            self._transport.abort()
        elif self._opening:
            self._opening.cancel()

    def request_began(self) -> None:
        """The headers of a request are complete."""
        self._requested = True
        self._disarm()

    def request_ended(self) -> None:
        """Its answer is made; what came behind its headers is the next request's."""
        self._requested = self.is_answered = False
        if self._tail != _END_OF_HEADERS:
            self._arm()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Hand it on."""
        self._transport = control_flow(transport, self, self._table.turn)
        self.handler = self._table.handle(self)
        self.handler.connection_made(self._transport)
        self._arm()

    def data_received(self, data: bytes) -> None:
        """Hand it on."""
        self._tail = (self._tail + data[-len(_END_OF_HEADERS) :])[-len(_END_OF_HEADERS) :]
        if self._deadline is None and not self._requested:
            self._arm()
        if self.handler:
            self.handler.data_received(data)

    def eof_received(self) -> bool | None:
        """Hand it on."""
        return self.handler.eof_received() if self.handler else None

    def pause_writing(self) -> None:
        """Hand it on."""
        if self.handler:
            self.handler.pause_writing()

    def resume_writing(self) -> None:
        """Hand it on."""
        if self.handler:
            self.handler.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Hand it on, and give the place back."""
        self._disarm()
        self._table.remove(self)
        if self.handler:
            self.handler.connection_lost(exc)

    def _arm(self) -> None:
        self._disarm()
        loop = asyncio.get_running_loop()
        self._deadline = loop.call_later(self._seconds, self.abort)

    def _disarm(self) -> None:
        if self._deadline:
            self._deadline.cancel()
            self._deadline = None


class ConnectionTable:
    """The connections of all clients, at most `most`, and `most_of_one` of each.

    `make_handler`: aiohttp's, once it is set up. `turn`: how much of what they all send is taken at
    once, beside the work of the exporter itself.
    """

    make_handler: Callable[[], asyncio.Protocol]

    def __init__(self, most: int, most_of_one: int) -> None:
        self.turn = Turn()
        self._most = most
        self._most_of_one = most_of_one
        self._of: dict[str, dict[ClientConnection, None]] = {}
        self._by_handler: dict[object, ClientConnection] = {}
        self._count = 0

    def admit(self, client: str, seconds: float) -> ClientConnection | None:
        """A place for one more connection of this client, if need be another's; None: no place."""
        own = self._of.get(client, {})
        if len(own) >= self._most_of_one:
            giving_way = next((one for one in own if one.is_due), None)
        elif self._count >= self._most:
            giving_way = self._least_needed(len(own))
        else:
            return self._add(ClientConnection(client, seconds, self))
        if giving_way is None:
            return None
        giving_way.abort()
        return self._add(ClientConnection(client, seconds, self))

    def handle(self, connection: ClientConnection) -> asyncio.Protocol:
        """The aiohttp protocol of a connection that is open now."""
        handler = self.make_handler()
        self._by_handler[handler] = connection
        return handler

    def remove(self, connection: ClientConnection) -> None:
        """Give its place back; a second time does nothing."""
        self._by_handler.pop(connection.handler, None)
        own = self._of.get(connection.client, {})
        if connection in own:
            del own[connection]
            self._count -= 1
            if not own:
                del self._of[connection.client]

    def close(self) -> None:
        """Close those whose handshake is not done; aiohttp closes the others."""
        for connection in [one for own in self._of.values() for one in own]:
            if connection.handler is None:
                connection.abort()

    def of_request(self, request: web.BaseRequest) -> ClientConnection | None:
        """The connection on which a request came."""
        return self._by_handler.get(request.protocol)

    def _add(self, connection: ClientConnection) -> ClientConnection:
        self._of.setdefault(connection.client, {})[connection] = None
        self._count += 1
        return connection

    def _least_needed(self, owned: int) -> ClientConnection | None:
        """The oldest idle connection of the client with the most, for one that has `owned`.

        Nothing of a client with fewer; of one that would then have no more, only what is due.
        """
        for own in sorted(self._of.values(), key=len, reverse=True):
            if len(own) < owned:
                break
            for connection in own:
                if connection.is_due or (len(own) > owned + 1 and connection.is_idle):
                    return connection
        return None


def client_of(address: object) -> str:
    """The address of a peer, one and the same for IPv4 over an IPv6 socket."""
    host = address[0] if isinstance(address, tuple) else ""
    return str(host).removeprefix("::ffff:")


def refuse(sock: socket.socket, tls: ssl.SSLContext | None) -> None:
    """Close a connection that has no place; without TLS after a 503."""
    if tls is None:
        with suppress(OSError):
            sock.send(_FULL)
    sock.close()
