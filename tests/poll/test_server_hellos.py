"""A gateway's server certificates, by hellos with their names."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from msgspec import structs

from exporter import clock
from exporter.config import Config, PollConfig
from exporter.model import (
    EVERY_CADENCE,
    FAST_ONLY,
    AdminFacts,
    Certificate,
    Memory,
    Role,
    Settings,
    Target,
    TargetKey,
    TargetRecord,
    Timestamped,
)
from exporter.poll.poll_target import poll_once
from exporter.tls_contexts import server_context
from tests.diagnosis.matrix import CONTROL, GATEWAY, seen_by, sidecar

ENDS = {"shop.example": 2040, "*.pay.example": 2001, "": 2050}
"""In which year the certificate for a name ends."""


def context_of(folder: Path, name: str, year: int) -> ssl.SSLContext:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "server")])
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(datetime(2000, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(year, 1, 1, tzinfo=UTC))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name or "x")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    encoding, pem = serialization.Encoding.PEM, folder / "server.pem"
    none = serialization.NoEncryption()
    pem.write_bytes(
        made.public_bytes(encoding)
        + key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, none)
    )
    context = server_context()
    context.load_cert_chain(pem)
    return context


@asynccontextmanager
async def gateway(folder: Path) -> AsyncIterator[tuple[Target, list[str | None]]]:
    """A gateway with a TLS server for the names and a plain one; the names that were asked for."""
    contexts = {name: context_of(folder, name, year) for name, year in ENDS.items()}
    asked: list[str | None] = []

    def choose(connection: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
        asked.append(name)
        known = contexts.get((name or "").replace("any.", "*."))
        if known is not None:
            connection.context = known

    chosen = contexts[""]
    chosen.sni_callback = choose  # type: ignore[assignment] # typeshed has SSLSocket alone

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    secure = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=chosen)
    plain = await asyncio.start_server(serve, "127.0.0.1", 0)
    ports = tuple(one.sockets[0].getsockname()[1] for one in (secure, plain))
    target = Target(
        key=TargetKey("edge", "gateway"),
        role=Role.GATEWAY,
        addresses=("127.0.0.1",),
        settings=Settings(server_ports=ports),
    )
    async with secure, plain:
        yield target, asked


def known_to_admin(*names: str) -> Memory:
    certificates = (Certificate(not_before=0.0, not_after=1.0, dns_names=names),)
    return Memory(admin=Timestamped(AdminFacts(server_certificates=certificates), clock.now()))


def year_of(row: float) -> int:
    return datetime.fromtimestamp(row, UTC).year


def shown(record: TargetRecord) -> dict[tuple[int, str], int]:
    return {(row.port, row.server_name): year_of(row.not_after) for row in record.servers}


async def test_each_name_of_admins_certificates_is_asked_for_at_each_server(
    tmp_path: Path,
) -> None:
    async with gateway(tmp_path) as (target, asked):
        memory = known_to_admin("shop.example", "*.pay.example")
        seen = await poll_once(target, memory, EVERY_CADENCE, Config(), clock.now())
        secure = target.settings.server_ports[0]
        assert shown(seen.record) == {
            (secure, "shop.example"): 2040,
            (secure, "*.pay.example"): 2001,
        }
        assert sorted(map(str, asked)) == ["any.pay.example", "shop.example"]
        again = await poll_once(target, seen.memory, FAST_ONLY, Config(), clock.now())
        assert len(asked) == 2, "not in every poll"
        assert again.record.servers == seen.record.servers


async def test_without_names_a_hello_without_one_shows_the_server_of_every_host(
    tmp_path: Path,
) -> None:
    async with gateway(tmp_path) as (target, _):
        seen = await poll_once(target, Memory(), EVERY_CADENCE, Config(), clock.now())
        assert shown(seen.record) == {(target.settings.server_ports[0], ""): 2050}


async def test_a_certificate_that_has_ended_is_a_fault_of_its_gateway(tmp_path: Path) -> None:
    async with gateway(tmp_path) as (target, _):
        memory = known_to_admin("*.pay.example")
        seen = await poll_once(target, memory, EVERY_CADENCE, Config(), clock.now())
    record, _ = judged(target, seen.memory)
    assert record.diagnosis
    assert record.diagnosis.cause == "certificate_expired"
    assert "*.pay.example has ended" in record.diagnosis.evidence[0]
    assert "credentialName" in record.diagnosis.advice
    assert "needs no restart" in record.diagnosis.advice


def test_a_certificate_that_has_not_begun_is_a_fault_of_its_gateway() -> None:
    begins = Certificate(not_before=clock.now() + 3600, not_after=clock.now() + 9e6)
    shown = {(8443, "shop.example"): Timestamped(begins, clock.now())}
    record, _ = judged(GATEWAY, Memory(server_names=shown))
    assert record.diagnosis
    assert record.diagnosis.cause == "certificate_not_yet_valid"
    assert "8443 presents for shop.example begins in" in record.diagnosis.evidence[0]
    assert "credentialName" in record.diagnosis.advice


def judged(target: Target, memory: Memory) -> tuple[TargetRecord, Memory]:
    """What a healthy gateway comes to with this memory and these servers."""
    servers = replace(GATEWAY, settings=replace(GATEWAY.settings, **servers_of(target)))
    return seen_by(
        sidecar(without=(15006, CONTROL)), target=servers, memory=memory, now=clock.now()
    )


def servers_of(target: Target) -> dict[str, tuple[int, ...]]:
    return {"server_ports": target.settings.server_ports}


async def test_a_certificate_that_has_ended_is_asked_for_again_at_the_detail_interval(
    tmp_path: Path,
) -> None:
    async with gateway(tmp_path) as (target, asked):
        memory, now = known_to_admin("shop.example", "*.pay.example"), clock.now()
        first = await poll_once(target, memory, EVERY_CADENCE, Config(), now)
        asked.clear()
        detail = Config().poll.detail_interval
        for seconds, names in ((detail / 2, []), (detail, ["any.pay.example"])):
            await poll_once(target, first.memory, FAST_ONLY, Config(), now + seconds)
            assert asked == names, "the others are not asked for"


async def test_a_certificate_that_ends_is_asked_for_at_once_and_its_end_is_no_fault_once_renewed(
    tmp_path: Path,
) -> None:
    async with gateway(tmp_path) as (target, _):
        now, secure = clock.now(), target.settings.server_ports[0]
        known = known_to_admin("shop.example")
        ends = Certificate(not_before=0.0, not_after=now + 10, dns_names=("shop.example",))
        names = {(secure, "shop.example"): Timestamped(ends, now - 3000)}
        memory = structs.replace(known, server_names=names)
        before = await poll_once(target, memory, FAST_ONLY, Config(), now)
        assert before.memory.server_names[secure, "shop.example"].value == ends
        after = await poll_once(target, memory, FAST_ONLY, Config(), now + 11)
        assert shown(after.record) == {(secure, "shop.example"): 2040}


async def test_a_server_and_a_name_that_are_configured_no_more_are_forgotten(
    tmp_path: Path,
) -> None:
    async with gateway(tmp_path) as (target, _):
        memory = known_to_admin("shop.example", "*.pay.example")
        seen = await poll_once(target, memory, EVERY_CADENCE, Config(), clock.now())
    secure, plain = target.settings.server_ports
    _, kept = judged(target, seen.memory)
    assert kept.server_names == seen.memory.server_names
    settings = replace(target.settings, server_ports=(plain,))
    record, memory = judged(replace(target, settings=settings), seen.memory)
    assert {port for port, _ in memory.server_names} <= {plain}
    assert secure not in {row.port for row in record.servers}
    fewer = structs.replace(seen.memory, admin=known_to_admin("shop.example").admin)
    record, memory = judged(target, fewer)
    assert {name for _, name in memory.server_names} == {"shop.example"}
    assert "ended" not in str(record.diagnosis)


@pytest.mark.parametrize("hello", [True, False])
async def test_no_hello_is_sent_where_none_is_allowed_and_32_at_most(
    tmp_path: Path, hello: bool
) -> None:
    async with gateway(tmp_path) as (target, asked):
        memory = known_to_admin(*[f"s{number}.example" for number in range(99)])
        config = Config(poll=PollConfig(hello=hello))
        seen = await poll_once(target, memory, EVERY_CADENCE, config, clock.now())
    assert len(asked) <= 32 if hello else not asked
    assert len(seen.record.servers) == 32
