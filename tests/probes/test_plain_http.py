from typing import Any

import pytest

from exporter.model import Outcome, Role
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
