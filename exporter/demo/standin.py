"""One process of a pod: it binds the sockets that it owned and answers as was recorded.

In: a `Script`, this process's sockets, and where capture ends. Out: bytes, and how
each connection ends. A connection that was redirected arrives at 15006 and is answered for the
port that it was meant for (SO_ORIGINAL_DST). Runs its own event loop until it is killed.
"""

import asyncio
import contextlib
import signal
import socket
import ssl
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from exporter.demo.certificates import standin_context
from exporter.demo.dns_server import answer_query
from exporter.demo.recorded_state import End, Hello, Socket
from exporter.demo.script import Script, Side
from exporter.demo.served_connection import DNS_PORT, Conversation
from exporter.demo.tls_socket import TlsSocket

BACKLOG = 4096

_ORIGINAL_DST = 80
_SOL_IPV6 = 41
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
_CHUNK = 65536


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessSpec:
    """What one process of a pod needs to know.

    `inbound` is the port where redirected connections arrive, 0 for none. `certificates` maps a
    recorded certificate to the file that stands in for it. `is_flat`: without a network of its
    own, so that every connection counts as one from the network.
    `growing`: seconds between two steps once it has advanced, 0 for one step only.
    """

    process: str
    sockets: tuple[Socket, ...]
    script: Script
    inbound: int
    certificates: Mapping[bytes, Path]
    root: Path
    istiod: str = ""
    is_flat: bool = False
    growing: float = 0.0


def bind(row: Socket) -> socket.socket:
    """Bind one recorded socket, as Envoy (one family) or Go (`*`, both) does it."""
    is_ipv6 = row.address == "*" or ":" in row.address
    family = socket.AF_INET6 if is_ipv6 and socket.has_ipv6 else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    if family == socket.AF_INET6:
        bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(row.address != "*"))
    address = row.address if row.address != "*" else "::" if is_ipv6 else "0.0.0.0"
    bound.bind((address, row.port))
    bound.listen(BACKLOG)
    return bound


class StandIn:
    """The process at work."""

    def __init__(self, part: ProcessSpec) -> None:
        self._part = part
        self._script = part.script
        self._contexts: dict[tuple[Hello, bool], ssl.SSLContext] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, bound: list[socket.socket]) -> None:
        """Answer until cancelled. SIGUSR1 switches from the earlier pages to the present ones."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGUSR1, self._advance)
        holding = self._hold_istiod()
        serving = [self._accept(sock) for sock in bound]
        asking = [self._answer_datagrams(row) for row in self._part.sockets if self._is_dns(row)]
        await asyncio.gather(*serving, *asking, holding)

    def _advance(self) -> None:
        self._script = self._script.advanced()
        if self._part.growing:
            asyncio.get_running_loop().call_later(self._part.growing, self._advance)

    def _is_dns(self, row: Socket) -> bool:
        return row.port == DNS_PORT and not self._part.is_flat

    async def _hold_istiod(self) -> None:
        """Keep the connection to istiod that the agent had."""
        if self._part.istiod:
            with contextlib.suppress(OSError):
                reader, _ = await asyncio.open_connection(self._part.istiod, 15012)
                await reader.read()

    async def _accept(self, bound: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                accepted, peer = await loop.sock_accept(bound)
            except ConnectionError:
                continue
            task = loop.create_task(self._talk(accepted, peer[0]))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _talk(self, accepted: socket.socket, peer: str) -> None:
        accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with accepted, contextlib.suppress(OSError, ssl.SSLError):
            side, port = self._dialled(accepted, peer)
            connected = TlsSocket(accepted)
            end = await Conversation(self._script, self._context, connected, side, port).run()
            if end is End.RESET:
                accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            elif end is End.OPEN:
                await connected.drain()

    def _dialled(self, accepted: socket.socket, peer: str) -> tuple[Side, int]:
        """From which side it came, and the port that it was meant for."""
        local = accepted.getsockname()
        peer = peer.removeprefix("::ffff:")
        if self._part.is_flat:
            return Side.NETWORK, local[1]
        if peer.startswith("127.") or peer in ("::1", local[0].removeprefix("::ffff:")):
            return Side.LOOPBACK, local[1]
        is_ipv6 = ":" in peer
        port = local[1]
        if port == self._part.inbound:
            port = _original_port(accepted, is_ipv6=is_ipv6) or port
        return (Side.NETWORK6 if is_ipv6 else Side.NETWORK), port

    def _context(self, hello: Hello, requires_client: bool) -> ssl.SSLContext:  # noqa: FBT001
        """The TLS context of a hello, made once."""
        key = (hello, requires_client)
        if key not in self._contexts:
            certificate = self._part.certificates[hello.certificate]
            self._contexts[key] = standin_context(
                certificate, self._part.root, hello.alpn, requires_client=requires_client
            )
        return self._contexts[key]

    async def _answer_datagrams(self, row: Socket) -> None:
        loop = asyncio.get_running_loop()
        family = socket.AF_INET6 if ":" in row.address else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as bound:
            bound.bind((row.address, row.port))
            while True:
                query, asker = await loop.sock_recvfrom(bound, _CHUNK)
                answer = answer_query(query)
                if answer is not None:
                    await loop.sock_sendto(bound, answer, asker)


def _original_port(accepted: socket.socket, *, is_ipv6: bool) -> int | None:
    """The port before redirection; None where the kernel tracked no such connection."""
    level, size = (_SOL_IPV6, 28) if is_ipv6 else (socket.SOL_IP, 16)
    try:
        raw = accepted.getsockopt(level, _ORIGINAL_DST, size)
    except OSError:
        return None
    port: int = struct.unpack_from("!H", raw, 2)[0]
    return port
