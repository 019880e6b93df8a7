"""A port-forward whose other side sends small messages without end, or reads none of ours."""

import asyncio
import base64
import contextlib
import hashlib
import socket
import threading
import time
from collections.abc import AsyncIterator

import pytest

from exporter.access.forwarded_streams import StreamBundle
from exporter.kube.client import KubernetesClient
from exporter.kube.credentials import Credentials
from exporter.kube.websocket import CLOSE_SECONDS
from tests.cpu_time import LIMIT, compared

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
"""What a server appends to a client's key (RFC 6455, 1.3)."""

FRAMES = {
    "bytes": b"\x82\x02\x00a",
    "errors": b"\x82\x02\x01e",
    "pings": b"\x89\x00",
    "text": b"\x81\x00",
    "masked": b"\x82\x82abcd\x00a",
    "pieces": b"\x02\x00" + b"\x00\x00" * 50 + b"\x80\x00",
    "closes": b"\x88\x02\x03\xe8",
}


def flood(server: socket.socket, frame: bytes) -> None:
    """Upgrade whoever connects, and send this frame without end."""
    connection, _ = server.accept()
    with connection, contextlib.suppress(OSError):
        head = b""
        while b"\r\n\r\n" not in head:
            head += connection.recv(4096)
        rows = head.split(b"\r\n")
        key = next(row for row in rows if row.lower().startswith(b"sec-websocket-key"))
        accept = base64.b64encode(hashlib.sha1(key.split(b": ")[1] + _GUID).digest())
        connection.sendall(
            b"HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Protocol: v4.channel.k8s.io\r\nSec-WebSocket-Accept: "
            + accept
            + b"\r\n\r\n"
        )
        while True:
            connection.sendall(frame * (2**18 // len(frame)))


@contextlib.asynccontextmanager
async def flooding(frame: bytes) -> AsyncIterator[KubernetesClient]:
    """A client of such a server, which has a thread of its own."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=flood, args=(server, frame), daemon=True)
        thread.start()

        async def load() -> Credentials:
            return Credentials(f"http://127.0.0.1:{server.getsockname()[1]}")

        async with KubernetesClient(load) as api:
            yield api
        await asyncio.to_thread(thread.join, 10)


@pytest.mark.alone
@pytest.mark.usefixtures("without_collections")
@pytest.mark.parametrize("frame", FRAMES.values(), ids=FRAMES)
async def test_messages_without_end_leave_others_their_turn(frame: bytes) -> None:
    """Until the connection is closed: what has come by then is not read in one turn either."""
    async with flooding(frame) as api:

        async def receive() -> None:
            async with api.forward("shop", "cart", (15000,)) as wire:
                await StreamBundle((15000,)).receive(wire)

        task = asyncio.create_task(receive())
        held, until = [], time.monotonic() + 0.2
        while not task.done():
            began = time.thread_time()
            await asyncio.sleep(0)
            held.append(time.thread_time() - began)
            if time.monotonic() > until:
                until += 20 * CLOSE_SECONDS
                task.cancel()
        await asyncio.wait({task})
    assert compared(max(held)) < LIMIT
