"""Clients that are slow, large or many, against a real socket."""

import asyncio
import gzip
import socket
import time
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from exporter.tls_contexts import client_context, server_context
from exporter.web.application import secure
from exporter.web.responses import SECURITY_HEADERS
from exporter.web.server import DEFAULT, ServerLimits, serving
from tests.cpu_time import LIMIT, compared
from tests.web.certificates import Authority, pem

PLENTY = b"x" * 50_000_000
"""More than the socket buffers of both sides take."""


async def small(_request: web.Request) -> web.Response:
    return web.Response(text="fine\n")


async def large(_request: web.Request) -> web.Response:
    return web.Response(body=PLENTY)


@asynccontextmanager
async def served(limits: ServerLimits = DEFAULT) -> AsyncIterator[int]:
    app = web.Application()
    app.add_routes([web.get("/", small), web.get("/large", large)])
    listener = socket.create_server(("127.0.0.1", 0))
    async with serving(app, listener, limits=limits):
        yield listener.getsockname()[1]


async def told(port: int, sent: bytes) -> bytes:
    """What the server says until it hangs up."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(sent)
    async with asyncio.timeout(10):
        said = await reader.read()
    writer.close()
    return said


@pytest.mark.parametrize(
    "request_",
    [
        b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: " + b"x" * 9000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X-Many: x\r\n" * 65 + b"\r\n",
    ],
    ids=["a long address", "a long header", "many headers"],
)
async def test_what_is_too_large_is_a_bad_request(
    request_: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with served() as port:
        assert (await told(port, request_)).startswith(b"HTTP/1.0 400 ")
        assert b"fine" in await told(
            port, b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        )
    assert "x" * 1000 not in caplog.text


@pytest.mark.parametrize(
    "begun", [b"", b"GET / HTTP/1.1\r\nHost", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"]
)
async def test_a_client_that_does_not_go_on_is_let_go(begun: bytes) -> None:
    async with served(replace(DEFAULT, idle_seconds=0.3)) as port:
        assert (b"fine" in await told(port, begun)) == begun.endswith(b"\r\n\r\n")


async def test_a_client_that_drips_is_let_go() -> None:
    async with served(replace(DEFAULT, idle_seconds=0.3)) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        ended = asyncio.create_task(reader.read())
        writer.write(b"GET / HTTP/1.1\r\n")
        async with asyncio.timeout(10):
            while not ended.done():
                writer.write(b"X")
                await asyncio.wait({ended}, timeout=0.05)
        assert ended.exception() or ended.result() == b""
        writer.close()


async def test_a_client_that_does_not_read_is_let_go() -> None:
    limits = replace(DEFAULT, connections=1, unread_seconds=1.0)
    async with served(limits) as port:
        deaf = socket.create_connection(("127.0.0.1", port))
        deaf.sendall(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
        again = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        assert_is_ours(await told(port, again), 503)
        async with asyncio.timeout(30):
            while b"fine" not in await told(port, again):  # noqa: ASYNC110 - the kernel lets go
                await asyncio.sleep(0.1)
        deaf.close()


BOMB = bytes(100_000_000)


@pytest.mark.parametrize("line", [b"GET /", b"POST /", b"GET /nowhere"])
@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
async def test_no_body_is_unpacked(line: bytes, encoding: str) -> None:
    body = gzip.compress(BOMB) if encoding == "gzip" else zlib.compress(BOMB)
    head = b"%s HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Encoding: %s\r\n" % (
        line,
        encoding.encode(),
    )
    sent = head + b"Content-Length: %d\r\n\r\n" % len(body) + body
    async with served() as port:
        began = time.thread_time()
        await told(port, sent)
        assert compared(time.thread_time() - began) < 2 * LIMIT, "what the client's side takes, too"


@asynccontextmanager
async def held(port: int, count: int, source: str = "127.0.0.1", sent: bytes = b"") -> Any:
    """So many connections of one client, each with these bytes sent."""
    writers = []
    for _ in range(count):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(source, 0))
        writer.write(sent)
        writers.append((reader, writer))
    await asyncio.sleep(0.3)
    yield writers
    for _, writer in writers:
        writer.transport.abort()


HALF = b"GET / HTTP/1.1\r\nX: "
WHOLE = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
UNREAD = b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.mark.parametrize("sent", [b"", HALF, WHOLE.replace(b"close", b"keep-alive")])
async def test_an_idle_connection_gives_way_to_a_new_one(sent: bytes) -> None:
    async with served(replace(DEFAULT, connections=2)) as port, held(port, 2, sent=sent) as others:
        assert b"fine" in await told(port, WHOLE)
        await asyncio.sleep(0.05)
        gone = [reader.at_eof() or reader.exception() is not None for reader, _ in others]
        assert sum(gone) <= 1 + (sent.startswith(b"GET / HTTP/1.1\r\nHost"))


async def test_a_client_at_its_limit_costs_itself_alone() -> None:
    limits = replace(DEFAULT, connections=8, client_connections=3)
    async with (
        served(limits) as port,
        held(port, 2, "127.0.0.2") as kubelet,
        held(port, 20, "127.0.0.3", HALF),
    ):
        for reader, writer in kubelet:
            writer.write(WHOLE)
            assert b"fine" in await reader.read()
        assert b"fine" in await told(port, WHOLE)


async def test_of_many_clients_the_one_with_the_most_gives_way() -> None:
    limits = replace(DEFAULT, connections=8)
    async with (
        served(limits) as port,
        held(port, 2, "127.0.0.2") as kubelet,
        held(port, 50, "127.0.0.3", HALF),
        held(port, 3, "127.0.0.4", HALF),
    ):
        for reader, writer in kubelet:
            writer.write(WHOLE)
            assert b"fine" in await reader.read()


async def test_one_connection_too_many_is_told_so_where_all_others_are_answered() -> None:
    async with served(replace(DEFAULT, connections=2)) as port, held(port, 2, sent=UNREAD):
        refused = await told(port, b"")
        assert refused.startswith(b"HTTP/1.1 503 ")
        head, _, body = refused.partition(b"\r\n\r\n")
        assert f"Content-Length: {len(body)}".encode() in head


@pytest.mark.parametrize("first", [b"", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"])
async def test_half_a_request_has_its_time_the_first_and_any_other(first: bytes) -> None:
    async with served(replace(DEFAULT, request_seconds=0.3)) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        if first:
            writer.write(first)
            assert b"fine" in await reader.readuntil(b"fine\n")
            await asyncio.sleep(0.5)
        writer.write(HALF)
        async with asyncio.timeout(5):
            with suppress(ConnectionError):
                assert await reader.read() == b""
        writer.close()


async def test_half_a_request_behind_a_whole_one_has_its_time_too() -> None:
    async with served(replace(DEFAULT, request_seconds=0.3)) as port:
        async with asyncio.timeout(5):
            answer = await told(port, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" + HALF)
        assert answer.endswith(b"fine\n")


async def test_a_handshake_that_is_not_made_counts_as_a_connection(tmp_path: Path) -> None:
    authority = Authority("first")
    authority.issue(tmp_path, "tls", "served")
    tls = server_context()
    tls.load_cert_chain(tmp_path / "tls.crt", tmp_path / "tls.key")
    context = client_context()
    context.load_verify_locations(cadata=pem(authority.certificate).decode())
    app = web.Application()
    app.add_routes([web.get("/", small)])
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    limits = replace(DEFAULT, client_connections=3)
    async with serving(app, listener, tls, limits), held(port, 20) as silent:
        ended = [reader.at_eof() or reader.exception() is not None for reader, _ in silent]
        assert sum(ended) == 17  # the newest gave way: nothing was there that is due
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
        writer.write(WHOLE)
        assert b"fine" in await reader.read()
        writer.close()
        await writer.wait_closed()


async def test_an_answer_in_flight_is_finished_when_the_server_ends() -> None:
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def slow(_request: web.Request) -> web.Response:
        asked.set()
        await go_on.wait()
        return web.Response(text="finished")

    app = web.Application()
    app.add_routes([web.get("/", slow)])
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    async with serving(app, listener):
        answer = asyncio.create_task(told(port, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"))
        await asked.wait()
        asyncio.get_running_loop().call_later(0.1, go_on.set)
    assert b"finished" in await answer


NO_HTTP = [
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"GET / HTTP/9.9\r\n\r\n",
    b"GET /\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET http://[::1/ HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: [\r\nContent-Length: -1\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc",
    b"CONNECT a:1 HTTP/1.1\r\nHost: x\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"GET / HTTP/1.1\r\nExpect: <b>\xff\r\nHost: x\r\n\r\n",
    b"\x00" * 100,
    b"GET / HTTP/1.1\r\nHost: x\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\nabcde",
    b"POST / HTTP/1.1\r\nHost: x\r\nContent-Encoding: br\r\nContent-Length: 5\r\n\r\nabcde",
]


@pytest.mark.parametrize("sent", NO_HTTP)
@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "tls"])
async def test_what_is_no_http_writes_no_traceback(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, sent: bytes, *, encrypted: bool
) -> None:
    Authority("first").issue(tmp_path, "tls", "served")
    tls = server_context()
    tls.load_cert_chain(tmp_path / "tls.crt", tmp_path / "tls.key")
    app = web.Application()
    app.add_routes([web.get("/", small)])
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    async with serving(app, listener, tls if encrypted else None):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(sent)
        with suppress(ConnectionError, TimeoutError):
            async with asyncio.timeout(0.2):
                await reader.read()
        writer.transport.abort()
        await asyncio.sleep(0.05)
    assert [record.getMessage() for record in caplog.records] == []


@pytest.mark.parametrize(
    "sent",
    [
        *(one for one in NO_HTTP if b"abc" not in one),
        b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: " + b"x" * 9000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X-Many: x\r\n" * 65 + b"\r\n",
        b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nHost: <b>\r\n\r\n",
        b"GET /broken HTTP/1.1\r\nHost: x\r\nAccept: text/html\r\n\r\n",
        b"GET /late HTTP/1.1\r\nHost: x\r\n\r\n",
        b"BREW /<b> HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /none HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"PUT / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    ],
)
async def test_every_refusal_has_the_headers_of_any_answer_and_quotes_nothing(sent: bytes) -> None:
    async def broken(_request: web.Request) -> web.Response:
        raise LookupError("<b>")

    async def late(_request: web.Request) -> web.Response:
        raise TimeoutError

    app = web.Application()
    app.on_response_prepare.append(secure)
    app.add_routes([web.get("/", small), web.get("/broken", broken), web.get("/late", late)])
    listener = socket.create_server(("127.0.0.1", 0))
    async with serving(app, listener, limits=replace(DEFAULT, idle_seconds=0.5)):
        said = (await told(listener.getsockname()[1], sent)).removeprefix(CONTINUE)
    assert_is_ours(said, *range(400, 506))


CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


def assert_is_ours(said: bytes, *statuses: int) -> None:
    """One of these statuses, our headers, a line of plain text, and nothing of the request."""
    head, _, body = said.partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    assert int(status.split()[1]) in statuses
    assert SECURITY_HEADERS.items() <= headers.items()
    assert headers["Cache-Control"] == "no-store"
    assert headers["Content-Type"] == "text/plain; charset=utf-8"
    assert int(headers["Content-Length"]) == len(body)
    assert len(body.splitlines()) == 1
    assert not any(part in said for part in (b"aiohttp", b"Python", b"<b>", b"xxx", b"\xff"))


async def test_a_fault_of_ours_is_logged_once_with_its_traceback(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def broken(_request: web.Request) -> web.Response:
        raise LookupError("ours")

    app = web.Application()
    app.add_routes([web.get("/", broken)])
    listener = socket.create_server(("127.0.0.1", 0))
    async with serving(app, listener):
        for _ in range(3):
            assert b" 500 " in await told(listener.getsockname()[1], WHOLE)
    assert len([record for record in caplog.records if record.exc_info]) == 1
