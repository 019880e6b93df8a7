from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.model import Outcome, ReadinessFacts, Role
from exporter.probes import paths
from exporter.probes.http import Reply
from exporter.probes.probers import probe
from exporter.probes.readiness import judge_health, judge_ztunnel

HEALTH = {
    "ready": ((200, b"", b"envoy"), Outcome.OK),
    "any case": ((200, b"", b"Envoy"), Outcome.OK),
    "not ready": ((503, b"", b"envoy"), Outcome.NOT_READY),
    "another process": ((200, b"app /healthz/ready\n", b"BaseHTTP/0.6"), Outcome.WRONG_IDENTITY),
    "another process is not ready": ((503, b"", b"nginx"), Outcome.WRONG_IDENTITY),
    "another process refuses": ((403, b"", b"nginx"), Outcome.WRONG_IDENTITY),
    "another process asks who": ((401, b"", b""), Outcome.WRONG_IDENTITY),
    "envoy without the route": ((404, b"", b"envoy"), Outcome.HTTP_ERROR),
}


@pytest.mark.parametrize(("given", "outcome"), HEALTH.values(), ids=HEALTH)
async def test_envoys_health_port_needs_envoys_header(
    serve: Any, attempt_at: Any, answer: Any, given: Any, outcome: Outcome
) -> None:
    port = await serve({"/healthz/ready": answer(*given)})
    observed = await probe(attempt_at(port, kind="readiness"))
    assert observed.outcome is outcome
    if outcome is not Outcome.WRONG_IDENTITY:
        assert observed.facts == ReadinessFacts(status=given[0])


REFUSALS = {
    "envoy's": ((b"envoy", False), Outcome.FORBIDDEN),
    "a captured port's": ((b"istio-envoy", True), Outcome.FORBIDDEN),
    "another pod's": ((b"istio-envoy", False), Outcome.WRONG_IDENTITY),
    "another process's": ((b"", True), Outcome.WRONG_IDENTITY),
}


@pytest.mark.parametrize("name", ["readiness", "stats", "admin"])
@pytest.mark.parametrize(("voice", "outcome"), REFUSALS.values(), ids=REFUSALS)
async def test_a_refusal_is_envoys_only_with_its_header(
    serve: Any, attempt_at: Any, answer: Any, name: str, voice: Any, outcome: Outcome
) -> None:
    server, captured = voice
    refusal = answer(403, b"", server)
    texts = (paths.HEALTHZ_READY.text, paths.ENVOY_LIVE.text, paths.READY.text)
    port = await serve(dict.fromkeys(texts, refusal))
    assert (await probe(attempt_at(port, captured=captured, kind=name))).outcome is outcome


@pytest.mark.parametrize("of", [(8080, Role.ISTIOD), (8000, Role.CNI)], ids=["istiod", "cni"])
async def test_a_refusal_of_the_control_plane_needs_no_header(
    serve: Any, attempt_at: Any, answer: Any, of: Any
) -> None:
    refusal = answer(403, b"", b"")
    port = await serve({"/ready": refusal, "/readyz": refusal})
    assert (await probe(attempt_at(port, *of, kind="http_ready"))).outcome is Outcome.FORBIDDEN


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
def test_ztunnel_names_what_it_waits_for(reply: Any, outcome: Outcome, pending: Any) -> None:
    answer = judge_ztunnel(reply)
    assert answer.outcome is outcome
    assert answer.facts == ReadinessFacts(status=reply.status, pending=pending)


PLAIN = {
    "istiod": ((8080, Role.ISTIOD), "/ready"),
    "cni": ((8000, Role.CNI), "/readyz"),
}


@pytest.mark.parametrize(("of", "path"), PLAIN.values(), ids=PLAIN)
@pytest.mark.parametrize("status", [200, 503, 404])
async def test_plain_readiness_is_the_status(
    serve: Any, attempt_at: Any, answer: Any, of: Any, path: str, status: int
) -> None:
    outcomes = {200: Outcome.OK, 503: Outcome.NOT_READY, 404: Outcome.HTTP_ERROR}
    observed = await probe(attempt_at(await serve({path: answer(status)}), *of, kind="http_ready"))
    assert observed.outcome is outcomes[status]
    assert observed.facts == ReadinessFacts(status=status)


@given(st.integers(100, 599), st.binary(max_size=80), st.binary(max_size=200))
def test_every_answer_is_judged(status: int, server: Any, body: bytes) -> None:
    for judge in (judge_health, judge_ztunnel):
        judge(Reply(status, server, body))
        judge(Reply(status, server, b"not ready, pending:" + body))


@pytest.mark.parametrize(
    ("body", "outcome"),
    [
        pytest.param(b"", Outcome.OK, id="the agent's answer has no body"),
        pytest.param(b"hello", Outcome.WRONG_IDENTITY, id="an application's has"),
    ],
)
def test_a_moved_port_is_recognized_by_its_empty_body(body: bytes, outcome: Outcome) -> None:
    reply = Reply(200, b"istio-envoy", body)
    assert judge_health(reply, relayed=True).outcome is outcome
    assert judge_health(reply).outcome is Outcome.WRONG_IDENTITY
