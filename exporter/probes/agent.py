"""15020: the agent's readiness, and at a cadence of their own its metrics.

The metrics page also makes the agent scrape Envoy and the application, so it is filtered to the
agent's part, has a deadline of its own, and never changes the readiness outcome unless it shows
that another process answers. A body or a Server header of the readiness answer shows it at once,
but for the name of an Envoy that a policy engine may put on the way (cilium/cilium#40020). The
application's own probes are requested only where chosen.
"""

import re
from collections.abc import Mapping

from exporter.model import AgentFacts, AgentMetrics, Cadence, Outcome
from exporter.model.facts import CERTIFICATE_RESOURCES
from exporter.model.interning import NO_ENTRIES, shared_mapping
from exporter.probes import paths
from exporter.probes.attempt import Attempt, ProbeResult, failure
from exporter.probes.http import HttpClient, Reply, is_relayed
from exporter.probes.metrics_text import by_label, sample
from exporter.probes.page_reader import PAGE_SECONDS, PageReader
from exporter.probes.single_get import SingleGet

_LOCALHOST_ONLY = b"Only requests from localhost are allowed"
_ON_THE_WAY = b"envoy"
_ENVOYS = frozenset((_ON_THE_WAY, b"istio-envoy"))
_SCRAPED = frozenset(("envoy", "application", "agent"))
_CERTIFICATES = frozenset(CERTIFICATE_RESOURCES)
_ENDED = re.compile(
    rb"^istio_agent_.*\n(?!istio_agent_|# (?:HELP|TYPE) istio_agent_).+\n", re.MULTILINE
)
"""Families are sorted by name: the agent's are complete when another one follows them."""

_FOREIGN = ProbeResult(Outcome.WRONG_IDENTITY, "the page has no metrics of the agent")


def _judge_readiness(reply: Reply, attempt: Attempt) -> ProbeResult:
    return _foreign(reply, relayed=is_relayed(reply, attempt)) or _judge_agent(reply)


async def _probe_with_pages(attempt: Attempt) -> ProbeResult:
    client = HttpClient(attempt)
    reply = await client.get(paths.HEALTHZ_READY)
    answer = _judge_readiness(reply, attempt)
    if not isinstance(answer.facts, AgentFacts) or answer.outcome is Outcome.WRONG_IDENTITY:
        return answer
    attempt.settle()
    page, metrics = None, None
    if Cadence.PAGE in attempt.due:
        page, metrics = await _page(client, attempt)
    if page is Outcome.WRONG_IDENTITY:
        answer = _FOREIGN
    facts = AgentFacts(
        status=reply.status,
        page=page,
        metrics=metrics,
        app_health=await _app_health(client, attempt),
    )
    return ProbeResult(answer.outcome, answer.detail, facts)


def _wants_pages(attempt: Attempt) -> bool:
    """Whether more than the agent's readiness is due."""
    wants_health = attempt.options.application_probes and Cadence.DETAIL in attempt.due
    return wants_health or Cadence.PAGE in attempt.due


probe_agent = SingleGet(
    lambda _: paths.HEALTHZ_READY, _judge_readiness, _probe_with_pages, _wants_pages
)
"""The agent's readiness, and then what else is due."""


def _foreign(reply: Reply, *, relayed: bool) -> ProbeResult | None:
    """Who answers in the agent's place: its answer has neither a body nor a Server header.

    A moved status port is captured: the redirection relays the agent's answer, which has no body,
    and adds its own name. Without the agent it answers 503 with its reason in the body. So does an
    Envoy on the way; whether it has relayed the agent's answer, the page of metrics shows.
    """
    if _is_denied(reply):
        detail = f"answered with HTTP {reply.status} by an Envoy on the way"
        return ProbeResult(Outcome.REJECTED, detail)
    if not reply.body and (relayed or reply.server == _ON_THE_WAY):
        return None
    if reply.status == 503 and reply.server == b"istio-envoy":  # noqa: PLR2004
        return ProbeResult(Outcome.CAPTURED, "only the pod's redirection answered")
    if reply.server in _ENVOYS:
        who = "the answer comes from an Envoy, not from the agent"
    elif reply.server:
        who = "the answer has a Server header, which the agent never sends"
    elif reply.body:
        who = "the answer has a body, which the agent's readiness never has"
    else:
        return None
    return ProbeResult(Outcome.WRONG_IDENTITY, who)


def _is_denied(reply: Reply) -> bool:
    """Whether a policy that an Envoy enforces on the way denies the request."""
    return reply.server == _ON_THE_WAY and reply.status in (401, 403)


def _judge_agent(reply: Reply) -> ProbeResult:
    """What an answer to /healthz/ready means; the agent knows only 200 and 503."""
    facts = AgentFacts(status=reply.status)
    match reply.status:
        case 200:
            return ProbeResult(Outcome.OK, facts=facts)
        case 503:
            return ProbeResult(Outcome.NOT_READY, "HTTP 503", facts)
    return ProbeResult(
        Outcome.WRONG_IDENTITY, f"HTTP {reply.status} is no answer of the agent", facts
    )


async def _page(client: HttpClient, attempt: Attempt) -> tuple[Outcome, AgentMetrics | None]:
    """Read the page to its end, and keep its start: the agent counts a reader that leaves before.

    Of a page that was cut, by its length or by the deadline, the agent's own part counts if more
    than that came.
    """
    attempt.allow(PAGE_SECONDS)
    reader = PageReader()
    try:
        reply = await client.get(paths.AGENT_PAGE, reader=reader)
    except Exception as error:  # noqa: BLE001 - readiness stands, whatever the page does
        outcome, page = failure(error, attempt).outcome, reader.kept
        if outcome is Outcome.TIMEOUT and page:
            outcome = Outcome.TOO_LARGE
        is_cut = outcome is Outcome.TOO_LARGE and _ENDED.search(page) is not None
        return outcome, read_agent(page) if is_cut else None
    return judge_page(reply)


def judge_page(reply: Reply) -> tuple[Outcome, AgentMetrics | None]:
    """What an answer to the metrics page means: how it ended, and the metrics where they came."""
    is_local = reply.status == 403 and _LOCALHOST_ONLY in reply.body  # noqa: PLR2004
    if is_local or _is_denied(reply):
        return Outcome.FORBIDDEN, None
    if reply.status >= 500:  # noqa: PLR2004
        return Outcome.HTTP_ERROR, None
    if reply.status != 200 or b"istio_agent_" not in reply.body:  # noqa: PLR2004
        return Outcome.WRONG_IDENTITY, None
    return Outcome.OK, read_agent(reply.body)


def read_agent(page: bytes) -> AgentMetrics:
    """The agent's metrics on a page (any bytes); never counted is 0."""
    terminations = by_label(page, b"istio_agent_istiod_connection_terminations", b"type")
    return AgentMetrics(
        scrape_failures=shared_mapping(
            by_label(page, b"istio_agent_scrape_failures_total", b"type", _SCRAPED)
        ),
        istiod_terminations_by_error=terminations.get("error", 0.0),
        csr_failures=_csr(page, b"istio_agent_num_failed_outgoing_requests"),
        csr_retries=_csr(page, b"istio_agent_num_outgoing_retries"),
        xds_requests=sample(page, b"istio_agent_xds_proxy_requests") or 0.0,
        xds_responses=sample(page, b"istio_agent_xds_proxy_responses") or 0.0,
        dns_upstream_requests=sample(page, b"istio_agent_dns_upstream_requests_total") or 0.0,
        dns_upstream_failures=sample(page, b"istio_agent_dns_upstream_failures_total") or 0.0,
        certificate_seconds=by_label(
            page, b"istio_agent_cert_expiry_seconds", b"resource_name", _CERTIFICATES, signed=True
        )
        or NO_ENTRIES,
    )


def _csr(page: bytes, name: bytes) -> float:
    return by_label(page, name, b"request_type").get("csr", 0.0)


async def _app_health(client: HttpClient, attempt: Attempt) -> Mapping[str, int]:
    """The status of each of the application's probes; those that did not answer are left out."""
    health: dict[str, int] = {}
    if not attempt.options.application_probes:
        return health
    for text in attempt.target.settings.app_probe_paths:
        attempt.allow(attempt.timeout)
        try:
            health[text] = (await client.get(paths.application(text))).status
        except Exception:  # noqa: BLE001, S112 - no answer is no sample
            continue
    return health
