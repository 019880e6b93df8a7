"""A port-forward whose other side sends small messages without end, or reads none of ours."""

import asyncio
import base64
import contextlib
import hashlib
import time
from collections.abc import AsyncIterator

import pytest

from exporter.access.forwarded_streams import StreamBundle
from exporter.kube.client import KubernetesClient
from exporter.kube.credentials import Credentials
from exporter.kube.websocket import CLOSE_SECONDS

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
"""What a server appends to a client's key (RFC 6455, 1.3)."""

FRAMES = {
    "bytes": b"\x82\x02\x00a",
    "nothing": b"\x82\x00",
    "of another channel": b"\x82\x01\xff",
    "errors": b"\x82\x02\x01e",
    "pings": b"\x89\x00",
}


@contextlib.asynccontextmanager
async def flooding(frame: bytes) -> AsyncIterator[KubernetesClient]:
    """A client of a server that upgrades, and then sends this frame without end."""
    flood = frame * (2**18 // len(frame))

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        key = next(
            row for row in head.split(b"\r\n") if row.lower().startswith(b"sec-websocket-key")
        )
        accept = base64.b64encode(hashlib.sha1(key.split(b": ")[1] + _GUID).digest())
        writer.write(
            b"HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Protocol: v4.channel.k8s.io\r\nSec-WebSocket-Accept: " + accept
        )
        writer.write(b"\r\n\r\n")
        with contextlib.suppress(OSError):
            while True:
                writer.write(flood)
                await writer.drain()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"

    async def load() -> Credentials:
        return Credentials(address)

    try:
        async with KubernetesClient(load) as api:
            yield api
    finally:
        server.close()


@pytest.mark.alone
@pytest.mark.parametrize("frame", FRAMES.values(), ids=FRAMES)
async def test_messages_without_end_leave_others_their_turn(frame: bytes) -> None:
    async with flooding(frame) as api:

        async def receive() -> None:
            async with api.forward("shop", "cart", (15000,)) as wire:
                await StreamBundle((15000,)).receive(wire)

        task = asyncio.create_task(receive())
        held, until = [], time.monotonic() + 0.4
        while time.monotonic() < until:
            began = time.thread_time()
            await asyncio.sleep(0)
            held.append(time.thread_time() - began)
        task.cancel()
        done, _ = await asyncio.wait({task}, timeout=20 * CLOSE_SECONDS)
        assert done
    # Our turn and the server's. The first ones import and allocate; a flood fills them all.
    assert sorted(held)[-3] < 0.08
