import asyncio
import re
import ssl
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from exporter.bounds import CERTIFICATE as CERTIFICATE_BYTES
from exporter.model import Certificate, Outcome, TlsFacts
from exporter.probes.probers import probe
from exporter.probes.tls import TlsProtocol
from exporter.probes.x509_facts import certificate_of, root_of
from exporter.tls_contexts import server_context

CERTIFICATE = Certificate(
    not_before=1767225600.0,
    not_after=1767312000.0,
    uris=("spiffe://cluster.local/ns/shop/sa/default",),
    dns_names=("istiod.istio-system.svc",),
)

ROOT = "68616d82f11fc8dd"
"""Of a certificate without key identifiers: a hash of its issuer's name."""


async def _wait(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def _close(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()


def test_reads_dates_and_names(issued: tuple[str, str, bytes]) -> None:
    assert certificate_of(issued[2]) == CERTIFICATE
    assert certificate_of(issued[2]).spiffe_id == CERTIFICATE.uris[0]


def _signed(
    name: str,
    signer: tuple[str, ec.EllipticCurvePrivateKey] | None,
    *,
    known: bool = True,
    extensions: Sequence[x509.ExtensionType] = (),
) -> tuple[tuple[str, ec.EllipticCurvePrivateKey], x509.Certificate]:
    """A certificate for a new key, by the signer or by itself; with key identifiers if `known`."""
    key = ec.generate_private_key(ec.SECP256R1())
    issuer, own = signer or (name, key)
    make = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime(2026, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2036, 1, 2, tzinfo=UTC))
    )
    if known:
        of_issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(own.public_key())
        own_key = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        make = make.add_extension(own_key, critical=False)
        make = make.add_extension(of_issuer, critical=False) if signer else make
    for extension in extensions:
        make = make.add_extension(extension, critical=False)
    return (name, key), make.sign(own, hashes.SHA256())


@pytest.mark.parametrize("known", [True, False], ids=["by key", "by name"])
async def test_the_root_is_the_same_whether_it_or_an_intermediate_is_presented(
    listen: Any, attempt_at: Any, tmp_path: Path, known: bool
) -> None:
    root_key, root = _signed("root", None, known=known)
    middle_key, middle = _signed("middle", root_key, known=known)
    roots = set()
    for signer, chain in (
        (root_key, []),
        (root_key, [root]),
        (middle_key, [middle]),
        (middle_key, [middle, root]),
    ):
        (_, key), leaf = _signed("leaf", signer, known=known)
        pem, private = tmp_path / "chain.pem", tmp_path / "key.pem"
        encoding = serialization.Encoding.PEM
        pem.write_bytes(b"".join(one.public_bytes(encoding) for one in (leaf, *chain)))
        private.write_bytes(
            key.private_bytes(
                encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        context = server_context()
        context.load_cert_chain(pem, private)
        observed = await probe(attempt_at(await listen(_wait, ssl=context), 15020, kind="tls"))
        assert isinstance(observed.facts, TlsFacts)
        roots.add(observed.facts.root)
    assert len(roots) == 1
    assert re.fullmatch("[0-9a-f]{16}", roots.pop())


@given(st.binary(max_size=200))
def test_what_is_no_certificate_names_no_root(der: bytes) -> None:
    assert root_of(der) == ""


@given(st.binary(max_size=200))
def test_what_is_no_certificate_is_a_value_error(der: Any) -> None:
    with pytest.raises(ValueError, match=r"."):
        certificate_of(der)


VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


@pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version.name)
@pytest.mark.parametrize("mutual", [False, True], ids=["one-sided", "asks for ours"])
@pytest.mark.parametrize("then", [_wait, _close], ids=["stays", "closes"])
async def test_the_certificate_counts_whatever_follows(
    listen: Any, attempt_at: Any, tls: Any, mutual: Any, then: Any, version: ssl.TLSVersion
) -> None:
    context = tls("h2", mutual=mutual)
    context.minimum_version = context.maximum_version = version
    port = await listen(then, ssl=context)
    observed = await probe(attempt_at(port, 15020, kind="tls"))
    assert observed.outcome is Outcome.OK
    assert observed.facts == TlsFacts(certificate=CERTIFICATE, root=ROOT)


OFFERED = {"tls": "h2", "grpc_tls": "h2", "hbone_hello": "h2", "hello": "istio"}


@pytest.mark.parametrize(("kind", "alpn"), OFFERED.items(), ids=OFFERED)
async def test_the_protocol_of_the_port_is_offered(
    listen: Any, attempt_at: Any, kind: str, alpn: str
) -> None:
    sent = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        sent.append(await reader.read(4096))
        writer.close()

    await probe(attempt_at(await listen(talk), kind=kind))
    assert bytes([len(alpn), *alpn.encode()]) in sent[0]


_NAMES = x509.UnrecognizedExtension(
    x509.ObjectIdentifier("2.5.29.17"), bytes.fromhex("3004a3023000")
)
"""Alternative names of a kind that no name of a workload has: one of X.400."""

_UNKNOWN = [
    x509.UnrecognizedExtension(x509.ObjectIdentifier(f"2.5.29.{number}"), b"0")
    for number in (98, 99)
]
BREACHES: dict[str, tuple[list[x509.UnrecognizedExtension], bytes, bytes]] = {
    "version": ([], bytes.fromhex("a003020102"), bytes.fromhex("a003020108")),
    "extension": (_UNKNOWN, bytes.fromhex("0603551d63"), bytes.fromhex("0603551d62")),
    "name": ([_NAMES], b"", b""),
}
"""By what is broken: extensions, and what stands in the certificate in the place of what."""


@pytest.mark.parametrize("breach", BREACHES)
async def test_a_certificate_that_breaks_the_rules_is_a_wrong_protocol(
    listen: Any, attempt_at: Any, tmp_path: Path, breach: str
) -> None:
    extensions, before, after = BREACHES[breach]
    (_, key), certificate = _signed("broken", None, extensions=extensions)
    der = certificate.public_bytes(serialization.Encoding.DER).replace(before, after)
    context = _serving(tmp_path, key, der)
    observed = await probe(attempt_at(await listen(_wait, ssl=context), kind="tls"))
    assert observed.outcome is Outcome.WRONG_PROTOCOL
    assert "certificate" in observed.detail


def _serving(folder: Path, key: ec.EllipticCurvePrivateKey, der: bytes) -> ssl.SSLContext:
    """A server that presents this certificate."""
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    file = folder / "server.pem"
    file.write_bytes(pem + ssl.DER_cert_to_PEM_cert(der).encode())
    context = server_context()
    context.load_cert_chain(file)
    return context


@pytest.mark.parametrize(("padding", "is_read"), [(24_000, True), (CERTIFICATE_BYTES, False)])
async def test_a_certificate_is_read_up_to_a_size(
    listen: Any, attempt_at: Any, tmp_path: Path, padding: int, is_read: bool
) -> None:
    value = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3"), bytes(padding))
    (_, key), certificate = _signed("large", None, extensions=[value])
    der = certificate.public_bytes(serialization.Encoding.DER)
    port = await listen(_wait, ssl=_serving(tmp_path, key, der))
    observed = await probe(attempt_at(port, kind="tls"))
    assert observed.outcome is (Outcome.OK if is_read else Outcome.TOO_LARGE)
    assert observed.detail == ("" if is_read else "more than 24576 bytes")


async def test_a_hello_for_15006_is_sent_to_the_control_port(
    listen: Any, attempt_at: Any, tls: Any
) -> None:
    control = await listen(_wait, ssl=tls("istio", mutual=True))
    observed = await probe(attempt_at(15006, 15006, control=control, kind="hello"))
    assert (observed.port, observed.outcome) == (15006, Outcome.OK)
    assert observed.facts == TlsFacts(certificate=CERTIFICATE, root=ROOT)


async def test_a_server_without_istios_protocol_still_shows_its_certificate(
    listen: Any, attempt_at: Any, tls: Any
) -> None:
    control = await listen(_wait, ssl=tls())
    observed = await probe(attempt_at(15006, 15006, control=control, kind="hello"))
    assert observed.facts == TlsFacts(certificate=CERTIFICATE, root=ROOT)


HELLOS = {
    "silent": Outcome.TIMEOUT,
    "closes_when_asked": Outcome.CLOSED,
    "resets_when_asked": Outcome.RESET,
    "garbage": Outcome.WRONG_PROTOCOL,
}


@pytest.mark.parametrize(("ending", "outcome"), HELLOS.items(), ids=HELLOS)
async def test_a_failed_hello_shows_nothing(
    listen: Any, attempt_at: Any, endings: Any, ending: str, outcome: Outcome
) -> None:
    control = await listen(endings[ending])
    observed = await probe(attempt_at(15006, 15006, control=control, timeout=0.3, kind="hello"))
    assert (observed.outcome, observed.connected) == (outcome, True)
    assert (observed.port, observed.facts) == (15006, None)


async def test_a_refused_hello_is_about_the_port_that_it_is_for(
    attempt_at: Any, unused_tcp_port: int
) -> None:
    observed = await probe(attempt_at(15006, 15006, control=unused_tcp_port, kind="hello"))
    assert (observed.port, observed.outcome) == (15006, Outcome.REFUSED)


ALERTS = {
    "handshake failure": b"\x15\x03\x03\x00\x02\x02\x28",
    "certificate required": b"\x15\x03\x03\x00\x02\x02\x74",
}


@pytest.mark.parametrize("alert", ALERTS.values(), ids=ALERTS)
async def test_an_alert_is_tls_that_failed(listen: Any, attempt_at: Any, alert: bytes) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(alert)
        await reader.read()

    assert (await probe(attempt_at(await listen(talk), kind="tls"))).outcome is Outcome.TLS_ERROR


class Connection:
    def write(self, data: bytes) -> None:
        assert data

    def abort(self) -> None:
        pass


@given(
    st.lists(st.binary(min_size=1, max_size=300), max_size=5),
    st.sampled_from([b"", b"\x16\x03\x03"]),
)
def test_no_bytes_crash_a_handshake(chunks: list[bytes], start: bytes) -> None:
    async def feed() -> None:
        line = TlsProtocol(("h2",))
        line.connection_made(Connection())  # type: ignore[arg-type]
        for chunk in chunks:
            line.data_received(start + chunk)
        line.connection_lost(None)
        assert line.done.exception() is not None

    asyncio.run(feed())
