"""Polls of a ztunnel and of a workload that it serves: hellos, counts, what is left out."""

import asyncio
import contextlib
import ssl
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from exporter.config import Config
from exporter.model import EVERY_CADENCE, FAST_ONLY, Memory, Role, Settings, Target, TargetKey
from exporter.poll.poll_target import poll_once
from exporter.report.health import Health, health_of
from exporter.tls_contexts import server_context
from tests.real.certificates import write_certificates

SPIFFE = "spiffe://cluster.local/ns/istio-system/sa/ztunnel"
PAGE = (
    b"# TYPE workload_manager_active_proxy_count gauge\n"
    b"workload_manager_active_proxy_count 8\nworkload_manager_pending_proxy_count %d\n"
)


@dataclass
class Ztunnel:
    """One at 127.0.0.1: what it answers on 15008 and 15020, and how many hellos it got."""

    pending: int = 0
    gets_certificates: bool = True
    is_silent: bool = False
    hellos: int = 0
    tls: ssl.SSLContext = field(default_factory=server_context)

    async def answer_hbone(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Require a certificate, or close at once as a ztunnel without one does (recorded)."""
        self.hellos += 1
        if self.is_silent:
            await reader.read(1)
            await asyncio.sleep(10)
        elif self.gets_certificates:
            with contextlib.suppress(OSError, ssl.SSLError):
                await writer.start_tls(self.tls)
                await reader.read()
        writer.close()

    async def answer_http(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """15020 and 15021: the page, readiness, 404 for any other path, and the end."""
        path = (await reader.readuntil(b"\r\n\r\n")).split()[1]
        body = {b"/metrics": PAGE % self.pending, b"/healthz/ready": b"ready"}.get(path, b"")
        status = b"200 OK" if body else b"404 Not Found"
        head = b"HTTP/1.1 %b\r\ncontent-length: %d\r\nconnection: close\r\n\r\n"
        writer.write(head % (status, len(body)) + body)
        writer.close()

    @contextlib.asynccontextmanager
    async def serving(self, address: str, *hbone: int) -> AsyncIterator[Target]:
        """Listen on an address, and on these ports of HBONE."""
        async with contextlib.AsyncExitStack() as stack:
            for port in (15020, 15021):
                server = await asyncio.start_server(self.answer_http, address, port)
                await stack.enter_async_context(server)
            for port in hbone:
                server = await asyncio.start_server(self.answer_hbone, address, port)
                await stack.enter_async_context(server)
            yield Target(
                key=TargetKey("istio-system", "ztunnel"), role=Role.ZTUNNEL, addresses=(address,)
            )

    async def serve_workload(self, address: str) -> tuple[asyncio.Server, ...]:
        """15008, the control port and an application's port of a workload, redirected or not."""
        return (
            await asyncio.start_server(self.answer_hbone, address, 15008),
            await asyncio.start_server(_close, address, 15999),
            await asyncio.start_server(_close, address, 8080),
        )


async def _close(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()


@pytest.fixture
async def ztunnel(tmp_path: Path) -> AsyncIterator[tuple[Ztunnel, Target]]:
    write_certificates(tmp_path, SPIFFE)
    made = Ztunnel()
    made.tls.load_cert_chain(tmp_path / "chain.pem", tmp_path / "key.pem")
    made.tls.load_verify_locations(tmp_path / "root.pem")
    made.tls.verify_mode = ssl.CERT_REQUIRED
    made.tls.set_alpn_protocols(["h2"])
    async with made.serving("127.15.0.8", 15008) as target:
        yield made, target


async def test_its_certificate_is_seen_with_one_hello_and_kept(
    ztunnel: tuple[Ztunnel, Target],
) -> None:
    made, target = ztunnel
    memory, now = Memory(), time.time()
    for number in range(4):
        due = FAST_ONLY if number else EVERY_CADENCE
        seen = await poll_once(target, memory, due, Config(), now + 30 * number)
        memory = seen.memory
        verdicts = {row.port: row.up for row in seen.record.verdicts}
        assert (verdicts[15008], seen.record.diagnosis) == (True, None)
        assert seen.record.spiffe_id == SPIFFE
    assert made.hellos == 1
    assert seen.record.proxy.workloads == {"active": 8, "pending": 0}


async def test_two_hellos_closed_at_once_are_an_authority_that_issues_nothing(
    ztunnel: tuple[Ztunnel, Target],
) -> None:
    made, target = ztunnel
    made.gets_certificates = False
    now = time.time()
    first = await poll_once(target, Memory(), EVERY_CADENCE, Config(), now)
    second = await poll_once(target, first.memory, FAST_ONLY, Config(), now + 30)
    assert "identity_not_issued" in first.record.undetected
    assert second.record.diagnosis
    assert second.record.diagnosis.cause == "identity_not_issued"
    assert "log of ztunnel" in second.record.diagnosis.advice


async def test_a_ztunnel_without_15008_has_no_verdict_on_it() -> None:
    async with Ztunnel().serving("127.15.0.9") as target:
        seen = await poll_once(target, Memory(), EVERY_CADENCE, Config(), time.time())
    assert {row.port for row in seen.record.verdicts if row.up is not None} == {15020, 15021}


async def test_one_whose_15008_answers_no_hello_has_no_verdict_on_it_and_is_healthy(
    ztunnel: tuple[Ztunnel, Target],
) -> None:
    made, target = ztunnel
    made.is_silent = True
    seen = await poll_once(target, Memory(), EVERY_CADENCE, Config(), time.time())
    assert 15008 not in {row.port for row in seen.record.verdicts}
    assert health_of(seen.record) is Health.HEALTHY


async def test_a_workload_that_stays_pending_is_named(ztunnel: tuple[Ztunnel, Target]) -> None:
    made, target = ztunnel
    made.pending, memory, now = 2, Memory(), time.time()
    for number in range(2):
        seen = await poll_once(target, memory, EVERY_CADENCE, Config(), now + 120 * number)
        memory = seen.memory
    assert seen.record.diagnosis
    assert seen.record.diagnosis.cause == "ztunnel_workload_pending"
    assert seen.record.proxy.workloads == {"active": 8, "pending": 2}


async def test_a_healthy_workload_is_spared_the_connects_that_tell_faults_apart(
    ztunnel: tuple[Ztunnel, Target],
) -> None:
    made, target = ztunnel
    address = "127.15.0.10"
    hbone, control, application = await made.serve_workload(address)
    workload = replace(
        target,
        role=Role.AMBIENT,
        addresses=(address,),
        captured=True,
        settings=Settings(application_ports=(8080,)),
    )
    memory, now, ports = Memory(), time.time(), []
    async with application:
        for number in range(6):
            if number == 4:
                for server in (hbone, control):
                    server.close()
                    await server.wait_closed()
            due = FAST_ONLY if number else EVERY_CADENCE
            seen = await poll_once(workload, memory, due, Config(), now + 30 * number)
            memory = seen.memory
            ports.append(sorted(o.port for o in seen.observations))
    assert ports[0] == [8080, 15008, 15008, 15999]
    assert ports[2:4] == [[15008, 15999]] * 2
    assert ports[4:] == [[8080, 15008, 15999]] * 2
    assert seen.record.diagnosis
    assert seen.record.diagnosis.cause == "outside_mesh"
