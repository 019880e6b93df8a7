import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.model import Outcome, ReadinessFacts, Role
from exporter.probes import probe
from exporter.probes.http import Reply
from exporter.probes.readiness import judge_health, judge_ztunnel

HEALTH = {
    "ready": ((200, b"", b"envoy"), Outcome.OK),
    "any case": ((200, b"", b"Envoy"), Outcome.OK),
    "not ready": ((503, b"", b"envoy"), Outcome.NOT_READY),
    "another process": ((200, b"app /healthz/ready\n", b"BaseHTTP/0.6"), Outcome.WRONG_IDENTITY),
    "another process is not ready": ((503, b"", b"nginx"), Outcome.WRONG_IDENTITY),
    "envoy without the route": ((404, b"", b"envoy"), Outcome.HTTP_ERROR),
}


@pytest.mark.parametrize(("given", "outcome"), HEALTH.values(), ids=HEALTH)
async def test_envoys_health_port_needs_envoys_header(serve, visit, answer, given, outcome):
    port = await serve({"/healthz/ready": answer(*given)})
    observed = await probe("readiness", visit(port))
    assert observed.outcome is outcome
    if outcome is not Outcome.WRONG_IDENTITY:
        assert observed.facts == ReadinessFacts(status=given[0])


ZTUNNEL = {
    "ready": (Reply(200, b"", b"ready\n"), Outcome.OK, ()),
    "one task": (
        Reply(500, b"", b"not ready, pending: workload proxy manager\n"),
        Outcome.NOT_READY,
        ("workload proxy manager",),
    ),
    "two tasks": (
        Reply(500, b"", b"not ready, pending: a, state manager"),
        Outcome.NOT_READY,
        ("a", "state manager"),
    ),
    "broken": (Reply(500, b"", b"oops"), Outcome.HTTP_ERROR, ()),
}


@pytest.mark.parametrize(("reply", "outcome", "pending"), ZTUNNEL.values(), ids=ZTUNNEL)
def test_ztunnel_names_what_it_waits_for(reply, outcome, pending):
    answer = judge_ztunnel(reply)
    assert answer.outcome is outcome
    assert answer.facts == ReadinessFacts(status=reply.status, pending=pending)


@pytest.mark.parametrize(
    ("number", "role", "path"),
    [(8080, Role.ISTIOD, "/ready"), (8000, Role.CNI, "/readyz")],
    ids=["istiod", "cni"],
)
@pytest.mark.parametrize(("status", "outcome"), [(200, Outcome.OK), (503, Outcome.NOT_READY)])
async def test_plain_readiness_is_the_status(
    serve, visit, answer, number, role, path, status, outcome
):
    port = await serve({path: answer(status)})
    observed = await probe("http_ready", visit(port, number, role))
    assert (observed.outcome, observed.facts) == (outcome, ReadinessFacts(status=status))


@given(st.integers(100, 599), st.binary(max_size=80), st.binary(max_size=200))
def test_every_answer_is_judged(status, server, body):
    for judge in (judge_health, judge_ztunnel):
        judge(Reply(status, server, body))
        judge(Reply(status, server, b"not ready, pending:" + body))
