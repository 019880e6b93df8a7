"""An API server whose HTTP costs the most to take apart: nobody's turn gets long."""

import asyncio
import contextlib
import socket
import threading
import time
import zlib
from collections.abc import AsyncIterator

import pytest

from exporter.kube.api_errors import KubernetesError
from exporter.kube.client import KubernetesClient
from exporter.kube.credentials import Credentials
from tests.cpu_time import LIMIT, compared

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n"
ZIPPED = b"Content-Encoding: gzip\r\n"


def bomb(megabytes: int) -> bytes:
    """So much, zipped to a thousandth."""
    zipping = zlib.compressobj(9, wbits=31)
    return b"".join(zipping.compress(bytes(2**20)) for _ in range(megabytes)) + zipping.flush()


def in_chunks(data: bytes) -> bytes:
    """A chunk for each byte."""
    return b"".join(b"1\r\n%c\r\n" % byte for byte in data)


RESPONSES = {
    "chunks of a byte": (CHUNKED + b"\r\n", b"1\r\n \r\n"),
    "chunks with extensions": (CHUNKED + b"\r\n", b"1;a=b\r\n \r\n"),
    "interim responses": (b"", b"HTTP/1.1 100 C\r\n\r\n"),
    "interim responses with headers": (b"", b"HTTP/1.1 103 C\r\nA: b\r\n\r\n"),
    "responses": (b"", OK + b"Content-Length: 0\r\n\r\n"),
    "zipped": (OK + ZIPPED + b"\r\n", bomb(40)),
    "zipped in chunks of a byte": (CHUNKED + ZIPPED + b"\r\n", in_chunks(bomb(40))),
    "lines": (CHUNKED + b"\r\n", b"10000\r\n" + b"\n" * 0x10000 + b"\r\n"),
}
"""How each response begins, and what then comes again and again."""


def respond(server: socket.socket, first: bytes, again: bytes) -> None:
    """To everybody the same, without end."""
    whole = again * max(1, 2**17 // len(again))
    while True:
        try:
            connection, _ = server.accept()
        except OSError:
            return
        with connection, contextlib.suppress(OSError):
            connection.recv(2**16)
            connection.sendall(first)
            while True:
                connection.sendall(whole)


@contextlib.asynccontextmanager
async def responding(first: bytes, again: bytes) -> AsyncIterator[KubernetesClient]:
    """A client of such a server, which has a thread of its own."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=respond, args=(server, first, again), daemon=True).start()

        async def load() -> Credentials:
            return Credentials(f"http://127.0.0.1:{server.getsockname()[1]}")

        async with KubernetesClient(load) as api:
            yield api
        server.shutdown(socket.SHUT_RDWR)


async def get(api: KubernetesClient) -> None:
    await api.get("/api", {})


async def read_lines(api: KubernetesClient) -> None:
    async with api.stream("/api", {}) as lines:
        async for _ in lines:
            await asyncio.sleep(0)


@pytest.mark.alone
@pytest.mark.usefixtures("without_collections")
@pytest.mark.parametrize("request_", [get, read_lines])
@pytest.mark.parametrize(("first", "again"), RESPONSES.values(), ids=RESPONSES)
async def test_whatever_a_server_sends_leaves_others_their_turn(
    request_: object, first: bytes, again: bytes
) -> None:
    assert callable(request_)
    held = []
    for _ in range(2):
        async with responding(first, again) as api:
            task = asyncio.create_task(request_(api))
            longest, until, last = 0.0, time.monotonic() + 1, time.thread_time()
            while time.monotonic() < until and not task.done():
                await asyncio.sleep(0)
                now = time.thread_time()
                longest, last = max(longest, now - last), now
            held.append(compared(longest))
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, KubernetesError):
                await task
    assert min(held) < LIMIT
