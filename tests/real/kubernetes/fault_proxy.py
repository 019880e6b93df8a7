"""A proxy in front of the real API server that can fail in every way a network can.

It ends TLS, reads the head of each request, and passes bytes on in both directions. One
connection carries one request, so that a fault meets exactly the requests it is meant for.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlsplit

from exporter.tls_contexts import client_context, server_context
from tests.real.kubernetes.authority import Authority
from tests.real.kubernetes.control_plane import free_port


@dataclass(frozen=True, slots=True)
class Request:
    """One request through the proxy."""

    method: str
    path: str
    query: dict[str, str]

    @property
    def is_watch(self) -> bool:
        return "watch" in self.query


@dataclass(slots=True)
class Refusal:
    """An answer in the API server's place, to so many requests of a kind."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    times: int = 1
    path: str = ""
    watch: bool | None = None

    def is_for(self, request: Request) -> bool:
        is_kind = self.watch is None or self.watch is request.is_watch
        return self.times > 0 and is_kind and self.path in ("", request.path)

    def bytes(self) -> bytes:
        rows = {**self.headers, "Content-Length": len(self.body), "Connection": "close"}
        head = "".join(f"{name}: {value}\r\n" for name, value in rows.items())
        return f"HTTP/1.1 {self.status} Refused\r\n{head}\r\n".encode() + self.body


class FaultProxy:
    """Forwards everything unless a fault is set. `requests` are those that it got.

    `piece`: pass answers on in so many bytes at a time; 0 for as they come.
    """

    def __init__(self, authority: Authority, upstream_port: int) -> None:
        self.upstream_port = upstream_port
        self.requests: list[Request] = []
        self.refusals: list[Refusal] = []
        self.piece = 0
        self._may_speak = asyncio.Event()
        self._may_speak.set()
        self._port = free_port()
        self._client = client_context()
        self._client.load_verify_locations(authority.root)
        self._tls = server_context()
        self._tls.load_cert_chain(*authority.issue(f"proxy-{self._port}"))
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self._port}"

    @property
    def port(self) -> int:
        return self._port

    def refuse(self, status: int, **given: object) -> Refusal:
        """Answer the next requests with this; see `Refusal` for which and how often."""
        refusal = Refusal(status, **given)  # type: ignore[arg-type]
        self.refusals.append(refusal)
        return refusal

    def silence(self) -> None:
        """Pass no byte of an answer on, and close nothing, until `speak`."""
        self._may_speak.clear()

    def speak(self) -> None:
        """Pass on what was held back, and what follows."""
        self._may_speak.set()

    def queries(self, path: str, *, watch: bool) -> list[Request]:
        """The lists or watches of a path so far."""
        return [row for row in self.requests if row.path == path and row.is_watch is watch]

    async def up(self) -> None:
        """Take connections."""
        self._server = await asyncio.start_server(
            self._serve, "127.0.0.1", self._port, ssl=self._tls
        )

    async def down(self) -> None:
        """Be gone: no listener, and every connection reset."""
        if self._server:
            self._server.close()
            self._server = None
        await self.drop()

    async def drop(self) -> None:
        """Reset every connection that is open, in the middle of whatever it carries."""
        dropped = list(self._open)
        for task in dropped:
            task.cancel()
        await asyncio.gather(*dropped, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._open.add(task)
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                await self._answer(reader, writer)
        except asyncio.CancelledError:
            pass  # dropped; a cancelled task would only be reported
        finally:
            self._open.discard(task)
            writer.transport.abort()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        request = _request_of(head)
        self.requests.append(request)
        refusal = next((row for row in self.refusals if row.is_for(request)), None)
        if refusal:
            refusal.times -= 1
            writer.write(refusal.bytes())
            await writer.drain()
            writer.close()
            await writer.wait_closed()
            return
        upstream_reader, upstream = await asyncio.open_connection(
            "127.0.0.1", self.upstream_port, ssl=self._client
        )
        try:
            upstream.write(head if _is_upgrade(head) else _once(head))
            there = asyncio.create_task(_pass_on(reader, upstream))
            try:
                await self._pass_back(upstream_reader, writer)
            finally:
                there.cancel()
                await asyncio.gather(there, return_exceptions=True)
        finally:
            upstream.transport.abort()

    async def _pass_back(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            size = self.piece or len(data)
            for start in range(0, len(data), size):
                await self._may_speak.wait()
                writer.write(data[start : start + size])
                await writer.drain()
        writer.close()
        await writer.wait_closed()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()


def _request_of(head: bytes) -> Request:
    method, target, _ = head.partition(b"\r\n")[0].decode().split(" ")
    split = urlsplit(target)
    return Request(method, split.path, dict(parse_qsl(split.query)))


def _is_upgrade(head: bytes) -> bool:
    return b"\r\nupgrade:" in head.lower()


def _once(head: bytes) -> bytes:
    """The same head, with the wish that the connection is closed after the answer."""
    rows = head.rstrip(b"\r\n").split(b"\r\n")
    kept = [row for row in rows if not row.lower().startswith(b"connection:")]
    return b"\r\n".join([*kept, b"Connection: close", b"", b""])


@contextlib.asynccontextmanager
async def fault_proxy(authority: Authority, upstream_port: int) -> AsyncIterator[FaultProxy]:
    """A proxy that is up; before it ends it drops what is open."""
    proxy = FaultProxy(authority, upstream_port)
    await proxy.up()
    try:
        yield proxy
    finally:
        await proxy.down()
