"""What a peer sends arrives whole, in pieces, and only as fast as it is taken."""

import asyncio
import socket
from contextlib import suppress

import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.flow_control import PIECE_BYTES, control_flow
from exporter.turn import Turn

CHUNKS = st.lists(st.integers(1, 4 * PIECE_BYTES).map(lambda size: bytes(range(251)) * size))


class Taker(asyncio.Protocol):
    """Pauses after each so many pieces, for as long as a turn of the event loop."""

    def __init__(self, pause_every: int) -> None:
        self.pieces: list[bytes] = []
        self.ended = asyncio.Event()
        self.paused = False
        self._every = pause_every

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = control_flow(transport, self, Turn())

    def data_received(self, data: bytes) -> None:
        assert not self.paused
        self.pieces.append(data)
        if self._every and len(self.pieces) % self._every == 0:
            self.paused = True
            self.transport.pause_reading()
            asyncio.get_running_loop().call_soon(self._resume)

    def _resume(self) -> None:
        self.paused = False
        self.transport.resume_reading()

    def connection_lost(self, _exc: Exception | None) -> None:
        self.ended.set()


async def taken(chunks: list[bytes], pause_every: int) -> list[bytes]:
    """The pieces of what a peer sends before it closes."""
    loop = asyncio.get_running_loop()
    near, far = socket.socketpair()
    _, taker = await loop.create_connection(lambda: Taker(pause_every), sock=near)
    far.setblocking(False)  # noqa: FBT003 - as sockets have it
    with far:
        for chunk in chunks:
            await loop.sock_sendall(far, chunk)
    async with asyncio.timeout(20):
        await taker.ended.wait()
    return taker.pieces


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
@settings(max_examples=20, deadline=None)
@given(chunks=CHUNKS, pause_every=st.integers(0, 3))
def test_all_of_it_arrives_in_pieces_and_none_while_paused(
    run: object, chunks: list[bytes], pause_every: int
) -> None:
    assert callable(run)
    pieces = run(taken(chunks, pause_every))
    assert b"".join(pieces) == b"".join(chunks)
    assert max(map(len, pieces), default=0) <= PIECE_BYTES


async def sent_meanwhile(pieces: int) -> int:
    """How many bytes a peer could send to who took so many pieces and pauses after each."""
    loop = asyncio.get_running_loop()
    near, far = socket.socketpair()
    for side, option in (near, socket.SO_RCVBUF), (far, socket.SO_SNDBUF):
        side.setsockopt(socket.SOL_SOCKET, option, 4096)
    far.setblocking(False)  # noqa: FBT003 - as sockets have it
    _, taker = await loop.create_connection(lambda: Taker(1), sock=near)
    sent = 0
    while len(taker.pieces) < pieces:
        with suppress(BlockingIOError):
            while True:
                sent += far.send(bytes(2**16))
        await asyncio.sleep(0)
    taker.transport.abort()
    far.close()
    return sent


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_who_takes_slowly_has_no_more_kept_than_was_read_at_once(run: object) -> None:
    assert callable(run)
    few, many = run(sent_meanwhile(50)), run(sent_meanwhile(500))
    assert many - few < 450 * PIECE_BYTES + 2**18
