import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.model import AgentFacts, AgentMetrics, Cadence, Outcome, Settings
from exporter.probes import paths
from exporter.probes.agent import read_agent
from exporter.probes.attempt import ProbeOptions
from exporter.probes.probers import probe

PAGE = b"""\
# TYPE istio_agent_cert_expiry_seconds gauge
istio_agent_cert_expiry_seconds{resource_name="default"} 86390.78
istio_agent_cert_expiry_seconds{resource_name="ROOTCA"} -5
istio_agent_dns_upstream_failures_total 4
istio_agent_dns_upstream_requests_total 40
istio_agent_istiod_connection_terminations{type="cancelled"} 2
istio_agent_istiod_connection_terminations{type="error"} 8
istio_agent_num_failed_outgoing_requests{request_type="csr"} 6
istio_agent_num_outgoing_requests{request_type="csr"} 7
istio_agent_num_outgoing_retries{request_type="csr"} 5
istio_agent_scrape_failures_total{type="application"} 3
istio_agent_startup_duration_seconds 2.98
istio_agent_xds_proxy_requests 8
istio_agent_xds_proxy_responses 4
"""
PAGE_DUE = (Cadence.FAST, Cadence.PAGE)
LOCALHOST_ONLY = b"Only requests from localhost are allowed\n"


@pytest.fixture
def answer(answer: Any) -> Any:
    """The agent's answers: it names no server."""

    def make(status: int, body: bytes = b"", server: bytes = b"") -> bytes:
        whole: bytes = answer(status, body, server)
        return whole if server else whole.replace(b"server: \r\n", b"")

    return make


def test_reads_the_agents_own_metrics() -> None:
    assert read_agent(PAGE) == AgentMetrics(
        scrape_failures={"application": 3},
        istiod_terminations_by_error=8,
        csr_failures=6,
        csr_retries=5,
        xds_requests=8,
        xds_responses=4,
        dns_upstream_requests=40,
        dns_upstream_failures=4,
        certificate_seconds={"default": 86390.78, "ROOTCA": -5},
    )


READY = {
    "ready": (200, Outcome.OK),
    "not ready": (503, Outcome.NOT_READY),
    "another process": (404, Outcome.WRONG_IDENTITY),
    "another's refusal": (403, Outcome.WRONG_IDENTITY),
    "another's question": (401, Outcome.WRONG_IDENTITY),
}


@pytest.mark.parametrize(("status", "outcome"), READY.values(), ids=READY)
async def test_readiness_is_the_status(
    serve: Any, attempt_at: Any, answer: Any, status: int, outcome: Outcome
) -> None:
    port = await serve({"/healthz/ready": answer(status)})
    observed = await probe(attempt_at(port, 15020, kind="agent"))
    assert observed.outcome is outcome
    assert observed.facts == AgentFacts(status=status)


VOICES = {
    "the agent, by an envoy on the way": ((200, b"", b"envoy"), False, Outcome.OK),
    "the unready agent, by one": ((503, b"", b"Envoy"), False, Outcome.NOT_READY),
    "an envoy that denies": ((403, b"Access denied", b"envoy"), False, Outcome.REJECTED),
    "an envoy that denies without a word": ((403, b"", b"envoy"), False, Outcome.REJECTED),
    "an envoy that asks who it is": ((401, b"", b"envoy"), False, Outcome.REJECTED),
    "an envoy that reaches nobody": ((503, b"reset", b"envoy"), False, Outcome.WRONG_IDENTITY),
    "an envoy that knows no such path": ((404, b"", b"envoy"), False, Outcome.WRONG_IDENTITY),
    "an envoy with a body": ((200, b"ok", b"envoy"), False, Outcome.WRONG_IDENTITY),
    "another server": ((200, b"", b"nginx"), False, Outcome.WRONG_IDENTITY),
    "another server, not ready": ((503, b"", b"Werkzeug/3"), False, Outcome.WRONG_IDENTITY),
    "another server on a captured port": ((200, b"", b"nginx"), True, Outcome.WRONG_IDENTITY),
    "a body": ((200, b"ok"), False, Outcome.WRONG_IDENTITY),
    "a body that is a blank": ((200, b"\n"), False, Outcome.WRONG_IDENTITY),
    "a body and not ready": ((503, b"starting"), False, Outcome.WRONG_IDENTITY),
    "a body on a captured port": ((200, b"ok"), True, Outcome.WRONG_IDENTITY),
    "the agent": ((200,), False, Outcome.OK),
    "the unready agent": ((503,), False, Outcome.NOT_READY),
    "a relayed application": ((200, b"hi", b"istio-envoy"), True, Outcome.WRONG_IDENTITY),
    "a relay nobody expects": ((200, b"", b"istio-envoy"), False, Outcome.WRONG_IDENTITY),
    "the redirection": ((503, b"reset", b"istio-envoy"), True, Outcome.CAPTURED),
    "a redirection nobody expects": ((503, b"", b"istio-envoy"), False, Outcome.CAPTURED),
    "the agent, relayed": ((200, b"", b"istio-envoy"), True, Outcome.OK),
    "the unready agent, relayed": ((503, b"", b"istio-envoy"), True, Outcome.NOT_READY),
}


@pytest.mark.parametrize(("given", "captured", "outcome"), VOICES.values(), ids=VOICES)
async def test_the_agents_answer_has_neither_body_nor_server(
    serve: Any, attempt_at: Any, answer: Any, given: Any, captured: Any, outcome: Outcome
) -> None:
    port = await serve({"/healthz/ready": answer(*given)})
    observed = await probe(attempt_at(port, 15020, captured=captured, kind="agent"))
    assert observed.outcome is outcome
    assert bool(observed.detail) is (outcome is not Outcome.OK)


def test_labels_that_the_agent_does_not_have_are_left_out() -> None:
    page = b"""\
istio_agent_scrape_failures_total{type="agent"} 1
istio_agent_scrape_failures_total{type="x1"} 2
istio_agent_cert_expiry_seconds{resource_name="x2"} 3
istio_agent_cert_expiry_seconds{resource_name="ROOTCA"} 4
"""
    metrics = read_agent(page)
    assert metrics.scrape_failures == {"agent": 1}
    assert metrics.certificate_seconds == {"ROOTCA": 4}


PAGES = {
    "the agent's": ((200, PAGE), Outcome.OK, Outcome.OK),
    "another's": ((200, b"app_up 1\n"), Outcome.WRONG_IDENTITY, Outcome.WRONG_IDENTITY),
    "loopback only": ((403, LOCALHOST_ONLY), Outcome.OK, Outcome.FORBIDDEN),
    "another's refusal": ((403, b""), Outcome.WRONG_IDENTITY, Outcome.WRONG_IDENTITY),
    "broken": ((500, b""), Outcome.OK, Outcome.HTTP_ERROR),
}


@pytest.mark.parametrize(("given", "outcome", "page"), PAGES.values(), ids=PAGES)
async def test_the_page_proves_the_agent_and_no_more(
    serve: Any, attempt_at: Any, answer: Any, given: Any, outcome: Outcome, page: Any
) -> None:
    port = await serve({"/healthz/ready": answer(200), paths.AGENT_PAGE.text: answer(*given)})
    observed = await probe(attempt_at(port, 15020, due=PAGE_DUE, kind="agent"))
    assert observed.outcome is outcome
    assert isinstance(observed.facts, AgentFacts)
    assert observed.facts.page is page
    assert (observed.facts.metrics is not None) is (page is Outcome.OK)


BY_ENVOY = {
    "the agent's": ((200, PAGE), Outcome.OK, Outcome.OK),
    "another's": ((200, b"app_up 1\n"), Outcome.WRONG_IDENTITY, Outcome.WRONG_IDENTITY),
    "denied": ((403, b"Access denied"), Outcome.OK, Outcome.FORBIDDEN),
}


@pytest.mark.parametrize(("given", "outcome", "page"), BY_ENVOY.values(), ids=BY_ENVOY)
async def test_of_what_an_envoy_relays_the_page_proves_whose_it_is(
    serve: Any, attempt_at: Any, answer: Any, given: Any, outcome: Outcome, page: Any
) -> None:
    pages = {
        "/healthz/ready": answer(200, b"", b"envoy"),
        paths.AGENT_PAGE.text: answer(*given, b"envoy"),
    }
    observed = await probe(attempt_at(await serve(pages), 15020, due=PAGE_DUE, kind="agent"))
    assert (observed.outcome, observed.facts.page) == (outcome, page)


async def test_a_slow_page_leaves_readiness_as_it_is(
    listen: Any, attempt_at: Any, answer: Any, monkeypatch: Any
) -> None:
    monkeypatch.setattr("exporter.probes.agent.PAGE_SECONDS", 0.4)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer(503))
        await asyncio.sleep(10)

    observed = await probe(
        attempt_at(await listen(talk), 15020, due=PAGE_DUE, timeout=0.2, kind="agent")
    )
    assert observed.outcome is Outcome.NOT_READY
    assert observed.facts == AgentFacts(status=503, page=Outcome.TIMEOUT)
    assert observed.seconds < 0.2


MORE = b"go_threads 7\n"
"""The agent's own families are sorted by name."""

LONG = {
    "over the usual limit of an answer": (PAGE + MORE, 12, Outcome.OK, True),
    "over any limit": (PAGE + b"process_threads 7\n", 64, Outcome.TOO_LARGE, True),
    "over any limit and another's": (b"app_up 1\n", 64, Outcome.TOO_LARGE, False),
}


@pytest.mark.parametrize("case", LONG.values(), ids=LONG)
async def test_a_long_page_is_read_on_to_its_end_or_32_mib_and_the_agents_part_counts(
    listen: Any, attempt_at: Any, answer: Any, case: Any
) -> None:
    start, mebibytes, page, read = case
    ended = asyncio.Event()
    rest = b'app_requests_total{path="/"} 123456\n' * 30_000

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer(200))
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        for chunk in (start, *[rest] * mebibytes):
            writer.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
            await writer.drain()
        writer.write(b"0\r\n\r\n")
        await writer.drain()
        ended.set()

    port = await listen(talk)
    observed = await probe(attempt_at(port, 15020, due=PAGE_DUE, timeout=5, kind="agent"))
    assert observed.outcome is Outcome.OK
    assert isinstance(observed.facts, AgentFacts)
    assert observed.facts.page is page
    assert observed.facts.metrics == (read_agent(start) if read else None)
    assert ended.is_set() is (page is Outcome.OK)


CUT = {
    "before its first line": (b"", Outcome.TIMEOUT, False),
    "within the agent's part": (PAGE, Outcome.TOO_LARGE, False),
    "behind the agent's part": (PAGE + b"process_threads 7\n", Outcome.TOO_LARGE, True),
}


@pytest.mark.parametrize("case", CUT.values(), ids=CUT)
async def test_of_a_page_cut_by_the_deadline_only_a_whole_part_counts(
    listen: Any, attempt_at: Any, answer: Any, monkeypatch: Any, case: Any
) -> None:
    start, page, read = case
    monkeypatch.setattr("exporter.probes.agent.PAGE_SECONDS", 0.3)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer(200))
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer(200, start + b"x" * 99)[:-99])
        await asyncio.sleep(10)

    observed = await probe(attempt_at(await listen(talk), 15020, due=PAGE_DUE, kind="agent"))
    assert isinstance(observed.facts, AgentFacts)
    assert observed.facts.page is page
    assert observed.facts.metrics == (read_agent(start) if read else None)


async def test_a_page_slower_than_the_probes_timeout_still_counts(
    listen: Any, attempt_at: Any, answer: Any
) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer(200))
        await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(0.3)
        writer.write(answer(200, PAGE))

    observed = await probe(
        attempt_at(await listen(talk), 15020, due=PAGE_DUE, timeout=0.1, kind="agent")
    )
    assert isinstance(observed.facts, AgentFacts)
    assert observed.facts.page is Outcome.OK


async def test_application_probes_are_requested_only_where_chosen(
    serve: Any, attempt_at: Any, answer: Any
) -> None:
    texts = ("/app-health/app/readyz", "/app-health/app/livez", "/quitquitquit")
    pages = {
        "/healthz/ready": answer(200),
        paths.AGENT_PAGE.text: answer(200, PAGE),
        texts[0]: answer(500),
        texts[1]: answer(200),
    }
    asked: list[bytes] = []
    port = await serve(pages, asked)
    settings = Settings(app_probe_paths=texts)
    health = []
    for chosen in (False, True):
        options = ProbeOptions(application_probes=chosen)
        given = attempt_at(
            port, 15020, due=frozenset(Cadence), settings=settings, options=options, kind="agent"
        )
        observed = await probe(given)
        assert isinstance(observed.facts, AgentFacts)
        health.append(observed.facts.app_health)
    assert health == [{}, {texts[0]: 500, texts[1]: 200}]
    assert not any(b"quitquitquit" in head for head in asked)


@given(st.binary(max_size=400))
def test_no_bytes_crash_the_reader(page: Any) -> None:
    read_agent(page)
    read_agent(b"istio_agent_scrape_failures_total{" + page)
