"""Serves an application on a socket, with limits for each client and for all together.

Request lines and headers have a size, requests have no bodies to speak of, a client that sends
its request slowly or does not read its answer is let go, and so is one connection too many.
"""

import asyncio
import logging
import socket
import ssl
import traceback
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.typedefs import Handler

from exporter.turn import Turn
from exporter.web.connections import ConnectionTable, client_of, refuse


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerLimits:
    """What clients are allowed. Times in seconds, sizes in bytes.

    `client_connections`: of one address. `request_seconds`: from a request's first byte to the end
    of its headers, and until a connection's first request. `idle_seconds`: from one request to the
    next; more than a scrape interval of a minute. `unread_seconds`: how long an answer may wait for
    a client that does not read it. `kernel_bytes`: how much of it waits in the kernel, which would
    take megabytes, so that its request would count as answered. `request_bytes`: how much of its
    requests waits there, and is read at once. `shutdown_seconds`: for the answers in flight when
    the exporter ends.
    """

    connections: int = 512
    client_connections: int = 64
    request_seconds: float = 10.0
    line_bytes: int = 8190
    header_bytes: int = 8190
    headers: int = 64
    idle_seconds: float = 75.0
    body_seconds: float = 2.0
    handshake_seconds: float = 10.0
    unread_seconds: float = 60.0
    kernel_bytes: int = 131_072
    request_bytes: int = 16_384
    shutdown_seconds: float = 10.0


DEFAULT = ServerLimits()

_PAUSE_SECONDS = 0.1
"""Before accepting again when the process has no descriptor left."""


class _OncePerFault(logging.Filter):
    """Lets a traceback through once for each place it came from.

    A request that is no HTTP, or whose body is none, is its client's fault: 400, and no line.
    """

    def __init__(self) -> None:
        super().__init__()
        self._known: set[tuple[type, str]] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to log it."""
        kind, error, trace = record.exc_info or (None, None, None)
        if kind is None or isinstance(error, HttpProcessingError | web.RequestPayloadError):
            return kind is None
        place = str(traceback.extract_tb(trace)[-1:])
        is_new = (kind, place) not in self._known
        self._known.add((kind, place))
        return is_new


_log = logging.getLogger(__name__)
_log.addFilter(_OncePerFault())


_SENTENCES = {
    HTTPStatus.BAD_REQUEST: "This is no HTTP/1.1 request, or too large a one.\n",
    HTTPStatus.EXPECTATION_FAILED: "Nothing but 100-continue can be expected.\n",
    HTTPStatus.GATEWAY_TIMEOUT: "The answer took too long.\n",
}
_FAULT = "The exporter could not answer; its log says why.\n"
"""What is answered beside all routes: aiohttp's own quotes the request and names its version."""


class _Refusal(web.Response):
    """An answer beside all routes, so that it has to run the application's hooks itself."""

    def __init__(self, app: web.Application, status: int) -> None:
        super().__init__(status=status, text=_SENTENCES.get(HTTPStatus(status), _FAULT))
        self._app = app
        self.force_close()

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Send the headers, with those that every answer has."""
        if isinstance(request, web.Request):
            await self._app.on_response_prepare.send(request, self)
        return await super().prepare(request)


class _PlainErrorHandler(web.RequestHandler):
    """The requests of one connection. `app`: whose headers an answer gets."""

    app: web.Application

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = HTTPStatus.INTERNAL_SERVER_ERROR,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Log as aiohttp does, and answer in our words; the connection is closed."""
        super().handle_error(request, status, exc, message)
        return _Refusal(self.app, status)


@asynccontextmanager
async def serving(
    app: web.Application,
    listener: socket.socket,
    tls: ssl.SSLContext | None = None,
    limits: ServerLimits = DEFAULT,
) -> AsyncIterator[None]:
    """Serve until the block ends; then answers in flight are finished and the socket closed."""
    runner = web.AppRunner(app, shutdown_timeout=limits.shutdown_seconds)
    table = _count_requests(app, limits)
    await runner.setup()
    server = runner.server
    if server is None:
        raise RuntimeError("a runner that was set up has a server")
    server.request_handler = partial(_in_turn, app, table.turn, server.request_handler)
    table.make_handler = partial(_handler, app, server, limits)
    listener.setsockopt(
        socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(limits.unread_seconds * 1000)
    )
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, limits.kernel_bytes)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, limits.request_bytes)
    listener.setblocking(False)  # noqa: FBT003 - as sockets have it
    accepting = asyncio.create_task(_accept(listener, table, tls, limits))
    try:
        yield
    finally:
        accepting.cancel()
        await asyncio.wait({accepting})
        listener.close()
        table.close()
        await runner.cleanup()


async def _in_turn(
    app: web.Application, turn: Turn, handler: Handler, request: web.Request
) -> web.StreamResponse:
    """Begin an answer when it is this request's turn: those of many clients may come at once.

    An expectation is answered here: aiohttp quotes it, and fails where it is no text.
    """
    await turn.wait()
    expected = request.headers.get("Expect", "")
    if expected and expected.lower() != "100-continue":
        return _Refusal(app, HTTPStatus.EXPECTATION_FAILED)
    return await handler(request)


def _handler(app: web.Application, server: web.Server, limits: ServerLimits) -> web.RequestHandler:
    handler = _PlainErrorHandler(
        server,
        loop=asyncio.get_running_loop(),
        logger=_log,
        access_log=None,  # type: ignore[arg-type] # as AppRunner documents it
        max_line_size=limits.line_bytes,
        max_field_size=limits.header_bytes,
        max_headers=limits.headers,
        read_bufsize=limits.line_bytes,  # of a body, which comes in chunks of a byte and 40 of ours
        keepalive_timeout=limits.idle_seconds,
        lingering_time=limits.body_seconds,
        auto_decompress=False,  # 200 kB would become 200 MB, before anybody is asked who he is
    )
    handler.app = app
    return handler


async def _accept(
    listener: socket.socket,
    table: ConnectionTable,
    tls: ssl.SSLContext | None,
    limits: ServerLimits,
) -> None:
    """Accept until cancelled; here, before any handshake, is known how many there are."""
    loop = asyncio.get_running_loop()
    while True:
        try:
            sock, address = await loop.sock_accept(listener)
        except OSError:
            await asyncio.sleep(_PAUSE_SECONDS)
            continue
        connection = table.admit(client_of(address), limits.request_seconds)
        if connection:
            connection.open(sock, tls, limits.handshake_seconds)
        else:
            refuse(sock, tls)


def _count_requests(app: web.Application, limits: ServerLimits) -> ConnectionTable:
    """A table that knows which of its connections are being answered.

    The outer middleware is entered when a request's headers are complete, the inner one when its
    user was let in: a connection that waits with a wrong password gives way.
    """
    table = ConnectionTable(limits.connections, limits.client_connections)

    @web.middleware
    async def time_requests(request: web.Request, handler: Handler) -> web.StreamResponse:
        connection = table.of_request(request)
        if connection is None:
            return await handler(request)
        connection.request_began()
        try:
            return await handler(request)
        finally:
            connection.request_ended()

    @web.middleware
    async def mark_answered(request: web.Request, handler: Handler) -> web.StreamResponse:
        if connection := table.of_request(request):
            connection.is_answered = True
        return await handler(request)

    app.middlewares.insert(0, time_requests)
    app.middlewares.append(mark_answered)
    return table
