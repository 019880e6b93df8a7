"""TLS handshakes without verification: what a port presents is a fact, not a decision.

OpenSSL works on memory (`ssl.MemoryBIO`); `TlsProtocol` pumps bytes between it and the socket and
carries another line's protocol on top. Strategy: the certificate counts as soon as our side of
the handshake is done, whatever follows - Istio then closes or alerts `certificate required`. In
TLS 1.2, to which COMPLIANCE_POLICY=fips-140-2 restricts proxies, it does so within the handshake.
"""

import asyncio
import ssl
import sys
from functools import cache
from typing import cast

from exporter.bounds import CERTIFICATE, HANDSHAKE
from exporter.model import Outcome, TlsFacts
from exporter.probes.attempt import (
    Attempt,
    Closed,
    Malformed,
    ProbeProtocol,
    ProbeResult,
    ProtocolT,
    TooLarge,
)
from exporter.probes.server_hello import MOST_BYTES, chooses_finite_field
from exporter.probes.x509_facts import read_certificate, root_of
from exporter.tls_contexts import client_context

_CHUNK = 65536
_HELLO_ALPN = ("istio-http/1.1", "istio")
"""Both are the mesh's own (Istio pilot/pkg/networking/util ALPN lists)."""

_RECORD_TYPES = frozenset((0x14, 0x15, 0x16, 0x17))


async def probe_tls(attempt: Attempt) -> ProbeResult:
    """Complete a handshake and keep the certificate."""
    line = await handshake(attempt, _WEB_ALPN, attempt.probe.port)
    return ProbeResult(Outcome.OK, facts=line.facts)


async def probe_hello(attempt: Attempt) -> ProbeResult:
    """Request 15006's certificate through the control port, with Istio's ALPN.

    Recorded: PERMISSIVE and STRICT answer with the workload certificate, mTLS DISABLE resets. Of
    the names offered Envoy matches the first: the HTTP chain dials nothing before a request, so
    that no refused upstream closes the connection before the certificate came.
    """
    line = await handshake(attempt, _HELLO_ALPN, attempt.probe.via or attempt.probe.port)
    return ProbeResult(Outcome.OK, facts=line.facts)


async def probe_hbone_hello(attempt: Attempt) -> ProbeResult:
    """Request the workload's certificate of ztunnel's 15008.

    Recorded: it comes before ours is demanded, whatever the policies; ALPN of any other name than
    `h2`, or TLS 1.2, brings an alert. OpenSSL offers X25519MLKEM768 by itself from 3.5 on, which
    COMPLIANCE_POLICY=pqc demands.
    """
    line = await handshake(attempt, ("h2",), attempt.probe.port, _tls13_context())
    return ProbeResult(Outcome.OK, facts=line.facts)


async def probe_server_hello(attempt: Attempt) -> ProbeResult:
    """The certificate that a gateway's server presents for a name, or for none."""
    name = attempt.probe.path.replace("*", "any", 1)
    line = await attempt.connect(lambda: TlsProtocol(_WEB_ALPN, server_name=name))
    await line.done
    return ProbeResult(Outcome.OK, facts=line.facts)


_WEB_ALPN = ("h2", "http/1.1")


async def handshake(
    attempt: Attempt, alpn: tuple[str, ...], port: int, context: ssl.SSLContext | None = None
) -> "TlsProtocol":
    """Connect and complete a handshake; the line's `facts` are then set.

    Without a `context` any certificate is taken.

    Raises:
        Malformed: the answer is not TLS. TooLarge: it is, and longer than is read. ssl.SSLError:
            it is, and it failed. Closed, OSError.
    """
    line = await attempt.connect(lambda: TlsProtocol(alpn, context), port)
    await line.done
    return line


class TlsProtocol(ProbeProtocol):
    """A TLS client on a connection; after `done` it can carry another line (`connect_socket`).

    What TLS itself takes, tickets and new keys too, is bounded as a handshake is, as long as the
    connection lasts; the line on top has bounds of its own.
    """

    __slots__ = (
        *("_ended", "_in", "_inner", "_left", "_out", "_shown", "_start", "_tls"),
        *("done", "facts"),
    )

    def __init__(
        self,
        alpn: tuple[str, ...],
        context: ssl.SSLContext | None = None,
        server_name: str = "",
    ) -> None:
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = (context or _context(alpn)).wrap_bio(
            self._in, self._out, server_hostname=server_name or None
        )
        self._inner: ProbeProtocol | None = None
        self._left: int = HANDSHAKE
        self._ended: Exception | None = None
        self._start: bytes | None = b""
        self._shown = TlsFacts()
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.facts = TlsFacts()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the ClientHello."""
        super().connection_made(transport)
        self._advance()

    def data_received(self, data: bytes) -> None:
        """Feed OpenSSL: the handshake first, then the line on top."""
        if not self.done.done() and self._left == HANDSHAKE and data[0] not in _RECORD_TYPES:
            self._fail(Malformed("the answer is not TLS"))
            return
        self._left -= len(data)
        if self._left < 0:
            self._lose(TooLarge())
            self.transport.abort()
            return
        if self._start is None:
            self._feed(data)
        else:
            self._feed_start(self._start, data)

    def _feed(self, data: bytes) -> None:
        self._in.write(data)
        self._advance()

    def _feed_start(self, before: bytes, data: bytes) -> None:
        """Feed the server's first message, unless OpenSSL would compute for long with it."""
        start = before + data[:MOST_BYTES]
        chooses = chooses_finite_field(start)
        self._start = start if chooses is None else None
        if chooses:
            self._fail(ssl.SSLError("the server chose a group that no proxy has"))
        elif chooses is None and len(start) >= MOST_BYTES:
            self._feed(data[: MOST_BYTES - len(before)])  # OpenSSL may know what is wrong with it
            self._fail(TooLarge())
        else:
            self._feed(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """End the handshake, or the line on top."""
        self._lose(exc or Closed("closed inside TLS"))

    def connect_socket(self, inner: ProtocolT) -> ProtocolT:
        """Put another line on top: its bytes are encrypted from here on."""
        self._inner = inner
        inner.connection_made(cast("asyncio.Transport", self))
        if self._ended is not None:
            inner.connection_lost(self._ended)
        self._advance()
        return inner

    def write(self, data: bytes) -> None:
        """Encrypt and send (what the line on top takes for its transport)."""
        self._tls.write(data)
        self._flush()

    def abort(self) -> None:
        """Drop the connection."""
        self.transport.abort()

    def _advance(self) -> None:
        try:
            if not self.done.done():
                self._shake_hands()
            self._read()
        except ssl.SSLWantReadError:
            self._flush()
        except ssl.SSLError as error:
            # OpenSSL gives up by a message's announced length, before its bytes reach HANDSHAKE.
            self._lose(TooLarge() if error.reason == "EXCESSIVE_MESSAGE_SIZE" else error)
        except (Malformed, TooLarge) as error:
            self._lose(error)

    def _shake_hands(self) -> None:
        """Complete the handshake, or keep what was presented once OpenSSL has verified its key."""
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            if self._out.pending:
                self._shown = self._presented()
            raise
        self._flush()
        self._end_handshake(self._presented())
        self._left = HANDSHAKE

    def _end_handshake(self, facts: TlsFacts) -> None:
        self.facts = facts
        self.done.set_result(None)

    def _read(self) -> None:
        """Hand decrypted bytes up; without a line on top what follows is left unread."""
        while self._inner is not None:
            data = self._tls.read(_CHUNK)
            if not data:
                self._lose(Closed("closed inside TLS"))
                return
            self._left += len(data)
            self._inner.data_received(data)

    def _presented(self) -> TlsFacts:
        chain = _certificates(self._tls)
        if any(len(der) > CERTIFICATE for der in chain):
            raise TooLarge(int(CERTIFICATE))
        certificate = read_certificate(chain[0]) if chain else None
        root = root_of(chain[-1]) if chain else ""
        return TlsFacts(certificate=certificate, root=root)

    def _flush(self) -> None:
        if self._out.pending:
            self.transport.write(self._out.read())

    def _lose(self, error: Exception) -> None:
        """The end of the handshake or, once it is done, of the line on top."""
        if self._shown.certificate and not self.done.done():
            self._end_handshake(self._shown)
        self._fail(error)
        self._ended = self._ended or error
        if self._inner is not None:
            self._inner.connection_lost(error)

    def _fail(self, error: Exception) -> None:
        if not self.done.done():
            self.done.set_exception(error)
            self.done.exception()
            self.transport.abort()


def _certificates(tls: ssl.SSLObject) -> list[bytes]:
    """The certificates that the peer presented, its own first, as DER."""
    if sys.version_info >= (3, 13):
        return tls.get_unverified_chain()
    presented = tls._sslobj.get_unverified_chain()  # type: ignore[attr-defined] # noqa: SLF001
    return [ssl.PEM_cert_to_DER_cert(one.public_bytes()) for one in presented or ()]


@cache
def _context(alpn: tuple[str, ...]) -> ssl.SSLContext:
    """A client context that accepts any certificate and old but not broken TLS."""
    context = unnamed_context(alpn)
    context.verify_mode = ssl.CERT_NONE
    return context


@cache
def _tls13_context() -> ssl.SSLContext:
    """A client context that accepts any certificate, for a peer that speaks TLS 1.3 alone."""
    context = unnamed_context(("h2",))
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    return context


_CURVES = frozenset({"kx-ecdhe", "kx-any"})
"""OpenSSL's names of key exchanges over elliptic curves; the latter is that of TLS 1.3."""


def offer_curves_alone(context: ssl.SSLContext) -> None:
    """Leave out every other key exchange, whatever Python was built to offer; no proxy needs one.

    With finite fields the server chooses the numbers: with 10,000 bits OpenSSL computes for a
    second, in which nobody else has a turn. With RSA a server without the certificate's key is
    found out at the very end, when its certificate counts already.
    """
    ciphers = (row["name"] for row in context.get_ciphers() if row["kea"] in _CURVES)
    context.set_ciphers(":".join(ciphers))


def unnamed_context(alpn: tuple[str, ...]) -> ssl.SSLContext:
    """A client context that trusts nobody yet and requires no name."""
    context = client_context()
    offer_curves_alone(context)
    context.check_hostname = False
    context.set_alpn_protocols(list(alpn))
    return context
