from dataclasses import replace
from typing import Any

import pytest
from msgspec import structs

from benchmarks.records import broken_sidecar, healthy_sidecar, istiod, seen_from_pod, ztunnel
from exporter.model import (
    ENVOY_ROLES,
    Component,
    Memory,
    Outcome,
    ProxyStatus,
    Role,
    Settings,
    TargetRecord,
    Verdict,
    View,
)
from exporter.report.readiness_steps import readiness_steps
from tests.diagnosis.cases import EXAMPLES, Example
from tests.diagnosis.matrix import NOW, seen_by

SIDECAR = ["istiod", "Envoy", "Configuration", "pilot-agent", "Readiness", "Redirection"]


def steps_of(record: TargetRecord) -> dict[str, tuple[bool | None, str]]:
    return {step.name: (step.holds, step.detail) for step in readiness_steps(record)}


def first_failed(record: TargetRecord) -> str | None:
    return next((step.name for step in readiness_steps(record) if step.holds is False), None)


def ended(port: int, outcome: Outcome) -> Verdict:
    up = True if outcome is Outcome.NOT_READY else outcome.up
    return Verdict(port, Component.ENVOY, up=up, outcome=outcome, view=View.NETWORK)


def test_every_step_of_a_healthy_sidecar_holds() -> None:
    steps = steps_of(seen_from_pod(healthy_sidecar()))
    assert list(steps) == SIDECAR
    assert {holds for holds, _ in steps.values()} == {True}


def test_a_step_without_data_neither_holds_nor_fails() -> None:
    steps = steps_of(TargetRecord(target=healthy_sidecar().target))
    assert set(steps.values()) == {(None, "not known")}


@pytest.mark.parametrize(
    ("proxy", "step", "detail"),
    [
        ({"xds_connected": False}, "istiod", "no connection to istiod"),
        ({"envoy_live": False}, "Envoy", "not live"),
        ({"rejected": {"cds": False, "lds": True}}, "Configuration", "rejected: lds"),
        ({"bound": {"virtualInbound": False}}, "Configuration", "not bound: virtualInbound"),
        ({"listeners": {"warming": 2.0}}, "Configuration", "2 warming"),
        ({"updates": {"cds": 0.0, "lds": 0.0}}, "Configuration", "no update came"),
        ({"captured": False}, "Redirection", "missing"),
    ],
)
def test_the_first_failed_step_is_the_one_to_begin_with(
    proxy: dict[str, Any], step: str, detail: str
) -> None:
    record = healthy_sidecar()
    record = structs.replace(record, proxy=structs.replace(record.proxy, **proxy))
    assert first_failed(record) == step
    assert steps_of(record)[step] == (False, detail)


NEVER_BESIDE: dict[str, dict[str, tuple[bool | None, ...]]] = {
    "identity_not_issued": {"Configuration": (True, None)},
    "configuration_incomplete": {"Configuration": (True, None), "istiod": (False,)},
    "istiod_unreachable": {"Configuration": (True, None), "istiod": (True, None)},
    "configuration_rejected": {"Configuration": (True, None)},
    "xds_disconnected": {"istiod": (True, None)},
    "redirection_missing": {"Redirection": (True, None)},
    "envoy_stuck": {"Envoy": (True,), "Readiness": (True,)},
    "agent_stuck": {"pilot-agent": (True, None)},
    "agent_gone": {"pilot-agent": (True, None)},
    "proxy_not_running": {"Envoy": (True,), "Configuration": (True,), "Readiness": (True,)},
}
"""What a step must not state beside a cause."""


def test_every_cause_of_the_table_has_an_example() -> None:
    assert NEVER_BESIDE.keys() <= {example.cause for example in EXAMPLES}


@pytest.mark.parametrize(
    "example",
    [one for one in EXAMPLES if one.cause in NEVER_BESIDE and one.target.role in ENVOY_ROLES],
    ids=lambda example: example.id,
)
def test_no_step_contradicts_the_cause(example: Example) -> None:
    memory = Memory()
    for number, seen in enumerate([*example.earlier, example.seen]):
        record, memory = seen_by(
            seen,
            target=example.target,
            memory=memory,
            config=example.config,
            now=NOW + 120 * number,
            in_mesh=example.in_mesh,
        )
    steps = steps_of(record)
    forbidden = {
        name: never for name, never in NEVER_BESIDE[example.cause].items() if name in steps
    }
    assert forbidden
    assert [name for name, never in forbidden.items() if steps[name][0] in never] == []


@pytest.mark.parametrize("rejected", [{}, {"cds": False, "lds": False}])
@pytest.mark.parametrize("updates", [{}, {"lds": 0.0}, {"cds": 0.0, "lds": 0.0}])
def test_nothing_is_accepted_before_an_update_came(
    rejected: dict[str, bool], updates: dict[str, float]
) -> None:
    proxy = ProxyStatus(rejected=rejected, updates=updates)
    record = structs.replace(healthy_sidecar(), proxy=proxy)
    assert steps_of(record)["Configuration"][0] is (False if updates else None)


def test_a_silent_port_shows_as_timeout_and_an_unready_one_as_not_ready() -> None:
    record = structs.replace(
        broken_sidecar(),
        verdicts=(ended(15020, Outcome.TIMEOUT), ended(15021, Outcome.NOT_READY)),
    )
    steps = steps_of(record)
    assert steps["pilot-agent"] == (False, "timeout")
    assert steps["Readiness"] == (False, "not ready")


def test_an_envoy_of_unknown_liveness_is_judged_by_its_admin_port() -> None:
    record = structs.replace(
        healthy_sidecar(), proxy=ProxyStatus(), verdicts=(ended(15000, Outcome.TIMEOUT),)
    )
    assert steps_of(record)["Envoy"] == (False, "15000 timeout")


@pytest.mark.parametrize(
    ("role", "names"),
    [
        (Role.GATEWAY, SIDECAR[:-1]),
        (Role.PROXYLESS, ["istiod", "pilot-agent"]),
        (Role.AMBIENT, ["ztunnel", "Redirection"]),
        (Role.ZTUNNEL, ["istiod", "Readiness", "Workloads"]),
        (Role.AGENTGATEWAY, ["Readiness"]),
        (Role.ISTIOD, ["istiod", "xDS", "Webhooks"]),
        (Role.CNI, ["Readiness"]),
    ],
)
def test_each_role_has_steps_of_its_own(role: Role, names: list[str]) -> None:
    record = healthy_sidecar()
    record = structs.replace(record, target=replace(record.target, role=role))
    assert [step.name for step in readiness_steps(record)] == names


@pytest.mark.parametrize(
    ("workloads", "step"),
    [
        ({}, (None, "not known")),
        ({"active": 0, "pending": 0}, (True, "0 active")),
        ({"active": 49, "pending": 1}, (False, "1 pending")),
    ],
)
def test_a_ztunnel_serves_what_it_was_given(
    workloads: dict[str, float], step: tuple[bool | None, str]
) -> None:
    record = structs.replace(ztunnel(), proxy=ProxyStatus(workloads=workloads))
    assert steps_of(record)["Workloads"] == step


@pytest.mark.parametrize(
    ("seen", "captured", "steps"),
    [
        (Outcome.OK, True, [(True, "responds"), (True, "works")]),
        (Outcome.REFUSED, False, [(False, "15008 refused"), (False, "missing")]),
        (Outcome.CAPTURED, None, [(None, "not known"), (None, "not known")]),
    ],
)
def test_a_pod_in_ambient_has_its_ztunnel_then_its_redirection(
    seen: Outcome, captured: Any, steps: list[tuple[bool | None, str]]
) -> None:
    record = healthy_sidecar()
    record = structs.replace(
        record,
        target=replace(record.target, role=Role.AMBIENT),
        verdicts=(ended(15008, seen),),
        proxy=ProxyStatus(captured=captured),
    )
    assert [steps_of(record)[name] for name in ("ztunnel", "Redirection")] == steps


def test_an_istiod_whose_xds_port_is_refused_fails_there() -> None:
    record = istiod()
    verdicts = tuple(
        structs.replace(v, up=False, outcome=Outcome.REFUSED) if v.port == 15012 else v
        for v in record.verdicts
    )
    assert first_failed(record) is None
    assert steps_of(structs.replace(record, verdicts=verdicts))["xDS"] == (False, "15012 refused")


def with_settings(record: TargetRecord, **settings: int) -> TargetRecord:
    target = replace(record.target, settings=replace(Settings(), **settings))
    return structs.replace(record, target=target)


@pytest.mark.parametrize("record", [healthy_sidecar(), istiod()], ids=["sidecar", "istiod"])
def test_a_step_names_the_ports_that_the_target_has(record: TargetRecord) -> None:
    moved = with_settings(record, status_port=15120, health_port=15121)
    named = " ".join(step.about for step in readiness_steps(moved))
    has_moved = record.target.role is Role.SIDECAR
    assert ("15120" in named and "15121" in named) is has_moved
    assert "15020" not in named
    assert "15021" not in named


def test_an_istiod_is_judged_by_the_ports_that_it_was_started_with() -> None:
    target = replace(istiod().target, settings=Settings(grpc_xds_port=0, tls_xds_port=15112))
    verdicts = (ended(15112, Outcome.REFUSED), ended(15012, Outcome.NOT_READY))
    (step,) = (
        step
        for step in readiness_steps(TargetRecord(target=target, verdicts=verdicts))
        if step.name == "xDS"
    )
    assert (step.about, step.detail) == ("serves proxies on 15112", "15112 refused")


def test_a_step_whose_port_is_switched_off_names_no_number() -> None:
    steps = readiness_steps(with_settings(healthy_sidecar(), status_port=0))
    assert next(step.about for step in steps if step.name == "pilot-agent") == (
        "reports ready on a port that is switched off"
    )
