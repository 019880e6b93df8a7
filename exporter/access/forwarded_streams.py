"""The streams of one port-forward: the messages of `v4.channel.k8s.io`, as transports.

Port i of the request has channel 2i for data and 2i + 1 for errors; a message's first byte is its
channel, and the first message of each channel repeats the port, two bytes, little endian (kubelet
pkg/cri/streaming/portforward/websocket.go). A stream is open before the port was dialled: only
bytes, an error or an end tell what became of that. One stream's end does not show: the socket is
closed when all of them have ended.
"""

import asyncio
import errno
from collections.abc import Callable, Sequence

from exporter.access.dialer import NoAccess
from exporter.kube.websocket import PortForwardWebSocket
from exporter.transport.protocols import StreamT

MOST_PORTS = 128
"""Of one WebSocket: a channel is one byte, and each port has two."""

_MOST_EARLY = 65536
_MOST_ERROR = 4096
_ECHO = 2
_TEXT_LENGTH = 200


class Stream(asyncio.Transport):
    """One port's stream: the transport below a prober's protocol.

    `fault` is what the error channel reported, or why the socket broke; `is_over` that nothing
    follows.
    """

    def __init__(self, port: int, send: Callable[[bytes], None], drop: Callable[[], None]) -> None:
        super().__init__()
        self.port = port
        self.fault: Exception | None = None
        self.is_over = False
        self._send = send
        self._drop = drop
        self._protocol: asyncio.Protocol | None = None
        self._early = b""
        self._echoed = False

    def attach(self, factory: Callable[[], StreamT]) -> StreamT:
        """Put a protocol on top and give it what came before.

        Raises the stream's fault, but for a reset, which only an accepted connection can end in.
        """
        if self.fault is not None and not isinstance(self.fault, ConnectionResetError):
            raise self.fault
        self._protocol = protocol = factory()
        protocol.connection_made(self)
        if self._early:
            protocol.data_received(self._early)
        if self.is_over:
            asyncio.get_running_loop().call_soon(self._lose)
        return protocol

    def take(self, data: bytes) -> None:
        """Bytes of the data channel."""
        if not self._echoed:
            self._echoed, data = True, data[_ECHO:]
        if not data or self.is_over:
            return
        if self._protocol is None:
            self._early = (self._early + data)[:_MOST_EARLY]
        else:
            self._protocol.data_received(data)

    def end(self, fault: Exception | None) -> None:
        """Nothing follows; by a fault, or because the pod's side closed."""
        if not self.is_over:
            self.is_over, self.fault = True, fault
            self._lose()

    def _lose(self) -> None:
        protocol, self._protocol = self._protocol, None
        if protocol is not None:
            protocol.connection_lost(self.fault)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send to the port."""
        if not self.is_over:
            self._send(bytes(data))

    def abort(self) -> None:
        """Want no more of it; the pod's side sees that when the WebSocket is closed."""
        if not self.is_over:
            self.is_over = True
            asyncio.get_running_loop().call_soon(self._lose)
            self._drop()

    def close(self) -> None:
        """The same: nothing is ever left to be sent."""
        self.abort()

    def is_closing(self) -> bool:
        """Whether nothing can be sent any more."""
        return self.is_over


class StreamBundle:
    """The streams of one WebSocket, in the order of its ports."""

    def __init__(self, ports: Sequence[int]) -> None:
        self.streams = tuple(self._stream(index, port) for index, port in enumerate(ports))
        self._outbox: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._errors = [b""] * len(ports)

    def _stream(self, index: int, port: int) -> Stream:
        channel = bytes((2 * index,))
        return Stream(port, lambda data: self._outbox.put_nowait(channel + data), self._dropped)

    def _dropped(self) -> None:
        """Close the WebSocket when nobody wants anything of it any more."""
        if all(stream.is_over for stream in self.streams):
            self._outbox.put_nowait(None)

    async def send(self, socket: PortForwardWebSocket) -> None:
        """Send what is written until nobody wants more."""
        while (message := await self._outbox.get()) is not None:
            await socket.send(message)

    async def receive(self, socket: PortForwardWebSocket) -> None:
        """Hand out what comes until the other side closes. Raises KubernetesError."""
        while (message := await socket.receive()) is not None:
            self._take(message)

    def end(self, fault: Exception | None) -> None:
        """End every stream that is left."""
        for stream in self.streams:
            stream.end(fault)

    def _take(self, message: bytes) -> None:
        index, is_error = divmod(message[0], 2) if message else (len(self.streams), 0)
        if index >= len(self.streams) or self.streams[index].is_over:
            return
        if not is_error:
            self.streams[index].take(message[1:])
            return
        text_bytes = self._errors[index] = (self._errors[index] + message[1:])[:_MOST_ERROR]
        if len(text_bytes) > _ECHO:
            self.streams[index].end(fault_of(text_bytes[_ECHO:].decode(errors="replace")))


def fault_of(text: str) -> Exception:
    """What the error channel's text means: of the port, of the network, or of the way to the pod.

    The runtime connects to the port in the pod and passes on what Go, or socat, reported.
    """
    lowered = text.lower()
    for words, fault in _FAULTS:
        if words in lowered:
            return fault()
    line = " ".join(text.split())[:_TEXT_LENGTH]
    return NoAccess(f"The node could not forward the port: {line}")


_FAULTS: tuple[tuple[str, Callable[[], Exception]], ...] = (
    ("connection refused", lambda: ConnectionRefusedError(errno.ECONNREFUSED, "refused")),
    ("connection reset", lambda: ConnectionResetError(errno.ECONNRESET, "reset")),
    ("broken pipe", lambda: ConnectionResetError(errno.EPIPE, "reset")),
    ("i/o timeout", TimeoutError),
    ("connection timed out", TimeoutError),
    ("no route to host", lambda: OSError(errno.EHOSTUNREACH, "No route to host")),
    ("network is unreachable", lambda: OSError(errno.ENETUNREACH, "Network is unreachable")),
)
"""Texts of the error channel in lower case, the first that is found counts."""
