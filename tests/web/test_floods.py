"""Clients that send, without end, what costs the most to take apart: nobody's turn gets long."""

import asyncio
import contextlib
import select
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from aiohttp import web

from exporter.tls_contexts import client_context, server_context
from exporter.web.negotiation import accepts_gzip, choose_format
from exporter.web.server import serving
from tests.cpu_time import LIMIT, compared, longest_turn, seconds
from tests.web.certificates import Authority

CLIENTS = 60
SECONDS = 1.0
HEAD = b"GET / HTTP/1.1\r\nHost: x\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
UPGRADE = HEAD + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"

FLOODS = {
    "chunks of a byte": (CHUNKED, b"1\r\nx\r\n"),
    "requests": (b"", HEAD + b"\r\n"),
    "requests for what is not there": (b"", HEAD.replace(b"/", b"/x", 1) + b"\r\n"),
    "requests of long paths": (b"", HEAD.replace(b"/", b"/" + b"../" * 2600, 1) + b"\r\n"),
    "requests of many headers": (b"", HEAD + b"a:\r\n" * 60 + b"\r\n"),
    "empty lines": (b"", b"\r\n"),
    "bytes behind an upgrade": (UPGRADE, b"x"),
    "requests behind an upgrade": (UPGRADE, UPGRADE),
}
"""What each connection begins with, and what then comes again and again."""


def flood(address: tuple[str, int], first: bytes, again: bytes) -> None:
    """Send on as many connections at once; one that is closed is followed by the next."""
    whole = again * (2**17 // len(again))
    left: dict[socket.socket, bytes] = {}
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        while len(left) < CLIENTS:
            client = socket.create_connection(address)
            client.setblocking(False)  # noqa: FBT003 - as sockets have it
            left[client] = first + whole
        select.select(list(left), list(left), [], 0.1)
        for client, rest in list(left.items()):
            try:
                left[client] = rest[client.send(rest) :] or whole
                client.recv(2**20)
            except BlockingIOError:
                pass
            except OSError:
                client.close()
                del left[client]
    for client in left:
        client.close()


async def turn_beside(meanwhile: Callable[[], None]) -> float:
    """The most CPU time of a turn of this event loop while that runs in a thread."""
    running = asyncio.create_task(asyncio.to_thread(meanwhile))
    longest = await longest_turn(running)
    await running
    return compared(longest)


async def refuse(request: web.Request) -> web.Response:
    """As the exporter: no body is read."""
    return web.Response(status=413 if request.body_exists else 200)


def listening() -> tuple[web.Application, socket.socket]:
    app = web.Application()
    app.router.add_route("*", "/", refuse)
    return app, socket.create_server(("127.0.0.1", 0), backlog=128)


@pytest.mark.alone
@pytest.mark.usefixtures("without_collections")
@pytest.mark.parametrize(("first", "again"), FLOODS.values(), ids=FLOODS)
async def test_whatever_clients_send_leaves_others_their_turn(first: bytes, again: bytes) -> None:
    app, listener = listening()
    address = listener.getsockname()
    async with serving(app, listener):
        turns = [await turn_beside(lambda: flood(address, first, again)) for _ in range(2)]
        assert min(turns) < LIMIT


def shaken(
    address: tuple[str, int],
) -> Iterator[tuple[socket.socket, ssl.SSLObject, ssl.MemoryBIO]]:
    """Connections after their handshake."""
    context = client_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    for _ in range(CLIENTS):
        client = socket.create_connection(address)
        received, sent = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context.wrap_bio(received, sent)
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                client.sendall(sent.read())
                received.write(client.recv(2**16))
        yield client, tls, sent


def small_records(address: tuple[str, int]) -> None:
    """Records of a byte, on all connections at once."""
    clients = []
    for client, tls, sent in shaken(address):
        for _ in range(4000):
            tls.write(b"\n")
        client.setblocking(False)  # noqa: FBT003 - as sockets have it
        clients.append((client, sent.read()))
    for client, records in clients:
        with contextlib.suppress(OSError):
            client.send(records)
    time.sleep(SECONDS)
    for client, _ in clients:
        client.close()


@pytest.mark.alone
@pytest.mark.usefixtures("without_collections")
async def test_the_smallest_records_of_tls_leave_others_their_turn(tmp_path: Path) -> None:
    Authority("first").issue(tmp_path, "tls", "served")
    tls = server_context()
    tls.load_cert_chain(tmp_path / "tls.crt", tmp_path / "tls.key")
    app, listener = listening()
    address = listener.getsockname()
    async with serving(app, listener, tls):
        turns = [await turn_beside(lambda: small_records(address)) for _ in range(3)]
        assert min(turns) < LIMIT


@pytest.mark.parametrize("read", [choose_format, accepts_gzip])
@pytest.mark.parametrize("element", ["a,", "a;", ",", ";", "a;q=x,"])
def test_a_header_of_very_many_wishes_is_soon_read(
    read: Callable[[str], object], element: str
) -> None:
    header = element * (8000 // len(element))
    assert seconds(lambda: read(header)) < LIMIT / 4
