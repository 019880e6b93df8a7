"""Takes what a peer sends in pieces, each in its turn, and reads nothing more meanwhile.

One read brings up to 256 kB, of which the smallest chunks, requests, records or messages are tens
of thousands, and an implementation of HTTP or TLS takes all of them apart in one call. The rule:
what a peer sends holds the event loop for no longer than one piece takes.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Protocol, cast

from exporter.turn import Turn

PIECE_BYTES = 4096
"""An ordinary request has less. Of the smallest chunks of HTTP, 700 in a piece, it takes 1 ms."""


class _Receiver(Protocol):
    """What a transport calls of its protocol."""

    def data_received(self, data: bytes) -> None: ...
    def eof_received(self) -> bool | None: ...
    def pause_writing(self) -> None: ...
    def resume_writing(self) -> None: ...
    def connection_lost(self, exc: Exception | None) -> None: ...


def control_flow(
    transport: asyncio.BaseTransport, receiver: _Receiver, turn: Turn
) -> asyncio.Transport:
    """The transport that a protocol is to use in the place of this one, which it was given.

    `turn`: shared with all who together are to take no longer than one.
    """
    whole = cast("asyncio.Transport", transport)
    flow = _FlowControl(whole, receiver.data_received, turn)
    whole.set_protocol(cast("asyncio.Protocol", _Lowest(receiver, flow)))
    return cast("asyncio.Transport", flow)


class _FlowControl:
    """A transport whose bytes go to `take` in pieces; whoever takes them may pause it."""

    def __init__(
        self, transport: asyncio.Transport, take: Callable[[bytes], None], turn: Turn
    ) -> None:
        self._transport = transport
        self._take = take
        self._turn = turn
        self._rest = bytearray()
        self._is_called = self._is_paused = False

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - as the transport has it
        """What is not about reading is the transport's own."""
        return getattr(self._transport, name)

    def is_reading(self) -> bool:
        """Whether what comes is taken."""
        return not self._is_paused

    def pause_reading(self) -> None:
        """Take nothing more; what has come is kept."""
        self._is_paused = True
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Take again: first what has come meanwhile."""
        self._is_paused = False
        self._go_on()

    def receive(self, data: bytes) -> None:
        """Hand it on: now, as far as this turn allows; the rest later."""
        self._rest += data
        self._go_on()

    def _go_on(self) -> None:
        if self._rest and not self._is_called:
            self._is_called = True
            self._turn.call(self._take_rest)
        if self._rest:
            self._transport.pause_reading()
        elif not self._is_paused:
            self._transport.resume_reading()

    def _take_rest(self) -> None:
        """Take pieces until the turn is over, nothing is left, or nothing more is wanted."""
        while self._rest and not self._is_paused and not self._transport.is_closing():
            piece = bytes(self._rest[:PIECE_BYTES])
            del self._rest[:PIECE_BYTES]
            self._take(piece)
            if self._rest and self._turn.is_over():
                self._turn.call(self._take_rest)
                return
        self._is_called = False
        if not self._rest and not self._is_paused:
            self._transport.resume_reading()


class _Lowest:
    """The protocol that the transport calls: the receiver, but for what it receives."""

    def __init__(self, receiver: _Receiver, flow: _FlowControl) -> None:
        self.data_received = flow.receive
        self.eof_received = receiver.eof_received
        self.pause_writing = receiver.pause_writing
        self.resume_writing = receiver.resume_writing
        self.connection_lost = receiver.connection_lost
