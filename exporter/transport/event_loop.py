"""The contract on the event loop's own transports: where there is no epoll, and to compare with."""

import asyncio
import socket
from collections.abc import Awaitable, Callable

from exporter.transport import icmp
from exporter.transport.protocols import (
    ENDS_PROCESS,
    LINGER_ZERO,
    NO_PROTOCOL,
    StreamT,
    report_lost,
    start_connect,
    unread_seconds,
)
from exporter.transport.waiter import Waiter


def connect(
    family: int, remote: tuple[str, int], factory: Callable[[], StreamT]
) -> Awaitable[StreamT]:
    """Connect to an IP literal and a port."""
    own = socket.socket(family, socket.SOCK_STREAM)
    own.setblocking(False)  # noqa: FBT003
    return _connect(own, remote, factory)


def connect_socket(
    own: socket.SocketType, remote: tuple[str, int], factory: Callable[[], StreamT]
) -> Awaitable[StreamT]:
    """The same on a fresh non-blocking socket that was made elsewhere."""
    return _connect(own, remote, factory)


async def _connect(
    own: socket.SocketType, remote: tuple[str, int], factory: Callable[[], StreamT]
) -> StreamT:
    try:
        protocol = factory()
        own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_ZERO)
        start_connect(own, remote, protocol)
        relay = _Relay(protocol, own, await _ended(own))
    except BaseException:
        own.close()
        raise
    loop = asyncio.get_running_loop()
    await loop.create_connection(lambda: relay, sock=own)  # type: ignore[call-overload] # closes it
    relay.attach()
    return protocol


async def _ended(own: socket.SocketType) -> OSError | None:
    """Wait until a connect has ended; returns the error where it was reset at once.

    The event loop's `sock_connect` would remove its watch only after the socket was closed.
    """
    loop, writable = asyncio.get_running_loop(), Waiter[None]()
    loop.add_writer(own.fileno(), writable.set_result, None)
    try:
        await writable
    finally:
        loop.remove_writer(own.fileno())
    error = icmp.connect_error(own)
    if error and not icmp.is_after_connect(error):
        raise error
    icmp.collect(own, 0)
    return error


_CHUNK = 32768
"""So much is received at once, as on an epoll; asyncio itself would take 256 KiB."""


class _Relay(asyncio.BufferedProtocol):
    """The contract's transport on top of asyncio's, and the protocol below the caller's."""

    def __init__(
        self, protocol: asyncio.Protocol, own: socket.SocketType, reset: OSError | None
    ) -> None:
        self._protocol = protocol
        self._socket = own
        self._reset = reset
        self._failure: BaseException | None = None
        self._is_attached = False
        self._received = bytearray()

    def attach(self) -> None:
        """The event loop has the socket now: uvloop loses one that is aborted before."""
        self._is_attached = True
        if self._protocol is NO_PROTOCOL:
            self._transport.abort()
        if self._failure is not None:
            raise self._failure

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]
        try:
            self._protocol.connection_made(self)  # type: ignore[arg-type]
        except ENDS_PROCESS:
            raise
        except BaseException as error:  # noqa: BLE001 - whoever connects gets it
            self._failure = error
            self._lose(error)

    def get_buffer(self, _sizehint: int) -> bytearray:
        """Where the next bytes go."""
        self._received = self._received or bytearray(_CHUNK)
        return self._received

    def buffer_updated(self, nbytes: int) -> None:
        """Hand what came to the caller's protocol."""
        try:
            self._protocol.data_received(bytes(self._received[:nbytes]))
        except ENDS_PROCESS:
            raise
        except BaseException as error:  # noqa: BLE001 - the protocol gets it
            self._lose(error)

    def eof_received(self) -> None:
        self._lose(self._reset)

    def connection_lost(self, exc: Exception | None) -> None:
        self._lose(exc or self._reset)

    def write(self, data: bytes) -> None:
        """Send."""
        if self._protocol is not NO_PROTOCOL:
            self._transport.write(data)

    def abort(self) -> None:
        """Reset the connection, and report nothing more to the protocol."""
        self._protocol = NO_PROTOCOL
        if self._is_attached:
            self._transport.abort()

    @property
    def unread_seconds(self) -> float:
        """For how long what was read last had been in the kernel."""
        return 0.0 if self._protocol is NO_PROTOCOL else unread_seconds(self._socket)

    def _lose(self, error: BaseException | None) -> None:
        protocol = self._protocol
        self.abort()
        report_lost(protocol, error)
