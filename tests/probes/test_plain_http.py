from typing import Any

import pytest

from exporter.model import CniFacts, Outcome, Role
from exporter.probes.http import Reply
from exporter.probes.plain_http import judge_metrics
from exporter.probes.probers import probe

CASES = {
    "metrics": (("metrics", "/metrics"), (200, b"# TYPE a gauge\na 1\n"), Outcome.OK),
    "metrics of nobody": (("metrics", "/metrics"), (200, b"<html>"), Outcome.WRONG_IDENTITY),
    "metrics for others": (("metrics", "/metrics"), (403, b""), Outcome.FORBIDDEN),
    "no metrics": (("metrics", "/metrics"), (404, b""), Outcome.HTTP_ERROR),
    "own port": (("http", "/health"), (204, b""), Outcome.OK),
    "own port moved": (("http", "/health"), (302, b""), Outcome.OK),
    "own port for others": (("http", "/health"), (401, b""), Outcome.FORBIDDEN),
    "own port broken": (("http", "/health"), (500, b""), Outcome.HTTP_ERROR),
    "controlz": (("controlz", "/homej/"), (200, b"{}"), Outcome.OK),
    "no controlz": (("controlz", "/homej/"), (404, b""), Outcome.HTTP_ERROR),
    "xds debug": (("xds_debug", "/"), (404, b""), Outcome.OK),
    "ztunnel admin": (("ztunnel_admin", "/"), (200, b"<html>"), Outcome.OK),
    "ztunnel admin broken": (("ztunnel_admin", "/"), (500, b""), Outcome.HTTP_ERROR),
}


@pytest.mark.parametrize(("asked", "given", "outcome"), CASES.values(), ids=CASES)
async def test_judges_by_status_and_page(
    serve: Any, attempt_at: Any, answer: Any, asked: Any, given: Any, outcome: Outcome
) -> None:
    name, path = asked
    port = await serve({path: answer(*given)})
    observed = await probe(attempt_at(port, 15020, Role.ZTUNNEL, path=path, kind=name))
    assert observed.outcome is outcome


async def test_a_configured_path_that_must_not_be_sent_is_never_sent(
    serve: Any, attempt_at: Any
) -> None:
    asked: list[bytes] = []
    port = await serve({}, asked)
    observed = await probe(attempt_at(port, path="/quitquitquit", kind="http"))
    assert observed.outcome is Outcome.NO_ACCESS
    assert asked == []


PAGES = {
    "ambient": (b"# TYPE ztunnel_connected gauge\nztunnel_connected 1\n", CniFacts(ztunnels=1)),
    "none": (b"# TYPE ztunnel_connected gauge\nztunnel_connected 0\n", CniFacts(ztunnels=0)),
    "sidecars": (b"# TYPE istio_cni_install_ready gauge\nistio_cni_install_ready 1\n", None),
    "no number": (b"# TYPE ztunnel_connected gauge\nztunnel_connected x\n", None),
    "longer name": (b"# TYPE x gauge\nztunnel_connected_total 0\n", None),
}


@pytest.mark.parametrize(("page", "facts"), PAGES.values(), ids=PAGES)
def test_the_page_of_a_cni_agent_counts_its_ztunnels(page: bytes, facts: CniFacts | None) -> None:
    result = judge_metrics(Reply(200, b"", page))
    assert (result.outcome, result.facts) == (Outcome.OK, facts)


def test_a_page_that_is_none_counts_nothing() -> None:
    assert judge_metrics(Reply(503, b"", b"ztunnel_connected 0\n")).facts is None
