"""A proxy without its first configuration: istiod is blamed only where nothing came from it."""

from itertools import product

import pytest

from exporter.model import (
    AdminFacts,
    AgentMetrics,
    ListeningSocket,
    Observation,
    Outcome,
    Role,
    Settings,
)
from exporter.report.readiness_steps import readiness_steps
from tests.diagnosis.matrix import (
    CERTIFICATE,
    CONTROL,
    cause_of,
    inside,
    net,
    page,
    seen_by,
    sockets,
    target_of,
)

REFUSED = Outcome.REFUSED
ISSUED = {"default": 86_340.0}
STATUS_SOCKET = ListeningSocket(port=15020, address="*", process="pilot-agent")
"""The agent's, in a table without a connection to istiod."""


def waiting(metrics: AgentMetrics, *more: Observation) -> list[Observation]:
    """The agent reports 503, and Envoy has bound none of its ports."""
    return [
        *(net(port, REFUSED) for port in (CONTROL, 15006, 15021, 15090)),
        net(15020, Outcome.NOT_READY, facts=page(503, metrics)),
        *more,
    ]


def admin(state: str, **facts: object) -> Observation:
    return inside(15000, Outcome.NOT_READY, AdminFacts(state=state, **facts))


VIEWS: list[list[Observation]] = [
    [],
    [admin("PRE_INITIALIZING")],
    [admin("INITIALIZING"), sockets(STATUS_SOCKET)],
    [admin("PRE_INITIALIZING", workload_certificate=CERTIFICATE), sockets(STATUS_SOCKET)],
]
COUNTERS = [
    AgentMetrics(certificate_seconds=ISSUED, csr_retries=retries, xds_requests=n)
    for retries, n in product((0, 2), (0, 3))
]


@pytest.mark.parametrize("role", [Role.SIDECAR, Role.GATEWAY, Role.WAYPOINT, Role.PROXYLESS])
@pytest.mark.parametrize("more", VIEWS, ids=len)
@pytest.mark.parametrize("metrics", COUNTERS)
def test_istiod_is_not_blamed_where_a_certificate_came_and_no_request_failed(
    role: Role, more: list[Observation], metrics: AgentMetrics
) -> None:
    record, memory = seen_by(waiting(metrics, *more), target=target_of(role))
    again, _ = seen_by(waiting(metrics, *more), target=target_of(role), memory=memory)
    for one in (record, again):
        assert cause_of(one) == "configuration_incomplete"
        steps = {step.name: (step.holds, step.detail) for step in readiness_steps(one)}
        assert steps["istiod"][0] is not False or metrics.xds_requests
        assert steps.get("Configuration", (False,))[0] is False
        assert "istiod answers" not in str(one.diagnosis)


def test_the_advice_names_the_bootstrap_where_envoy_has_requested_nothing() -> None:
    advice = []
    for requests in (0, 3):
        metrics = AgentMetrics(certificate_seconds=ISSUED, xds_requests=requests)
        record, _ = seen_by(waiting(metrics))
        assert record.diagnosis is not None
        advice.append("DNS" in record.diagnosis.advice)
    assert advice == [True, False]


@pytest.mark.parametrize("requests", [0, 3])
def test_nothing_of_envoy_is_advised_where_there_is_none(requests: int) -> None:
    """The agent of a proxyless pod waits for gRPC's bootstrap and its certificates."""
    metrics = AgentMetrics(certificate_seconds=ISSUED, xds_requests=requests)
    seen = [net(15020, Outcome.NOT_READY, facts=page(503, metrics))]
    record, _ = seen_by(seen, target=target_of(Role.PROXYLESS))
    assert cause_of(record) == "configuration_incomplete"
    assert record.diagnosis
    text = " ".join(
        (record.diagnosis.sentence, *record.diagnosis.evidence, record.diagnosis.advice)
    )
    assert "Envoy" not in text
    assert "/init_dump" not in text
    assert "GRPC_XDS_BOOTSTRAP" in text


def test_a_certificate_of_another_authority_does_not_show_that_istiod_is_reached() -> None:
    target = target_of(settings=Settings(issued_elsewhere=True))
    record, _ = seen_by(waiting(AgentMetrics(certificate_seconds=ISSUED)), target=target)
    assert cause_of(record) == "istiod_unreachable"


@pytest.mark.parametrize(
    "metrics",
    [
        AgentMetrics(),
        AgentMetrics(csr_failures=3, csr_retries=12),
        AgentMetrics(csr_retries=12),
    ],
)
def test_istiod_is_blamed_where_neither_certificate_nor_answer_came(metrics: AgentMetrics) -> None:
    record, _ = seen_by(waiting(metrics, admin("PRE_INITIALIZING")))
    assert cause_of(record) == "istiod_unreachable"
