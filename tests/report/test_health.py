import pytest

from exporter.model import (
    CauseClass,
    Diagnosis,
    Outcome,
    Role,
    Target,
    TargetKey,
    TargetRecord,
    View,
)
from exporter.model import Verdict as PortVerdict
from exporter.report.health import Health, health_of

UPS = {"+": True, "-": False, "?": None}


def record_of(
    signs: str, cause: CauseClass | None = None, ready: dict[str, bool] | None = None
) -> TargetRecord:
    target = Target(key=TargetKey("n", "p"), role=Role.SIDECAR, addresses=())
    return TargetRecord(
        target=target,
        verdicts=tuple(
            PortVerdict(port, "envoy", UPS[sign], Outcome.OK, View.NETWORK)
            for port, sign in enumerate(signs, 15000)
        ),
        diagnosis=Diagnosis("some", cause, "It is.", "Do.") if cause else None,
        ready=ready or {},
    )


@pytest.mark.parametrize(
    ("record", "health"),
    [
        pytest.param(None, Health.UNJUDGED, id="not polled"),
        pytest.param(record_of(""), Health.UNJUDGED, id="no ports"),
        pytest.param(record_of("??"), Health.UNJUDGED, id="no port judged"),
        pytest.param(record_of("+?"), Health.HEALTHY, id="up or unjudged"),
        pytest.param(record_of("+-?"), Health.UNHEALTHY, id="a port down"),
        pytest.param(record_of("+", ready={"agent": True}), Health.HEALTHY, id="ready"),
        pytest.param(record_of("+", ready={"agent": False}), Health.UNHEALTHY, id="not ready"),
        pytest.param(record_of("??", ready={"agent": False}), Health.UNHEALTHY, id="ready alone"),
        pytest.param(record_of("+", CauseClass.FAULT), Health.UNHEALTHY, id="a fault"),
        pytest.param(record_of("??", CauseClass.FAULT), Health.UNHEALTHY, id="a fault, unjudged"),
        pytest.param(record_of("-", CauseClass.EXPORTER), Health.UNJUDGED, id="our own fault"),
    ],
)
def test_health_is_what_cause_ports_and_readiness_come_to(
    record: TargetRecord | None, health: Health
) -> None:
    assert health_of(record) is health


@pytest.mark.parametrize(
    "cause_class", [CauseClass.TRANSITION, CauseClass.POLICY, CauseClass.APPLICATION]
)
def test_a_cause_that_is_no_fault_stands_beside_whatever_it_explains(
    cause_class: CauseClass,
) -> None:
    for record in (
        record_of("+", cause_class),
        record_of("+-?", cause_class),
        record_of("-", cause_class, ready={"envoy": False, "agent": True}),
    ):
        assert health_of(record) == cause_class
    assert health_of(record_of("??", cause_class)) is Health.UNJUDGED
