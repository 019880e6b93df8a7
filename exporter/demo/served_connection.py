"""One served connection: its first bytes show the protocol, the script has the answer."""

import asyncio
import ssl
from collections.abc import Callable

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import RequestReceived
from h2.exceptions import ProtocolError

from exporter.demo.dns_server import answer_query
from exporter.demo.recorded_state import End, Hello, RecordedAnswer
from exporter.demo.script import RESET, SILENT, Script, Side
from exporter.demo.tls_socket import TlsSocket

DNS_PORT = 15053
Contexts = Callable[[Hello, bool], ssl.SSLContext]

_TLS_RECORD = 0x16
_PREFACE = b"PRI * HTTP/2.0"
_ISTIO_ALPN = b"\x05istio"
_LENGTH = 2
_LATE = (b" 404 ", b" 405 ")
_AT_ONCE = 1.0
_UNIMPLEMENTED = [
    (":status", "200"),
    ("content-type", "application/grpc"),
    ("grpc-status", "12"),
    ("grpc-message", "unknown service grpc.health.v1.Health"),
]
_FATAL = b"\x15\x03\x03\x00\x02\x02"
_ALERTS = {"HANDSHAKE_FAILURE": 40, "PROTOCOL_VERSION": 70}
"""TLS alerts by OpenSSL's names for them (RFC 8446, 6)."""


class Conversation:
    """One connection from its beginning to its end.

    `context` makes the TLS context of a hello, asking for a client's certificate or not.
    """

    def __init__(
        self, script: Script, context: Contexts, connected: TlsSocket, side: Side, port: int
    ) -> None:
        self._script = script
        self._context = context
        self._socket = connected
        self._side = side
        self._port = port

    async def run(self) -> End:
        """Talk; how to leave the connection."""
        greeting = self._script.greet(self._side, self._port)
        if greeting.data:
            await self._socket.write(greeting.data)
        if greeting.end is not End.OPEN:
            return greeting.end
        first = await self._socket.read()
        return await self._answer(first) if first else End.FIN

    async def _answer(self, first: bytes) -> End:
        if self._port == DNS_PORT and self._side is Side.LOOPBACK and not _is_http(first):
            return await self._resolve(first)
        if first[0] == _TLS_RECORD:
            return await self._secure(first)
        if self._script.speaks_grpc(self._side, self._port):
            is_http2 = first.startswith(_PREFACE)
            return await self._call(first, greeted=True) if is_http2 else End.RESET
        if _is_http(first):
            return await self._serve(first, tls=False)
        return await self._send(self._script.bare(self._side, self._port))

    async def _secure(self, first: bytes) -> End:
        is_istio = _ISTIO_ALPN in first
        hello = self._script.hello(self._side, self._port, is_istio=is_istio)
        reason = hello.handshake.rpartition(": ")[2]
        if hello.handshake in ("eof", "reset") and hello.seconds > _AT_ONCE:
            await asyncio.sleep(hello.seconds)
        match reason:
            case "ok":
                return await self._secured(hello, first)
            case "timeout":
                return End.OPEN
            case "WRONG_VERSION_NUMBER":
                bare = self._script.bare(self._side, self._port)
                speaks = self._script.speaks_grpc(self._side, self._port)
                return End.FIN if speaks else await self._send(bare)
            case "eof" | "UNEXPECTED_EOF_WHILE_READING":
                return End.FIN
        if alert := _ALERTS.get(reason.partition("_ALERT_")[2]):
            return await self._send(RecordedAnswer(_FATAL + bytes((alert,))))
        return End.RESET

    async def _secured(self, hello: Hello, first: bytes) -> End:
        requires_client = "CERTIFICATE_REQUIRED" in hello.then
        await self._socket.secure(self._context(hello, requires_client), first)
        if hello.then == "fin" or requires_client:
            return End.FIN
        if hello.alpn == "h2":
            return await self._call(b"", greeted=False)
        first = await self._socket.read()
        return await self._serve(first, tls=True) if first else End.FIN

    async def _call(self, first: bytes, *, greeted: bool) -> End:
        """Speak gRPC: every method is unimplemented, as health is in istiod."""
        grpc = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        grpc.initiate_connection()
        settings = grpc.data_to_send()
        if not greeted:
            await self._socket.write(settings)
        received = first or await self._socket.read()
        while received:
            try:
                for event in grpc.receive_data(received):
                    if isinstance(event, RequestReceived):
                        grpc.send_headers(event.stream_id, _UNIMPLEMENTED, end_stream=True)
            except ProtocolError:
                return End.RESET
            if answer := grpc.data_to_send():
                await self._socket.write(answer)
            received = await self._socket.read()
        return End.FIN

    async def _resolve(self, received: bytes) -> End:
        """DNS over TCP: a length before each message."""
        while len(received) < _LENGTH or len(received) < _LENGTH + int.from_bytes(received[:2]):
            more = await self._socket.read()
            if not more:
                return End.FIN
            received += more
        answer = answer_query(received[_LENGTH : _LENGTH + int.from_bytes(received[:2])])
        if answer is not None:
            await self._socket.write(len(answer).to_bytes(2) + answer)
        return End.OPEN

    async def _serve(self, received: bytes, *, tls: bool) -> End:
        """Answer requests until one answer ends the connection."""
        while True:
            while b"\r\n\r\n" not in received:
                more = await self._socket.read()
                if not more:
                    return End.FIN
                received += more
            head, _, received = received.partition(b"\r\n\r\n")
            path, headers = _parse(head)
            answer = self._script.request(self._side, self._port, path, headers, tls=tls)
            end = await self._send(answer)
            if end is not End.OPEN or not answer.data:
                return end

    async def _send(self, answer: RecordedAnswer) -> End:
        """Send an answer after its recorded delay; an error page's connection is closed late."""
        if answer in (SILENT, RESET):
            return answer.end
        closes_late = any(word in answer.data[:32] for word in _LATE)
        if not closes_late and answer.end is End.FIN:
            await asyncio.sleep(answer.seconds)
        if answer.data:
            await self._socket.write(answer.data)
        if closes_late:
            await asyncio.sleep(answer.seconds)
        return answer.end


def _is_http(first: bytes) -> bool:
    method = first.split(b" ", 1)[0]
    return method.isalpha() and method.isupper()


def _parse(head: bytes) -> tuple[str, dict[str, str]]:
    lines = head.decode("latin-1").split("\r\n")
    path = lines[0].split(" ")[1] if " " in lines[0] else "/"
    pairs = [line.partition(":") for line in lines[1:]]
    return path, {name.strip().lower(): value.strip() for name, _, value in pairs}
