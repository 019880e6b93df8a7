"""An HTTP/1.1 client for probes: one connection, GET only, read up to a limit.

`HttpClient` talks, `HttpProtocol` understands bytes (httptools). The client takes a `Path` of
`paths` and no other string. It requests neither compression nor closing: the prober closes.
"""

import time
from typing import Protocol

import httptools
from msgspec import Struct

from exporter.bounds import HEADERS, PIECES
from exporter.model import Outcome
from exporter.parsing import bracketed
from exporter.probes.attempt import Attempt, Closed, Malformed, ProbeProtocol, ProbeResult, TooLarge
from exporter.probes.page_reader import PageReader
from exporter.probes.paths import Path
from exporter.transport.waiter import Waiter

_TELLING = frozenset(map(len, (b"server", b"content-length", b"transfer-encoding")))
"""How long the names of the headers are that are read."""


class Reply(Struct, frozen=True):
    """One HTTP answer. `server` is the Server header in lower case, empty without one."""

    status: int
    server: bytes
    body: bytes


class Asking(Protocol):
    """Whoever waits for the answer to a request; it may send the next one at once."""

    def set_result(self, value: Reply) -> None:
        """The answer."""

    def set_exception(self, error: BaseException) -> None:
        """What went wrong."""


class HttpProtocol(ProbeProtocol):
    """One HTTP connection: a request out, its answer in, one at a time."""

    __slots__ = (
        "_body",
        "_by_length",
        "_headed",
        "_left",
        "_limit",
        "_parser",
        "_pieces",
        "_reader",
        "_server",
        "_waiter",
        "_whole",
        "lost",
    )

    def __init__(self) -> None:
        self._left = self._limit = 0
        self._waiter: Asking | None = None
        self.lost: Exception | None = None

    def send(self, request: bytes, most: int, reader: PageReader | None = None) -> Waiter[Reply]:
        """Send a request as `ask` does; the waiter results in its answer, or raises."""
        waiter: Waiter[Reply] = Waiter()
        self.ask(request, most, reader, waiter)
        return waiter

    def ask(self, request: bytes, most: int, reader: PageReader | None, waiter: Asking) -> None:
        """Send a request; `waiter` gets its answer, or what went wrong.

        `most` limits this answer, in bytes. A `reader` is fed the body, and the answer's body is
        what it kept.
        """
        self._limit = self._left = most
        if self.lost is not None:
            waiter.set_exception(self.lost)
            return
        self._parser = httptools.HttpResponseParser(self)
        self._reader = reader
        self._body: bytes | bytearray = b""
        self._server = b""
        self._headed = self._by_length = False
        self._pieces = 0
        self._whole: Reply | None = None
        self._waiter = waiter
        self.transport.write(request)

    @property
    def is_free(self) -> bool:
        """Whether another request can be sent: nothing was lost, and no answer is outstanding."""
        return self.lost is None and self._waiter is None

    def data_received(self, data: bytes) -> None:
        """Feed the parser; stop at the byte limit or at the first byte that is not HTTP.

        The answer is set when the parser has returned: who waits may send again at once, and
        what stands behind an answer belongs to no request.
        """
        if self._waiter is None:
            self._fail(Malformed("bytes without a request"))
            return
        self._left -= len(data)
        if self._left < 0:
            self._fail(TooLarge(self._limit))
            return
        fault: Malformed | None = None
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            fault = Malformed("the answer is not HTTP")
        if self._whole is not None:
            self.lost = self.lost or fault
            self._end(self._whole)
        elif fault is not None:
            self._fail(fault)
        elif not self._headed and self._limit - self._left > HEADERS:
            self._fail(TooLarge(HEADERS))
        elif self._pieces > PIECES:
            self._fail(TooLarge(self._limit - self._left))

    def connection_lost(self, exc: Exception | None) -> None:
        """End the request in flight: an answer without a length ends with the connection."""
        self.lost = self.lost or exc or Closed()
        if self._waiter is None:
            return
        if exc is None and self._headed and not self._by_length:
            self._end(self._reply())
        else:
            self._end(self.lost)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Note who answers and whether the answer declares its length (called by the parser).

        What stands behind the body is a piece of it, and no header.
        """
        if self._headed:
            self._pieces += 1
            return
        if len(name) not in _TELLING:
            return
        match name.lower():
            case b"server":
                self._server = value.lower()
            case b"content-length" | b"transfer-encoding":
                self._by_length = True

    def on_headers_complete(self) -> None:
        """Note that only the body can be missing now (called by the parser)."""
        self._headed = True

    def on_body(self, data: bytes) -> None:
        """Collect the body (called by the parser)."""
        self._pieces += 1
        if self._reader is None:
            if not self._body:
                self._body = data  # one piece, as a rule
                return
            if isinstance(self._body, bytes):  # a list of many pieces takes many times their length
                self._body = bytearray(self._body)
            self._body += data
        else:
            self._reader.feed(data)

    def on_message_complete(self) -> None:
        """Keep the answer (called by the parser)."""
        if self._whole is not None:  # an answer without a request
            return
        if self._parser.get_status_code() < 200:  # noqa: PLR2004 - 1xx: the answer follows
            self._headed = False
            return
        if not self._parser.should_keep_alive():
            self.lost = Closed()
        self._whole = self._reply()

    def drop(self) -> None:
        """Drop the connection; nobody waits any more."""
        if self._waiter is not None:
            self._end(Closed())
        super().drop()

    def _reply(self) -> Reply:
        body = bytes(self._body) if self._reader is None else self._reader.kept
        return Reply(self._parser.get_status_code(), self._server, body)

    def _fail(self, error: Exception) -> None:
        self.lost = error
        if self._waiter is not None:
            self._end(error)
        self.transport.abort()

    def _end(self, how: Reply | Exception) -> None:
        """End the request in flight; the parser, which calls back here, goes with it."""
        waiter, self._waiter = self._waiter, None
        self._whole = None
        del self._parser
        if waiter is None:
            return
        if isinstance(how, Reply):
            waiter.set_result(how)
        else:
            waiter.set_exception(how)


class HttpClient:
    """The requests of one probe, over one connection; a new one only where the peer closed.

    A line that is handed in (one inside TLS) is never replaced.
    """

    __slots__ = ("_attempt", "_given", "_host", "_line")

    def __init__(self, attempt: Attempt, line: HttpProtocol | None = None) -> None:
        self._host = host_lines(attempt)
        self._given = line is not None
        self._line = line
        self._attempt = attempt

    async def get(
        self,
        path: Path,
        authorization: bytes = b"",
        reader: PageReader | None = None,
    ) -> Reply:
        """GET a path.

        A `reader` takes the body piece by piece; the reply has what it keeps, and so has the
        reader, however this ends.

        Raises:
            Closed, Malformed, TooLarge, OSError, NoAccess: as `failure` maps them.
        """
        if type(path) is not Path:
            raise TypeError("only paths of probes.paths are sent")
        line = self._line
        if line is None or (not line.is_free and not self._given):
            line = self._line = await self._attempt.connect(HttpProtocol)
            self._attempt.asked = self._attempt.asked or time.monotonic()
        reader = reader or reader_of(path)
        if authorization:
            lines = b"\r\nAuthorization: " + authorization + b"\r\n\r\n"
            return await line.send(path.head + self._host[:-4] + lines, path.most, reader)
        return await line.send(path.head + self._host, path.most, reader)


def host_lines(attempt: Attempt) -> bytes:
    """What follows a path's `head`: the value of Host, and the end of the headers."""
    return f"{bracketed(attempt.dialer.address)}:{attempt.probe.port}\r\n\r\n".encode()


def reader_of(path: Path) -> PageReader | None:
    """What reads a page that is not kept: it keeps the page's start."""
    return None if path.kept else PageReader()


def result_of_error_status(
    reply: Reply, attempt: Attempt, *, of_envoy: bool = False
) -> ProbeResult | None:
    """What the status alone means where it is an error for any port; None where it is not.

    A captured port that nobody serves answers 503 with the pod's own `istio-envoy` and its reason
    in the body: that is the redirection's answer and proves nothing. A refusal on a port `of_envoy`
    is Envoy's only with its header: any process can refuse.
    """
    if reply.status == 503 and is_relayed(reply, attempt) and reply.body:  # noqa: PLR2004
        return ProbeResult(Outcome.CAPTURED, "only the pod's redirection answered")
    if reply.status in (401, 403):
        if of_envoy and reply.server != b"envoy" and not is_relayed(reply, attempt):
            return ProbeResult(Outcome.WRONG_IDENTITY, f"HTTP {reply.status}, and not from Envoy")
        return ProbeResult(Outcome.FORBIDDEN, f"HTTP {reply.status}")
    return None


def is_relayed(reply: Reply, attempt: Attempt) -> bool:
    """Whether the pod's own redirection relayed the answer, and put its name in its place."""
    return attempt.probe.captured and reply.server == b"istio-envoy"
