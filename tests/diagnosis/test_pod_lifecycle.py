"""Causes that the pod's document shows: init containers, restarts, the end, missing proxies."""

from functools import partial

import pytest

from exporter.model import CauseClass, Memory, Observation, Outcome
from tests.diagnosis.init_states import FAILING, INITS, RUNNING
from tests.diagnosis.lifecycle_states import DONE, ENDS, PREPARED, STATEFUL, WITHOUT_A_PROXY
from tests.diagnosis.matrix import (
    NOW,
    application_probes,
    cause_of,
    hello,
    net,
    page,
    seen_by,
    sidecar,
)
from tests.diagnosis.pod_states import (
    APP,
    BACK_OFF,
    DARK,
    DRAINING,
    HEALTHY,
    INIT,
    MIGRATE,
    OOM,
    PROXY,
    REFUSED,
    ROUTER,
    VALIDATION,
    Document,
    State,
    classic,
    ended,
    iso,
    job,
    pod,
    polled,
    running,
    set_up,
    sidecar_in,
    target_in,
    waiting,
)
from tests.diagnosis.restart_states import LOOP, RESTARTS, again

STATES = [*INITS, *RESTARTS, *ENDS, *WITHOUT_A_PROXY, *PREPARED, *STATEFUL]


@pytest.mark.parametrize("state", STATES, ids=lambda state: state.id)
def test_a_pod_in_this_state_has_the_cause(state: State) -> None:
    record, _ = polled(state.pod, state.seen, node_ready=state.node_ready)
    assert cause_of(record) == state.cause
    found = record.diagnosis
    text = "" if found is None else " / ".join((*found.evidence, found.advice))
    assert [word for word in state.names if word not in text] == []
    assert [word for word in state.lacks if word in text] == []


@pytest.mark.parametrize("state", STATES, ids=lambda state: state.id)
def test_a_restart_of_the_exporter_changes_nothing(state: State) -> None:
    seen = partial(polled, state.pod, state.seen, node_ready=state.node_ready)
    record, memory = seen()
    afresh, _ = seen(later=0.25, memory=Memory())
    later, _ = seen(later=0.25, memory=memory)
    assert cause_of(record) == cause_of(afresh) == cause_of(later)


def test_an_init_container_that_runs_becomes_one_that_does_not_end_after_an_hour() -> None:
    document = set_up(MIGRATE, running(3000))
    record, _ = polled(document, REFUSED)
    later, _ = polled(document, REFUSED, later=601)
    assert (cause_of(record), cause_of(later)) == (RUNNING, FAILING)


@pytest.mark.parametrize("first", [INIT, VALIDATION])
def test_istios_init_container_that_is_not_started_within_ten_minutes_is_a_fault(
    first: Document,
) -> None:
    document = classic(first, waiting(), age=500)
    record, _ = polled(document, [])
    later, _ = polled(document, [], later=101)
    assert (cause_of(record), cause_of(later)) == (RUNNING, "redirection_setup_failing")


ZTUNNEL = {**PROXY, "args": ["proxy", "ztunnel"]}
ISTIOD = {"name": "discovery", "image": "istio/pilot:1.28.1", "args": ["discovery"]}
CNI = {"name": "install-cni", "image": "istio/install-cni:1.28.1"}


@pytest.mark.parametrize(
    ("container", "cause"),
    [
        (ROUTER, "proxy_not_running"),
        (ZTUNNEL, "proxy_not_running"),
        (ISTIOD, "istiod_not_ready"),
        (CNI, "cni_not_ready"),
        (PROXY, "none"),
    ],
)
def test_a_part_of_istio_that_no_node_takes_is_a_fault_after_ten_minutes(
    container: Document, cause: str
) -> None:
    names = {"metadata": {"labels": {"app": "istiod"}, "name": "a", "creationTimestamp": iso(NOW)}}
    document = pod((container, None), nodeName=None, injected=container is PROXY, **names)
    document |= {"status": {"phase": "Pending"}}
    early, _ = polled(document, [], later=500)
    late, _ = polled(document, [], later=600)
    assert (cause_of(early), cause_of(late)) == ("none" if cause == "none" else "starting", cause)
    if late.diagnosis:
        assert "No node takes the pod" in late.diagnosis.advice


def test_a_crash_loop_is_over_once_a_run_is_ten_minutes_old() -> None:
    document = again(OOM, ready=True)
    record, memory = polled(document, HEALTHY)
    later, _ = polled(document, HEALTHY, later=600, memory=memory)
    assert (cause_of(record), cause_of(later)) == (LOOP, "none")


def test_failures_of_the_application_stand_in_the_evidence_of_its_own_causes() -> None:
    broken = waiting(BACK_OFF, restarts=2, last=OOM)
    document = pod((APP, broken), (MIGRATE, running()), (PROXY, running()))
    seen = sidecar(net(15020, Outcome.OK, facts=page(app_health={"/app-health/app/readyz": 500})))
    record, _ = seen_by(seen, target=target_in(document), config=application_probes())
    assert record.diagnosis is not None
    assert record.diagnosis.cause == "application_unhealthy"
    assert "the container app waits: CrashLoopBackOff" in record.diagnosis.evidence
    assert any("OOMKilled (exit code 137)" in row for row in record.diagnosis.evidence)
    assert not any("migrate" in row for row in record.diagnosis.evidence)


def test_an_oom_kill_stands_in_the_evidence_of_the_fault_that_follows_it() -> None:
    fresh = again(OOM, age=120, restarts=1)
    old = again(OOM, age=4000, restarts=1)
    for document, is_named in ((fresh, True), (old, False)):
        record, _ = polled(document, DRAINING)
        assert record.diagnosis is not None
        assert record.diagnosis.cause == "agent_gone"
        assert any("OOMKilled" in row for row in record.diagnosis.evidence) is is_named


AGENTS_THAT_END = {
    "the native sidecar of a Job": (job(running(), running(), is_native=True), DRAINING),
    "a Job's, without drain": (job(running(), running(), is_native=True), REFUSED),
    "of a Job that is retried": (job(running(), running(), policy="OnFailure"), REFUSED),
    "of a pod that is evicted": (sidecar_in(running()), DRAINING),
}


@pytest.mark.parametrize(("document", "seen"), AGENTS_THAT_END.values(), ids=AGENTS_THAT_END)
def test_an_agent_that_has_just_ended_is_a_pod_that_ends_until_kubernetes_would_have_reported_it(
    document: Document, seen: list[Observation]
) -> None:
    _, memory = polled(document, HEALTHY, polls=1)
    first, memory = polled(document, seen, polls=1, later=30, memory=memory)
    second, _ = polled(document, seen, polls=1, later=60, memory=memory)
    fault = "agent_gone" if seen is DRAINING else "proxy_not_running"
    assert (cause_of(first), cause_of(second)) == ("draining", fault)


def test_a_proxy_that_is_gone_is_a_fault_at_once_where_its_pod_cannot_complete() -> None:
    document = sidecar_in(running())
    _, memory = polled(document, HEALTHY, polls=1)
    record, _ = polled(document, REFUSED, polls=1, later=30, memory=memory)
    assert cause_of(record) == "proxy_not_running"


def test_an_agent_that_never_answered_since_its_start_does_not_end() -> None:
    _, memory = polled(sidecar_in(running()), HEALTHY, polls=1)
    restarted = sidecar_in(running(age=-10, restarts=1))
    record, _ = polled(restarted, DRAINING, polls=1, later=30, memory=memory)
    assert cause_of(record) == "agent_gone"


# --- deletion, nodes and what came before ---------------------------------------------------------

STUCK_ENVOY = [
    *HEALTHY[:2],
    hello(Outcome.TIMEOUT),
    HEALTHY[3],
    net(15021, Outcome.TIMEOUT),
    net(15090, Outcome.TIMEOUT),
]


def on_a_lost_node(
    document: Document, seen: list[Observation], memory: Memory | None = None
) -> str:
    record, _ = polled(document, seen, polls=1, memory=memory, node_ready=False)
    return cause_of(record)


@pytest.mark.parametrize("deleted", [None, -25, 59, 5000])
@pytest.mark.parametrize("status", [running(), waiting(BACK_OFF, restarts=4, last=OOM), ended()])
def test_a_silent_pod_on_a_lost_node_is_the_nodes_whatever_its_document_says(
    deleted: float | None, status: Document
) -> None:
    document = sidecar_in(status, deleted=deleted)
    assert on_a_lost_node(document, DARK) == "node_unreachable"


def test_a_pod_that_starts_on_a_node_that_is_not_ready_yet_is_starting() -> None:
    assert on_a_lost_node(sidecar_in(running(5, ready=False), age=9), DARK) == "starting"


def test_a_fault_that_began_before_the_deletion_stays_while_it_holds() -> None:
    _, memory = polled(sidecar_in(running()), STUCK_ENVOY)
    assert memory.fault == "envoy_stuck"
    deleted = sidecar_in(running(), deleted=-25)
    record, memory = polled(deleted, STUCK_ENVOY, later=30, memory=memory)
    assert cause_of(record) == "envoy_stuck"
    record, memory = polled(deleted, REFUSED, later=31, memory=memory)
    assert cause_of(record) == "draining"
    record, _ = polled(deleted, STUCK_ENVOY, later=90, memory=memory)
    assert cause_of(record) == "deletion_stuck"


def test_what_begins_with_the_deletion_is_draining() -> None:
    _, memory = polled(sidecar_in(running()), HEALTHY)
    deleted = sidecar_in(running(), deleted=-25)
    for later, seen in enumerate((DRAINING, STUCK_ENVOY, REFUSED, DARK)):
        record, memory = polled(deleted, seen, later=30 + later, memory=memory)
        assert cause_of(record) == "draining"


def test_the_end_of_a_job_is_no_fault_although_the_agent_went_first() -> None:
    _, memory = polled(job(running(), running(), is_native=True), DRAINING)
    record, _ = polled(job(DONE, running(), is_native=True), DRAINING, later=1, memory=memory)
    assert record.diagnosis is not None
    assert record.diagnosis.cause_class is CauseClass.TRANSITION
