from typing import Any

import pytest

from exporter.model import Outcome, Role, TlsFacts
from exporter.probes.probers import probe

READY = {
    200: Outcome.OK,
    503: Outcome.NOT_READY,
    403: Outcome.FORBIDDEN,
    404: Outcome.HTTP_ERROR,
}


@pytest.mark.parametrize(("status", "outcome"), READY.items())
async def test_readiness_and_certificate_come_from_one_connection(
    serve: Any, attempt_at: Any, answer: Any, tls: Any, status: int, outcome: Outcome
) -> None:
    asked: list[bytes] = []
    port = await serve({"/ready": answer(status)}, asked, ssl=tls("http/1.1"))
    observed = await probe(attempt_at(port, 15017, Role.ISTIOD, version="1.28.0", kind="webhook"))
    assert observed.outcome is outcome
    assert isinstance(observed.facts, TlsFacts)
    assert observed.facts.certificate is not None
    assert [head.split()[1] for head in asked] == [b"/ready"]


@pytest.mark.parametrize("version", ["1.22.3", "1.20.0"])
async def test_old_webhooks_have_only_a_handshake(
    serve: Any, attempt_at: Any, tls: Any, version: str
) -> None:
    asked: list[bytes] = []
    port = await serve({}, asked, ssl=tls("http/1.1"))
    observed = await probe(attempt_at(port, 15017, Role.ISTIOD, version=version, kind="webhook"))
    assert observed.outcome is Outcome.OK
    assert asked == []


async def test_a_webhook_of_unknown_version_without_ready_serves_after_its_handshake(
    serve: Any, attempt_at: Any, answer: Any, tls: Any
) -> None:
    port = await serve({"/ready": answer(404)}, [], ssl=tls("http/1.1"))
    observed = await probe(attempt_at(port, 15017, Role.ISTIOD, version="", kind="webhook"))
    assert observed.outcome is Outcome.OK


async def test_a_webhook_that_closes_after_the_handshake_gets_no_request_in_plaintext(
    listen: Any, attempt_at: Any, tls: Any
) -> None:
    connections = []

    async def talk(_reader: Any, writer: Any) -> None:
        connections.append(writer)
        writer.close()

    port = await listen(talk, ssl=tls("http/1.1"))
    observed = await probe(attempt_at(port, 15017, Role.ISTIOD, kind="webhook"))
    assert observed.outcome in {Outcome.CLOSED, Outcome.RESET}
    assert isinstance(observed.facts, TlsFacts)
    assert observed.facts.certificate is not None
    assert len(connections) == 1


async def test_a_large_answer_over_tls_stops_at_the_limit(
    listen: Any, attempt_at: Any, endings: Any, tls: Any
) -> None:
    async def talk(reader: Any, writer: Any) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await endings["endless"](reader, writer)

    port = await listen(talk, ssl=tls("http/1.1"))
    observed = await probe(attempt_at(port, 15017, Role.ISTIOD, kind="webhook"))
    assert observed.outcome is Outcome.TOO_LARGE
