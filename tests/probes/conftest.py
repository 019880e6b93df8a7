"""Small real listeners on port 0, and attempts that ask them."""

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from exporter.access.direct import Direct
from exporter.catalogue import PORTS_BY_ROLE
from exporter.model import Cadence, Probe, ProbeKind, Role, Settings, Target, TargetKey, View
from exporter.probes.attempt import Attempt, ProbeOptions
from exporter.tls_contexts import server_context
from tests.listening import listening

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
Listen = Callable[..., Awaitable[int]]


@pytest.fixture
async def listen() -> AsyncIterator[Listen]:
    """Start a listener that runs `talk` for each connection; returns its port."""
    async with AsyncExitStack() as listeners:

        async def start(talk: Talk, **kwargs: Any) -> int:
            return await listeners.enter_async_context(listening(talk, backlog=2048, **kwargs))

        yield start


@pytest.fixture
def serve(listen: Listen) -> Listen:
    """Serve HTTP answers by path, bytes as they are; unknown paths get a 404."""

    async def start(pages: dict[str, bytes], asked: list[bytes] | None = None, **kw: Any) -> int:
        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                if asked is not None:
                    asked.append(head)
                answer = pages.get(head.split()[1].decode(), http(404))
                writer.write(answer)
                if b"connection: close" in answer.lower():
                    return

        return await listen(talk, **kw)

    return start


def http(status: int, body: bytes = b"", server: bytes = b"envoy", *lines: bytes) -> bytes:
    """An HTTP answer's bytes."""
    head = [b"HTTP/1.1 %d X" % status, b"content-length: %d" % len(body), b"server: " + server]
    return b"\r\n".join([*head, *lines, b"", body])


@pytest.fixture
def answer() -> Callable[..., bytes]:
    return http


@pytest.fixture
def attempt_at() -> Callable[..., Attempt]:
    """An attempt at a port on loopback that stands for a catalogue port."""

    def make(port: int, number: int = 15021, role: Role = Role.SIDECAR, **given: Any) -> Attempt:
        row = next(row for row in PORTS_BY_ROLE[role] if row.number == number)
        target = Target(
            key=TargetKey("shop", "cart"),
            role=role,
            addresses=("127.0.0.1",),
            istio_version=given.get("version", "1.30.0"),
            settings=given.get("settings", Settings()),
            trusted=given.get("trusted", False),
        )
        return Attempt(
            Direct("127.0.0.1"),
            Probe(
                port,
                ProbeKind(given.get("kind", ProbeKind.READINESS)),
                given.get("view", View.NETWORK),
                "127.0.0.1",
                given.get("path", row.path),
                given.get("captured", False),
                given.get("control", 0),
            ),
            frozenset(given.get("due", (Cadence.FAST,))),
            given.get("timeout", 2.0),
            target,
            given.get("options", ProbeOptions()),
        )

    return make


def _reset(writer: asyncio.StreamWriter) -> None:
    linger = struct.pack("ii", 1, 0)
    raw = writer.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.transport.abort()


async def _silent(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(60)


async def _closes(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()


async def _closes_when_asked(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(65536)
    writer.close()


async def _resets(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    _reset(writer)


async def _resets_when_asked(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)
    _reset(writer)


async def _garbage(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"\x05\x00nonsense and more of it\r\n\r\n")
    await reader.read()


async def _endless(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
    while True:
        writer.write(b"ffff\r\n" + b"x" * 65535 + b"\r\n")
        await writer.drain()
        await asyncio.sleep(0)  # drain need not yield, and the client shares this loop


@pytest.fixture
def endings() -> dict[str, Talk]:
    """Ways in which a peer can behave badly, by name."""
    return {
        "silent": _silent,
        "closes": _closes,
        "closes_when_asked": _closes_when_asked,
        "resets": _resets,
        "resets_when_asked": _resets_when_asked,
        "garbage": _garbage,
        "endless": _endless,
    }


SPIFFE = "spiffe://cluster.local/ns/shop/sa/default"


@pytest.fixture(scope="session")
def issued(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str, bytes]:
    """A certificate with a SPIFFE name: the files of certificate and key, and its DER."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x")])
    names = [x509.UniformResourceIdentifier(SPIFFE), x509.DNSName("istiod.istio-system.svc")]
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(datetime(2026, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2026, 1, 2, tzinfo=UTC))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(key, hashes.SHA256())
    )
    folder = tmp_path_factory.mktemp("tls")
    certificate, private = folder / "cert.pem", folder / "key.pem"
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return str(certificate), str(private), made.public_bytes(serialization.Encoding.DER)


@pytest.fixture
def tls(issued: tuple[str, str, bytes]) -> Callable[..., ssl.SSLContext]:
    """A server's TLS context."""

    def make(*alpn: str, mutual: bool = False) -> ssl.SSLContext:
        context = server_context()
        context.load_cert_chain(issued[0], issued[1])
        context.set_alpn_protocols(list(alpn))
        if mutual:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(issued[0])
        return context

    return make
