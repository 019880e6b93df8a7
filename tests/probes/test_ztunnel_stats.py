import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.model import Cadence, Outcome, ProbeKind, Role, ZtunnelFacts
from exporter.probes.probers import probe
from exporter.probes.ztunnel_stats import read_page

COUNTS = b"""# TYPE istio_xds_connection_terminations counter
istio_xds_connection_terminations_total{reason="ConnectionError"} 15
istio_xds_connection_terminations_total{reason="Reconnect"} 1
istio_xds_connection_terminations_total{reason="Sunspots"} 2
# HELP workload_manager_active_proxy_count The total number current workloads (unstable).
# TYPE workload_manager_active_proxy_count gauge
workload_manager_active_proxy_count 6
workload_manager_pending_proxy_count 1
workload_manager_proxies_started_total 6
"""
"""The shape of a recorded page's end (ztunnel HEAD 62d8265, shared mode)."""

CONNECTIONS = b'istio_tcp_sent_bytes_total{reporter="source",source_workload="web"} 1\n'
FACTS = ZtunnelFacts(
    page=Outcome.OK,
    active=6,
    pending=1,
    terminations={"ConnectionError": 15, "Reconnect": 1, "other": 2},
)
DETAIL = (Cadence.FAST, Cadence.DETAIL)
CLOSE = b"connection: close"


def attempt_of(attempt_at: Any, port: int, *, due: Any = DETAIL) -> Any:
    return attempt_at(port, 15020, Role.ZTUNNEL, kind=ProbeKind.ZTUNNEL_STATS, due=due)


async def test_the_counts_behind_megabytes_are_read(
    serve: Any, attempt_at: Any, answer: Any
) -> None:
    page = b"# TYPE a gauge\na 1\n" + CONNECTIONS * 60_000 + COUNTS
    pages = {"/metrics": answer(200, page, b"", CLOSE), "/": answer(404, b"", b"", CLOSE)}
    observed = await probe(attempt_of(attempt_at, await serve(pages)))
    assert (observed.outcome, observed.facts) == (Outcome.OK, FACTS)


async def test_a_fast_poll_does_not_request_the_page(serve: Any, attempt_at: Any) -> None:
    asked: list[bytes] = []
    port = await serve({}, asked)
    observed = await probe(attempt_of(attempt_at, port, due=(Cadence.FAST,)))
    assert (observed.outcome, observed.facts) == (Outcome.OK, None)
    assert [head.split()[1] for head in asked] == [b"/"]


ANSWERS = {
    "forbidden": ((404, 403), Outcome.OK, Outcome.FORBIDDEN),
    "no page": ((404, 404), Outcome.OK, Outcome.HTTP_ERROR),
    "fails": ((404, 500), Outcome.OK, Outcome.HTTP_ERROR),
    "another process": ((404, 200), Outcome.WRONG_IDENTITY, Outcome.WRONG_IDENTITY),
    "forbids all": ((403, 200), Outcome.FORBIDDEN, None),
    "broken": ((500, 200), Outcome.HTTP_ERROR, None),
}


@pytest.mark.parametrize(("statuses", "outcome", "page"), ANSWERS.values(), ids=ANSWERS)
async def test_only_a_page_of_another_process_changes_the_outcome(
    serve: Any, attempt_at: Any, answer: Any, statuses: Any, outcome: Outcome, page: Any
) -> None:
    root, metrics = statuses
    port = await serve({"/": answer(root), "/metrics": answer(metrics, b"<html>")})
    observed = await probe(attempt_of(attempt_at, port))
    assert observed.outcome is outcome
    assert getattr(observed.facts, "page", None) is page


async def test_an_endless_page_leaves_the_port_up_without_counts(
    listen: Any, attempt_at: Any
) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if b" / " in await reader.readuntil(b"\r\n\r\n"):
            writer.write(
                b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
            )
            return
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        lines = CONNECTIONS * 1000
        while True:
            writer.write(b"%x\r\n%b\r\n" % (len(lines), lines))
            await writer.drain()
            await asyncio.sleep(0)

    observed = await probe(attempt_of(attempt_at, await listen(talk)))
    assert (observed.outcome, observed.facts) == (
        Outcome.OK,
        ZtunnelFacts(page=Outcome.TOO_LARGE),
    )


@given(st.binary(max_size=300))
def test_no_page_breaks_the_reader(page: bytes) -> None:
    assert read_page(page).page is Outcome.OK
