"""What a peer can do wrong in TLS, HTTP/2 and DNS: its outcome, and in time."""

import asyncio
import contextlib
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from exporter.model import Outcome, Role
from exporter.probes.attempt import MeshTrust, ProbeOptions
from exporter.probes.probers import probe
from exporter.tls_contexts import server_context
from tests.probes.mesh import MeshAuthority

TIMEOUT_SECONDS = 0.5


@pytest.fixture
def flooding() -> Iterator[Callable[..., int]]:
    """A listener in a thread that sends a beginning and then the same bytes without end."""
    listeners: list[socket.socket] = []

    def start(beginning: bytes, piece: bytes) -> int:
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)
        threading.Thread(target=flood, args=(listener, beginning, piece), daemon=True).start()
        return int(listener.getsockname()[1])

    yield start
    for listener in listeners:
        listener.close()


def flood(listener: socket.socket, beginning: bytes, piece: bytes) -> None:
    with contextlib.suppress(OSError):
        while True:
            peer, _ = listener.accept()
            with contextlib.suppress(OSError), peer:
                peer.sendall(beginning)
                while piece:
                    peer.sendall(piece)
                time.sleep(2 * TIMEOUT_SECONDS)


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """A frame of HTTP/2 (RFC 9113, 4.1)."""
    return struct.pack("!I", len(payload))[1:] + struct.pack("!BBI", kind, flags, stream) + payload


SETTINGS = frame(4, 0, 0)
STATUS = b"\x88"
"""The header `:status: 200` (RFC 7541)."""

HTTP2 = {
    "silent": (b"", b"", {Outcome.TIMEOUT}),
    "SETTINGS without end": (SETTINGS, SETTINGS * 5000, {Outcome.TOO_LARGE}),
    "SETTINGS of many values": (
        SETTINGS,
        frame(4, 0, 0, struct.pack("!HI", 3, 100) * 2000) * 10,
        {Outcome.TOO_LARGE},
    ),
    "PING without end": (SETTINGS, frame(6, 0, 0, b"12345678") * 5000, {Outcome.TOO_LARGE}),
    "WINDOW_UPDATE without end": (
        SETTINGS,
        frame(8, 0, 0, b"\0\0\0\1") * 5000,
        {Outcome.TOO_LARGE},
    ),
    "CONTINUATION without end": (
        SETTINGS + frame(1, 0, 1, STATUS),
        frame(9, 0, 1, b"\x00\x01a\x01b" * 100) * 100,
        {Outcome.TOO_LARGE, Outcome.WRONG_PROTOCOL},
    ),
    "DATA without end": (
        SETTINGS + frame(1, 4, 1, STATUS),
        frame(0, 0, 1, b"x" * 16000),
        {Outcome.TOO_LARGE, Outcome.WRONG_PROTOCOL},
    ),
    "GOAWAY": (
        SETTINGS + frame(7, 0, 0, b"\0\0\0\0\0\0\0\0"),
        b"",
        {Outcome.WRONG_PROTOCOL, Outcome.CLOSED, Outcome.TIMEOUT},
    ),
    "HTTP/1.1": (b"HTTP/1.1 400 Bad Request\r\n\r\n", b"", {Outcome.WRONG_PROTOCOL}),
    "a frame of 16 MB": (b"\xff\xff\xff\x00\x00\x00\x00\x00\x01", b"x" * 65536, set(Outcome)),
}


@pytest.mark.parametrize(("beginning", "piece", "outcomes"), HTTP2.values(), ids=HTTP2)
async def test_http2_that_breaks_the_rules_ends_in_time(
    flooding: Any, attempt_at: Any, beginning: bytes, piece: bytes, outcomes: set[Outcome]
) -> None:
    attempt = attempt_at(
        flooding(beginning, piece), 15010, Role.ISTIOD, kind="grpc", timeout=TIMEOUT_SECONDS
    )
    began = time.monotonic()
    observed = await probe(attempt)
    assert time.monotonic() - began < TIMEOUT_SECONDS + 1.0
    assert observed.outcome in outcomes - {Outcome.OK}


PLAIN = {
    "HTTP": (b"HTTP/1.1 400 Bad Request\r\n\r\n", b"", Outcome.WRONG_PROTOCOL),
    "text without end": (b"", b"hello " * 4096, Outcome.WRONG_PROTOCOL),
    "an alert": (b"\x15\x03\x03\x00\x02\x02\x46", b"", Outcome.TLS_ERROR),
    "alerts without end": (b"", b"\x15\x03\x03\x00\x02\x01\x5a" * 4096, Outcome.TLS_ERROR),
    "records without end": (b"", b"\x16\x03\x03\x40\x00" + b"\0" * 16384, Outcome.TOO_LARGE),
    "nothing": (b"", b"", Outcome.TIMEOUT),
}


@pytest.mark.parametrize("kind", ["webhook", "grpc_tls"])
@pytest.mark.parametrize(("beginning", "piece", "outcome"), PLAIN.values(), ids=PLAIN)
async def test_what_is_no_tls_ends_in_time(
    flooding: Any,
    attempt_at: Any,
    *,
    kind: str,
    beginning: bytes,
    piece: bytes,
    outcome: Outcome,
) -> None:
    number = 15017 if kind == "webhook" else 15012
    attempt = attempt_at(
        flooding(beginning, piece), number, Role.ISTIOD, kind=kind, timeout=TIMEOUT_SECONDS
    )
    began = time.monotonic()
    observed = await probe(attempt)
    assert time.monotonic() - began < TIMEOUT_SECONDS + 1.0
    assert observed.outcome is outcome


def own_certificate(folder: Path, *, names: int = 1, chain: int = 0) -> ssl.SSLContext:
    """A server with a certificate of so many names, and that certificate so often again."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "istiod")])
    now = datetime.now(UTC)
    alternatives = [x509.DNSName(f"name-{number}.example.org") for number in range(names)]
    certificate = (
        x509.CertificateBuilder(subject, subject, key.public_key(), 1)
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem, der = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    file = folder / "own.pem"
    file.write_bytes(
        key.private_bytes(pem, der, serialization.NoEncryption())
        + certificate.public_bytes(pem) * (1 + chain)
    )
    context = server_context()
    context.load_cert_chain(file)
    return context


async def _stays(reader: Any, _writer: Any) -> None:
    await reader.read()


SIZES = {
    "a thousand names": ({"names": 1000}, Outcome.OK),
    "more names than a handshake may have bytes": ({"names": 4000}, Outcome.TOO_LARGE),
    "more names than OpenSSL reads": ({"names": 20_000}, Outcome.TOO_LARGE),
    "a long chain": ({"chain": 250}, Outcome.TOO_LARGE),
    "a huge chain": ({"chain": 2000}, Outcome.TOO_LARGE),
}


@pytest.mark.parametrize(("made", "outcome"), SIZES.values(), ids=SIZES)
async def test_a_huge_certificate_or_chain_is_read_to_its_limit(
    listen: Any, attempt_at: Any, tmp_path: Path, made: dict[str, int], outcome: Outcome
) -> None:
    port = await listen(_stays, ssl=own_certificate(tmp_path, **made))
    attempt = attempt_at(port, 15017, Role.ISTIOD, kind="tls", timeout=2.0)
    assert (await probe(attempt)).outcome is outcome


async def test_a_certificate_that_is_not_valid_yet_is_reported(
    listen: Any, attempt_at: Any, tmp_path: Path
) -> None:
    mesh = MeshAuthority(tmp_path / "mesh")
    port = await listen(_stays, ssl=mesh.serving("istiod.istio-system.svc", begins=1, days=2))
    options = ProbeOptions(trust=MeshTrust(str(mesh.root)))
    attempt = attempt_at(port, 15017, Role.ISTIOD, kind="webhook", options=options)
    observed = await probe(attempt)
    assert observed.outcome is Outcome.TLS_ERROR
    assert "not yet valid" in observed.detail


QUESTION = b"\x00\x01\x00\x01"
LOOPS = {
    "a name that points to itself": b"\xc0\x0c" + QUESTION,
    "two names that point to each other": b"\xc0\x12" + QUESTION + b"\xc0\x0c" + QUESTION,
    "a pointer past the end": b"\xff\xff" + QUESTION,
    "a label past the end": b"\x3fabc",
}


@pytest.mark.parametrize("rest", LOOPS.values(), ids=LOOPS)
async def test_a_dns_answer_that_loops_ends_in_time(
    listen: Any, attempt_at: Any, rest: bytes
) -> None:
    def reply(query: bytes) -> bytes:
        return query[:2] + struct.pack("!HHHHH", 0x8180, 1, 1, 0, 0) + rest

    class Server(asyncio.DatagramProtocol):
        def connection_made(self, transport: Any) -> None:
            self.transport = transport

        def datagram_received(self, data: bytes, addr: Any) -> None:
            self.transport.sendto(reply(data), addr)

    async def over_tcp(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        (length,) = struct.unpack("!H", await reader.readexactly(2))
        message = reply(await reader.readexactly(length))
        writer.write(struct.pack("!H", len(message)) + message)

    port = await listen(over_tcp)
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(Server, local_addr=("127.0.0.1", port))
    began = time.monotonic()
    observed = await probe(attempt_at(port, 15053, kind="dns", timeout=TIMEOUT_SECONDS))
    transport.close()
    assert time.monotonic() - began < TIMEOUT_SECONDS / 2
    assert observed.outcome is Outcome.OK, "only the header is read: it answers, whatever names"
