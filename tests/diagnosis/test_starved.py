"""Agent and Envoy that accept and do not answer lack CPU, whatever else is probed of them."""

import pytest
from msgspec import structs

from exporter.model import CpuThrottling, Observation, Outcome, ProbeKind, Role, Target
from tests.diagnosis.matrix import (
    CONTROL,
    GATEWAY,
    SIDECAR,
    STATS,
    all_of,
    cause_of,
    dropped,
    hello,
    inside,
    net,
    page,
    seen_by,
    sidecar,
    sockets,
    target_of,
)

TIMEOUT = Outcome.TIMEOUT
SILENT = all_of(TIMEOUT, (15020, 15021, 15090))
AGENTGATEWAY = target_of(Role.AGENTGATEWAY)
METRICS = [
    net(15020, TIMEOUT, kind=ProbeKind.METRICS),
    net(15021, TIMEOUT, kind=ProbeKind.READINESS),
]

STARVED: dict[str, tuple[Target, list[Observation]]] = {
    "captured": (SIDECAR, [*SILENT, net(CONTROL, Outcome.OK), hello(TIMEOUT)]),
    "captured, no hello sent": (SIDECAR, [*SILENT, net(CONTROL, Outcome.OK)]),
    "no redirection": (SIDECAR, [*SILENT, net(CONTROL, Outcome.REFUSED), net(15006, TIMEOUT)]),
    "control port dropped": (SIDECAR, [*SILENT, dropped(CONTROL)]),
    "control port silent": (SIDECAR, [*SILENT, net(CONTROL, TIMEOUT)]),
    "no control port": (SIDECAR, SILENT),
    "gateway whose server port accepts": (GATEWAY, [*SILENT, net(8443, Outcome.OK)]),
    "gateway whose admin refuses the network": (
        GATEWAY,
        [*SILENT, net(15000, Outcome.REFUSED, kind=ProbeKind.EXPOSURE)],
    ),
    "a queue is full": (SIDECAR, [*SILENT[:2], dropped(15090), net(CONTROL, Outcome.OK)]),
    "Envoy's queues are full": (SIDECAR, [SILENT[0], *map(dropped, (15021, 15090, CONTROL))]),
    "gateway whose queues are full": (GATEWAY, [SILENT[0], *map(dropped, (15021, 15090))]),
    "waypoint": (target_of(Role.WAYPOINT), SILENT),
    "agentgateway": (AGENTGATEWAY, METRICS),
    "silent in the pod too": (SIDECAR, [*SILENT, inside(15000, TIMEOUT), inside(15020, TIMEOUT)]),
    "dropped on the way, silent in the pod": (
        SIDECAR,
        [
            *map(dropped, (CONTROL, 15020, 15021, 15090)),
            *(inside(port, TIMEOUT) for port in (15000, 15020, 15021, 15090)),
        ],
    ),
}


@pytest.mark.parametrize(("target", "seen"), STARVED.values(), ids=STARVED)
def test_a_proxy_that_accepts_everything_and_answers_nothing_gets_no_cpu(
    target: Target, seen: list[Observation]
) -> None:
    record, _ = seen_by(seen, target=target)
    assert cause_of(record) == "container_starved"
    assert record.diagnosis is not None
    assert "CPU limit" in record.diagnosis.advice


@pytest.mark.parametrize("stats", [TIMEOUT, Outcome.OK])
@pytest.mark.parametrize(
    ("role", "readiness", "metrics"), [(Role.ZTUNNEL, 15021, 15020), (Role.CNI, 8000, 15014)]
)
def test_the_advice_on_a_node_agent_that_is_silent_is_about_cpu(
    role: Role, readiness: int, metrics: int, stats: Outcome
) -> None:
    advice = []
    for outcome in (TIMEOUT, Outcome.NOT_READY):
        seen = [net(readiness, outcome, kind=ProbeKind.HTTP_READY), net(metrics, stats)]
        record, _ = seen_by(seen, target=target_of(role))
        assert record.diagnosis is not None
        advice.append("CPU limit" in record.diagnosis.advice)
    assert advice == [True, False]


@pytest.mark.parametrize(("throttled", "periods"), [(812, 830), (0, 9000)])
def test_what_the_cgroup_counts_stands_in_the_evidence(throttled: int, periods: int) -> None:
    counted = CpuThrottling(periods=periods, throttled=throttled, seconds=0.25 * throttled)
    record, _ = seen_by([*SILENT, sockets(throttling=counted)], target=SIDECAR)
    assert cause_of(record) == "container_starved"
    assert record.diagnosis is not None
    (sentence,) = (row for row in record.diagnosis.evidence if "throttled" in row)
    assert f"in {throttled} of {periods} periods" in sentence


FULL_QUEUES: dict[str, tuple[list[Observation], str]] = {
    "Envoy hangs on one port": (
        [net(15020, Outcome.OK, facts=page()), net(15021, TIMEOUT), dropped(15090), hello(TIMEOUT)],
        "envoy_stuck",
    ),
    "Envoy answers, so that the network drops": (
        [net(15020, Outcome.OK, facts=page()), dropped(15021), net(15090, Outcome.OK, facts=STATS)],
        "network_blocked",
    ),
    "the agent hangs, Envoy answers elsewhere": (
        [net(15020, TIMEOUT), dropped(15021), net(15090, Outcome.OK, facts=STATS)],
        "network_blocked",
    ),
}


@pytest.mark.parametrize(("seen", "cause"), FULL_QUEUES.values(), ids=FULL_QUEUES)
def test_a_connect_that_a_hanging_process_has_no_room_for_is_not_the_networks(
    seen: list[Observation], cause: str
) -> None:
    record, _ = seen_by([*seen, net(CONTROL, Outcome.OK)])
    assert cause_of(record) == cause


@pytest.mark.parametrize(("seconds", "cause"), [(0.2, "agent_stuck"), (1.4, "admin_slow")])
def test_an_agent_that_waits_for_slow_statistics_is_not_stuck(seconds: float, cause: str) -> None:
    stats = structs.replace(net(15090, Outcome.OK, facts=STATS), seconds=seconds)
    record, _ = seen_by(sidecar(net(15020, TIMEOUT), net(15021, TIMEOUT), stats))
    assert cause_of(record) == cause


ANSWERS = {
    "the agent": net(15020, Outcome.OK, facts=page()),
    "Envoy": net(15090, Outcome.OK),
    "not ready": net(15021, Outcome.NOT_READY),
    "another process": net(15021, Outcome.WRONG_IDENTITY),
    "a refusal": net(15090, Outcome.REFUSED),
    "a hello": hello(Outcome.OK),
    "a hello that is reset": hello(Outcome.RESET),
    "the agent in the pod": inside(15020, Outcome.OK),
}


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
def test_one_answer_shows_that_the_container_gets_cpu(answer: Observation) -> None:
    record, _ = seen_by(sidecar(*SILENT, hello(TIMEOUT), answer))
    assert cause_of(record) != "container_starved"


@pytest.mark.parametrize("role", Role)
def test_a_target_is_never_unreachable_where_a_connection_comes_about(role: Role) -> None:
    target = target_of(role)
    ports = (8000, 8080, 15010, 15012, 15014, 15017, 15020, 15021, 15090)
    for port in ports:
        over_network = [net(one, TIMEOUT, connected=one == port) for one in ports]
        in_pod = [*map(dropped, ports), inside(port, TIMEOUT)]
        for seen in (over_network, in_pod):
            record, _ = seen_by(seen, target=target)
            assert cause_of(record) != "unreachable"
