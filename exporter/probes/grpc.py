"""istiod's gRPC ports: one health Check over HTTP/2, in plaintext (15010) or TLS (15012).

istiod registers no health service, so `UNIMPLEMENTED` is the healthy answer: it proves that the
gRPC stack serves. Never an ADS stream: that would be counted as a proxy.
"""

import asyncio

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions

from exporter.bounds import HTTP2
from exporter.model import Outcome
from exporter.parsing import bracketed
from exporter.probes.attempt import Attempt, Closed, Malformed, ProbeProtocol, ProbeResult, TooLarge
from exporter.probes.mesh_trust import proven_handshake
from exporter.probes.paths import GRPC_HEALTH_CHECK
from exporter.transport.waiter import Waiter

_EMPTY_MESSAGE = b"\0\0\0\0\0"
_FRAME_HEAD = 9
_SETTINGS = b"\x04"
"""The type of the frame that a server must send first (RFC 9113, 3.4)."""

_SERVING = frozenset(("0", "12"))
_REFUSING = frozenset(("7", "16"))
_CONFIG = h2.config.H2Configuration(header_encoding=None)


class GrpcProtocol(ProbeProtocol):
    """One HTTP/2 connection with one health Check on it; `status` ends with grpc-status."""

    __slots__ = ("_h2", "_host", "_left", "_start", "status")

    def __init__(self, host: str) -> None:
        self._h2 = h2.connection.H2Connection(_CONFIG)
        self._host = host
        self._left: int = HTTP2
        self._start = b""
        self.status: Waiter[str] = Waiter()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the preface and the request."""
        super().connection_made(transport)
        self._h2.initiate_connection()
        stream = self._h2.get_next_available_stream_id()
        headers = (
            (":method", "POST"),
            (":scheme", "http"),
            (":path", GRPC_HEALTH_CHECK),
            (":authority", self._host),
            ("te", "trailers"),
            ("content-type", "application/grpc"),
        )
        self._h2.send_headers(stream, headers)
        self._h2.send_data(stream, _EMPTY_MESSAGE, end_stream=True)
        self.transport.write(self._h2.data_to_send())

    def data_received(self, data: bytes) -> None:
        """Feed HTTP/2 until a gRPC status comes."""
        if self.status.done():
            return
        self._left -= len(data)
        if self._left < 0:
            self.status.set_exception(TooLarge())
            return
        self._start = (self._start + data)[:_FRAME_HEAD]
        if self._start[3:4] not in (b"", _SETTINGS):
            self.status.set_exception(Malformed("the answer is not HTTP/2"))
            return
        try:
            for event in self._h2.receive_data(data):
                self._take(event)
        except (h2.exceptions.H2Error, ValueError, KeyError, IndexError):
            self.status.set_exception(Malformed("the answer is not HTTP/2"))
            return
        if not self.status.done():
            self.transport.write(self._h2.data_to_send())

    def connection_lost(self, exc: Exception | None) -> None:
        """No status has come, and none will."""
        self.status.set_exception(exc or Closed())

    def _take(self, event: h2.events.Event) -> None:
        match event:
            case h2.events.ResponseReceived() | h2.events.TrailersReceived():
                headers = dict(event.headers or ())
                status = headers.get(b"grpc-status")
                http = headers.get(b":status", b"200")
                if status is not None:
                    self.status.set_result(status.decode(errors="replace"))
                elif http != b"200":
                    self.status.set_exception(
                        Malformed(f"HTTP {http.decode(errors='replace')}, not gRPC")
                    )
            case h2.events.StreamEnded():
                self.status.set_exception(Malformed("an answer without a gRPC status"))
            case h2.events.StreamReset() | h2.events.ConnectionTerminated():
                self.status.set_exception(Closed("the HTTP/2 stream was ended without an answer"))


async def probe_grpc(attempt: Attempt) -> ProbeResult:
    """A health Check in plaintext."""
    line = await attempt.connect(lambda: GrpcProtocol(bracketed(attempt.dialer.address)))
    return _judge_status(await line.status)


async def probe_grpc_tls(attempt: Attempt) -> ProbeResult:
    """A handshake that keeps the certificate, then the same Check on it."""
    tls = await proven_handshake(attempt, ("h2",))
    attempt.facts = tls.facts
    line = tls.connect_socket(GrpcProtocol(bracketed(attempt.dialer.address)))
    return _judge_status(await line.status)


def _judge_status(status: str) -> ProbeResult:
    """What a grpc-status means: OK and UNIMPLEMENTED both prove that gRPC serves."""
    if status in _SERVING:
        return ProbeResult(Outcome.OK)
    outcome = Outcome.FORBIDDEN if status in _REFUSING else Outcome.HTTP_ERROR
    return ProbeResult(outcome, f"gRPC status {status[:16]}")
