"""Plain HTTP endpoints: metrics pages, debug interfaces, and ports of the user's own."""

from functools import partial

from exporter.model import CniFacts, Outcome
from exporter.probes import paths
from exporter.probes.attempt import ProbeResult
from exporter.probes.http import Reply
from exporter.probes.metrics_text import is_metrics, sample
from exporter.probes.single_get import Judge, SingleGet, accepting


def judge_metrics(reply: Reply) -> ProbeResult:
    """What an answer of a metrics port means."""
    answer = _by_status(reply, most=299)
    if answer.outcome is Outcome.OK and not is_metrics(reply.body):
        return ProbeResult(Outcome.WRONG_IDENTITY, "the page is not in Prometheus text")
    ztunnels = sample(reply.body, _ZTUNNELS) if answer.outcome is Outcome.OK else None
    return (
        answer
        if ztunnels is None
        else ProbeResult(answer.outcome, facts=CniFacts(ztunnels=ztunnels))
    )


_ZTUNNELS = b"ztunnel_connected"
"""Of istio-cni alone, in a mesh that is ambient."""


def _by_status(reply: Reply, *, most: int) -> ProbeResult:
    if reply.status <= most:
        return ProbeResult(Outcome.OK)
    return ProbeResult(Outcome.HTTP_ERROR, f"HTTP {reply.status}")


def _status_up_to(most: int) -> Judge:
    return accepting(partial(_by_status, most=most))


probe_metrics = SingleGet(
    lambda at: paths.metrics(at.probe.path or "/metrics"), accepting(judge_metrics)
)
"""A page of metrics in Prometheus text."""

probe_http = SingleGet(lambda at: paths.configured(at.probe.path or "/"), _status_up_to(399))
"""A port of the user's own: any answer that is no error."""

probe_controlz = SingleGet(lambda _: paths.CONTROLZ_HOME, _status_up_to(299))
"""ControlZ's summary page."""

probe_any_http = SingleGet(lambda _: paths.ROOT, _status_up_to(499))
"""A debug interface whose pages are big or change with versions: any answer below 500."""
