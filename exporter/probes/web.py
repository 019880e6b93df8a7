"""Plain HTTP endpoints: metrics pages, debug interfaces, and ports of the user's own."""

from exporter.model import Outcome
from exporter.probes import paths
from exporter.probes.http import HttpClient, Reply, answer_to
from exporter.probes.text import is_metrics
from exporter.probes.visit import Answer, Visit


async def probe_metrics(visit: Visit) -> Answer:
    """A page of metrics in Prometheus text."""
    reply = await HttpClient(visit).get(paths.configured(visit.port.path or "/metrics"))
    return answer_to(reply, visit) or judge_metrics(reply)


async def probe_http(visit: Visit) -> Answer:
    """A port of the user's own: any answer that is no error."""
    reply = await HttpClient(visit).get(paths.configured(visit.port.path or "/"))
    return answer_to(reply, visit) or _by_status(reply, most=399)


async def probe_controlz(visit: Visit) -> Answer:
    """ControlZ's summary page."""
    reply = await HttpClient(visit).get(paths.CONTROLZ_HOME)
    return answer_to(reply, visit) or _by_status(reply, most=299)


async def probe_any_http(visit: Visit) -> Answer:
    """A debug interface whose pages are big or change with versions: any HTTP answer will do."""
    reply = await HttpClient(visit).get(paths.ROOT)
    return answer_to(reply, visit) or _by_status(reply, most=499)


def judge_metrics(reply: Reply) -> Answer:
    """What an answer of a metrics port says."""
    answer = _by_status(reply, most=299)
    if answer.outcome is Outcome.OK and not is_metrics(reply.body):
        return Answer(Outcome.WRONG_IDENTITY, "the page is not in Prometheus text")
    return answer


def _by_status(reply: Reply, *, most: int) -> Answer:
    if reply.status <= most:
        return Answer(Outcome.OK)
    return Answer(Outcome.HTTP_ERROR, f"HTTP {reply.status}")
