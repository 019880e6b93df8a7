"""Clients that are slow, large or many, against a real socket."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from aiohttp import web

from exporter.web.server import DEFAULT, ServerLimits, serving

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
        assert b"503" in await told(port, again)
        async with asyncio.timeout(30):
            while b"fine" not in await told(port, again):  # noqa: ASYNC110 - the kernel lets go
                await asyncio.sleep(0.1)
        deaf.close()


async def test_one_connection_too_many_is_told_so() -> None:
    async with served(replace(DEFAULT, connections=2)) as port:
        held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
        refused = await told(port, b"")
        for reader, writer in held:
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert await reader.readuntil(b"fine\n")
        assert refused.startswith(b"HTTP/1.1 503 ")
        head, _, body = refused.partition(b"\r\n\r\n")
        assert f"Content-Length: {len(body)}".encode() in head
        for _, writer in held:
            writer.close()


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
