"""Plain HTTP endpoints: metrics pages, debug interfaces, and ports of the user's own."""

from exporter.model import Outcome
from exporter.probes import paths
from exporter.probes.attempt import Attempt, ProbeResult
from exporter.probes.http import HttpClient, Reply, result_of_error_status
from exporter.probes.metrics_text import is_metrics


async def probe_metrics(attempt: Attempt) -> ProbeResult:
    """A page of metrics in Prometheus text."""
    reply = await HttpClient(attempt).get(paths.metrics(attempt.probe.path or "/metrics"))
    return result_of_error_status(reply, attempt) or judge_metrics(reply)


async def probe_http(attempt: Attempt) -> ProbeResult:
    """A port of the user's own: any answer that is no error."""
    reply = await HttpClient(attempt).get(paths.configured(attempt.probe.path or "/"))
    return result_of_error_status(reply, attempt) or _by_status(reply, most=399)


async def probe_controlz(attempt: Attempt) -> ProbeResult:
    """ControlZ's summary page."""
    reply = await HttpClient(attempt).get(paths.CONTROLZ_HOME)
    return result_of_error_status(reply, attempt) or _by_status(reply, most=299)


async def probe_any_http(attempt: Attempt) -> ProbeResult:
    """A debug interface whose pages are big or change with versions: any HTTP answer will do."""
    reply = await HttpClient(attempt).get(paths.ROOT)
    return result_of_error_status(reply, attempt) or _by_status(reply, most=499)


def judge_metrics(reply: Reply) -> ProbeResult:
    """What an answer of a metrics port means."""
    answer = _by_status(reply, most=299)
    if answer.outcome is Outcome.OK and not is_metrics(reply.body):
        return ProbeResult(Outcome.WRONG_IDENTITY, "the page is not in Prometheus text")
    return answer


def _by_status(reply: Reply, *, most: int) -> ProbeResult:
    if reply.status <= most:
        return ProbeResult(Outcome.OK)
    return ProbeResult(Outcome.HTTP_ERROR, f"HTTP {reply.status}")
