"""HTTP readiness: 15021 through Envoy, ztunnel's 15021, and plain /ready ports.

15021's answer is relayed from the agent, but Envoy writes its header: without it another process
answers. ztunnel names the tasks it waits for in a 500.
"""

from exporter.model import Outcome, ReadinessFacts
from exporter.probes import paths
from exporter.probes.attempt import Attempt, ProbeResult
from exporter.probes.http import Reply, is_relayed, result_of_error_status
from exporter.probes.single_get import SingleGet, accepting

_PENDING = b"not ready, pending:"
_MOST_PENDING = 1024


def _judge_envoy(reply: Reply, attempt: Attempt) -> ProbeResult:
    refused = result_of_error_status(reply, attempt, of_envoy=True)
    return refused or judge_health(reply, relayed=is_relayed(reply, attempt))


def judge_health(reply: Reply, *, relayed: bool = False) -> ProbeResult:
    """What an answer of 15021 means.

    A moved port is captured, so that the redirection puts its own name over the listener's; what
    is left to tell it by is that the agent's answer has no body.
    """
    if reply.server != b"envoy" and not (relayed and not reply.body):
        return ProbeResult(Outcome.WRONG_IDENTITY, "the answer does not come from Envoy")
    return judge_ready(reply)


def judge_ztunnel(reply: Reply) -> ProbeResult:
    """What an answer of ztunnel's readiness port means."""
    if reply.status == 500 and reply.body.startswith(_PENDING):  # noqa: PLR2004
        text = reply.body[len(_PENDING) :][:_MOST_PENDING].decode(errors="replace")
        pending = tuple(task.strip() for task in text.split(",") if task.strip())
        facts = ReadinessFacts(status=reply.status, pending=pending)
        return ProbeResult(Outcome.NOT_READY, "waits for " + ", ".join(pending), facts)
    return judge_ready(reply)


def judge_ready(reply: Reply) -> ProbeResult:
    """What a readiness answer's status means."""
    facts = ReadinessFacts(status=reply.status)
    if reply.status == 200:  # noqa: PLR2004
        return ProbeResult(Outcome.OK, facts=facts)
    outcome = Outcome.NOT_READY if reply.status == 503 else Outcome.HTTP_ERROR  # noqa: PLR2004
    return ProbeResult(outcome, f"HTTP {reply.status}", facts)


probe_readiness = SingleGet(lambda _: paths.HEALTHZ_READY, _judge_envoy)
"""Envoy's health port; without Envoy's header another process holds it."""

probe_ztunnel_ready = SingleGet(lambda _: paths.HEALTHZ_READY, accepting(judge_ztunnel))
"""Whether ztunnel is ready, and what it waits for."""

probe_http_ready = SingleGet(lambda at: paths.configured(at.probe.path), accepting(judge_ready))
"""The port's own readiness path: 200 or 503."""
