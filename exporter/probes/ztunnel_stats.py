"""15020 of a ztunnel: that it answers in every poll, and at the detail cadence its page's counts.

The page grows with the connections of the node's pods, to megabytes, and the counts are behind
all of that: it is read in pieces and little is kept. ztunnel answers any other path with 404, which
costs it nothing. Recorded, shared mode: `connection: close` on every answer.
"""

from exporter.model import Cadence, Outcome, ZtunnelFacts
from exporter.probes import paths
from exporter.probes.attempt import Attempt, ProbeResult, failure
from exporter.probes.http import HttpClient, result_of_error_status
from exporter.probes.metrics_text import by_label, is_metrics, sample
from exporter.probes.page_reader import PAGE_SECONDS, PageReader

_ACTIVE = b"workload_manager_active_proxy_count"
_PENDING = b"workload_manager_pending_proxy_count"
_TERMINATIONS = b"istio_xds_connection_terminations_total"

_REASONS = ("ConnectionError", "Error", "Reconnect", "Complete")
"""Why a connection to istiod ended (ztunnel src/xds/metrics.rs); any other is `other`."""


async def probe_ztunnel_stats(attempt: Attempt) -> ProbeResult:
    """Request any path, then the page where it is due; only a page of another changes the outcome.

    A page that was cut, or that came too late, leaves the port up: it answered.
    """
    client = HttpClient(attempt)
    reply = await client.get(paths.ROOT)
    answer = result_of_error_status(reply, attempt)
    if answer is None and reply.status >= 500:  # noqa: PLR2004
        answer = ProbeResult(Outcome.HTTP_ERROR, f"HTTP {reply.status}")
    if answer is not None or Cadence.DETAIL not in attempt.due:
        return answer or ProbeResult(Outcome.OK)
    attempt.settle()
    facts = await _page(client, attempt)
    if facts.page is Outcome.WRONG_IDENTITY:
        return ProbeResult(Outcome.WRONG_IDENTITY, "the page is not in Prometheus text", facts)
    return ProbeResult(Outcome.OK, facts=facts)


async def _page(client: HttpClient, attempt: Attempt) -> ZtunnelFacts:
    reader = PageReader((_ACTIVE, _PENDING, _TERMINATIONS))
    attempt.allow(PAGE_SECONDS)
    path = paths.metrics(attempt.probe.path or "/metrics")
    try:
        reply = await client.get(path, reader=reader)
    except Exception as error:  # noqa: BLE001 - the port answered, whatever the page does
        return read_page(reader.kept, failure(error, attempt).outcome)
    refused = result_of_error_status(reply, attempt)
    if refused is not None:
        return ZtunnelFacts(page=refused.outcome)
    if reply.status != 200:  # noqa: PLR2004
        return ZtunnelFacts(page=Outcome.HTTP_ERROR)
    if not is_metrics(reply.body):
        return ZtunnelFacts(page=Outcome.WRONG_IDENTITY)
    return read_page(reply.body)


def read_page(page: bytes, outcome: Outcome = Outcome.OK) -> ZtunnelFacts:
    """The facts of what was kept of a page (any bytes), and how reading it ended."""
    ended: dict[str, float] = {}
    for reason, count in by_label(page, _TERMINATIONS, b"reason").items():
        known = reason if reason in _REASONS else "other"
        ended[known] = ended.get(known, 0.0) + count
    return ZtunnelFacts(
        page=outcome,
        active=sample(page, _ACTIVE),
        pending=sample(page, _PENDING),
        terminations=ended,
    )
