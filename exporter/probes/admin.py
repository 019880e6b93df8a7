"""15000 in the pod view: Envoy's administration interface.

/ready answers with one word of Envoy's; anything else is another process. Details and
certificates come after the outcome stands, each with its own deadline, and a part that fails is
left out.
"""

from exporter.model import AdminFacts, Cadence, Outcome
from exporter.probes import paths
from exporter.probes.admin_pages import PAGES
from exporter.probes.attempt import Attempt, ProbeResult
from exporter.probes.http import HttpClient, Reply, result_of_error_status

_STATES = frozenset((b"LIVE", b"DRAINING", b"PRE_INITIALIZING", b"INITIALIZING"))
_DETAIL = (paths.ENVOY_STATS, paths.LISTENERS, paths.LISTENER_STATES)


async def probe_admin(attempt: Attempt) -> ProbeResult:
    """Request /ready, then what else is due."""
    client = HttpClient(attempt)
    reply = await client.get(paths.READY)
    answer = result_of_error_status(reply, attempt, of_envoy=True) or _judge_admin(reply)
    facts = answer.facts
    if not isinstance(facts, AdminFacts):
        return answer
    attempt.settle()
    for path in _due_pages(attempt):
        attempt.allow(attempt.timeout)
        try:
            page = await client.get(path)
        except Exception:  # noqa: BLE001 - /ready was the proof; the rest is extra
            break
        if page.status == 200:  # noqa: PLR2004
            facts = PAGES[path](facts, page.body)
    return ProbeResult(answer.outcome, answer.detail, facts)


def _judge_admin(reply: Reply) -> ProbeResult:
    """What an answer to /ready means."""
    word = reply.body.strip()
    if word not in _STATES:
        return ProbeResult(Outcome.WRONG_IDENTITY, "the answer is not one of Envoy's states")
    outcome = Outcome.OK if reply.status == 200 else Outcome.NOT_READY  # noqa: PLR2004
    state = word.decode()
    return ProbeResult(outcome, "" if outcome is Outcome.OK else state, AdminFacts(state=state))


def _due_pages(attempt: Attempt) -> tuple[paths.Path, ...]:
    """The bootstrap, which is large, only where nothing else shows the proxy's version."""
    due = attempt.due
    pages: tuple[paths.Path, ...] = ()
    if Cadence.DETAIL in due:
        pages += _DETAIL
    if Cadence.IDENTITY in due:
        pages += (paths.CERTS,)
        if not attempt.target.istio_version:
            pages += (paths.SERVER_INFO,)
    return pages
