"""What TLS itself may bring after a handshake: little, beside the bytes of the line on top."""

import asyncio
import ssl
from typing import Any

import pytest

from exporter.bounds import HANDSHAKE
from exporter.probes.attempt import ProbeProtocol, TooLarge
from exporter.probes.tls import TlsProtocol


class Connection:
    """Both ends of a connection without a network; `fed` are the server's bytes that were read."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.server = context.wrap_bio(self._in, self._out, server_side=True)
        self.line = TlsProtocol(("h2",))
        self.is_open = True
        self.fed = 0
        self.line.connection_made(self)  # type: ignore[arg-type]
        while not self.line.done.done() or self._in.pending:
            try:
                self.server.do_handshake()
            except ssl.SSLWantReadError:
                self.feed()
            else:
                break

    def write(self, data: bytes) -> None:
        self._in.write(data)

    def abort(self) -> None:
        self.is_open = False

    def feed(self, piece: int = 4096) -> None:
        """Hand over what the server has written, in pieces."""
        while self._out.pending and self.is_open:
            data = self._out.read(piece)
            self.fed += len(data)
            self.line.data_received(data)


class Page(ProbeProtocol):
    """A line on top that counts what it gets."""

    def __init__(self) -> None:
        self.size = 0
        self.lost: Exception | None = None

    def data_received(self, data: bytes) -> None:
        self.size += len(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = exc


@pytest.mark.parametrize("has_line", [False, True])
@pytest.mark.parametrize("piece", [100, 4096, 65536])
async def test_tickets_without_end_end_the_connection(tls: Any, has_line: bool, piece: int) -> None:
    context = tls("h2")
    context.num_tickets = 2000
    connection = Connection(context)
    page = connection.line.connect_socket(Page()) if has_line else None
    connection.feed(piece)
    assert not connection.is_open
    assert connection.fed < 3 * HANDSHAKE
    assert connection.line.done.exception() is None
    assert page is None or isinstance(page.lost, TooLarge)


@pytest.mark.parametrize("record", [200, 4096, 16384, 60_000])
@pytest.mark.parametrize("piece", [1000, 32768])
async def test_a_long_page_is_no_handshake(tls: Any, record: int, piece: int) -> None:
    connection = Connection(tls("h2"))
    page = connection.line.connect_socket(Page())
    size = 0
    while size < min(64 * HANDSHAKE, 2000 * record):
        size += connection.server.write(b"x" * record)
        if size % 5 == 0:
            connection.feed(piece)
        await asyncio.sleep(0)
    connection.feed(piece)
    assert (page.size, page.lost, connection.is_open) == (size, None, True)
