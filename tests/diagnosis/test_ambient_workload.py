"""A workload in ambient: its verdicts and causes, whatever its ports show."""

from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from exporter.catalogue import ExtraPort, ports_of
from exporter.config import Config
from exporter.diagnosis import diagnose
from exporter.exposition import render, selected
from exporter.model import (
    Cadence,
    Memory,
    Observation,
    Outcome,
    ProbeKind,
    Redirection,
    Role,
    TargetRecord,
)
from tests.diagnosis.ambient_states import (
    BYPASSING,
    CERTIFICATE,
    DUAL,
    EARLY,
    LATE,
    OK,
    REFUSED,
    REJECTED,
    SERVED,
    SILENT,
    STATES,
    TIMEOUT,
    V6,
    WORKLOAD,
    State,
    connect,
    enrolled,
    hello,
    seen,
)
from tests.diagnosis.matrix import CONTROL, NOW, cause_of, inside, net, seen_by, ups

BYPASSED = {"outside_mesh", "redirection_missing", "not_enrolled"}


def judged(state: State) -> TargetRecord:
    memory = Memory()
    for index, poll in enumerate((*state.earlier, state.now)):
        at = NOW - 30 * (len(state.earlier) - index)
        record, memory = seen_by(poll, target=state.target, memory=memory, now=at)
    return record


@pytest.mark.parametrize("state", STATES, ids=lambda state: state.id)
def test_a_workload_is_judged_by_three_connects_and_a_hello(state: State) -> None:
    record = judged(state)
    found = ups(record)
    assert (cause_of(record), (found[15008], found[15006])) == (state.cause, state.up)
    assert record.proxy.captured is state.captured


@pytest.mark.parametrize("state", STATES, ids=lambda state: state.id)
def test_no_cause_bypasses_the_mesh_where_the_network_may_be_to_blame(state: State) -> None:
    """Each refusal by ICMP instead of a reset: nothing security relevant is named."""
    rejected = [
        structs.replace(one, outcome=REJECTED) if one.outcome is REFUSED else one
        for one in state.now
        if one.address
    ]
    record, _ = seen_by(rejected, target=state.target)
    assert cause_of(record) not in BYPASSED


OUTCOMES = (OK, REFUSED, REJECTED, TIMEOUT, Outcome.UNREACHABLE, Outcome.NO_ACCESS, None)
SAID = (None, hello(), EARLY, LATE, SILENT, hello(Outcome.TLS_ERROR), hello(Outcome.WRONG_PROTOCOL))


@pytest.mark.parametrize("control", OUTCOMES)
@pytest.mark.parametrize("hbone", OUTCOMES[:-1])
def test_whatever_the_connects_show_verdict_and_cause_agree(
    hbone: Outcome, control: Outcome | None
) -> None:
    for application, said, redirection in product(OUTCOMES, SAID, (None, *Redirection)):
        poll = [connect(15008, hbone)]
        poll += [connect(CONTROL, control)] if control else []
        poll += [connect(8080, application)] if application else []
        poll += [said] if said and hbone is OK else []
        record, _ = seen_by(poll, target=enrolled(redirection))
        found, cause = ups(record), cause_of(record)
        if found[15008]:
            assert said is SAID[1]
            assert hbone is OK
        if found[15006]:
            assert control is OK
        if cause in BYPASSED:
            assert REFUSED in (hbone, control)
        if REFUSED not in (hbone, control, application):
            assert cause not in BYPASSED | {"not_served", "enrolment_pending"}
        assert record.proxy.captured is not True or control is OK


def polls(*several: list[Observation], every: float = 30.0) -> list[tuple[TargetRecord, Memory]]:
    memory, results = Memory(), []
    for index, poll in enumerate(several):
        record, memory = seen_by(poll, target=WORKLOAD, memory=memory, now=NOW + every * index)
        results.append((record, memory))
    return results


def test_a_proof_holds_while_15008_accepts_and_ends_with_a_refusal() -> None:
    without = seen()[:3]
    records = polls(seen(), without, seen(REFUSED, REFUSED, REFUSED), without, seen())
    assert [ups(record)[15008] for record, _ in records] == [True, True, False, None, True]


@pytest.mark.parametrize("outcome", [TIMEOUT, REJECTED, Outcome.UNREACHABLE])
def test_a_proof_ends_with_any_connect_that_does_not_come_about(outcome: Outcome) -> None:
    records = polls(seen(), seen(outcome), seen()[:3])
    assert ups(records[-1][0])[15008] is None


def test_two_failures_of_different_kinds_are_none_in_a_row() -> None:
    records = polls(seen(said=SILENT), seen(said=EARLY), seen(said=SILENT), seen(said=SILENT))
    assert [cause_of(record) for record, _ in records] == ["none", "none", "none", "ztunnel_stuck"]


def test_what_a_second_hello_would_show_is_named_as_undetected() -> None:
    silent, closed, fine = (polls(seen(said=one))[0][0] for one in (SILENT, EARLY, None))
    assert (silent.undetected, closed.undetected, fine.undetected) == (
        ("ztunnel_stuck",),
        ("identity_not_issued",),
        (),
    )


def test_a_lost_identity_names_the_end_of_the_last_certificate() -> None:
    ending = structs.replace(CERTIFICATE, not_after=NOW + 40)
    records = polls(seen(said=hello(certificate=ending)), *[seen(said=EARLY)] * 3, every=60)
    record = records[-1][0]
    assert cause_of(record) == "identity_not_issued"
    assert any("its last certificate ended" in one for one in record.diagnosis.evidence)


def test_the_evidence_names_the_family() -> None:
    poll = [*seen(), *seen(OK, REFUSED, address=V6)]
    record, _ = seen_by(poll, target=DUAL)
    assert record.diagnosis.evidence[0] == "15008 accepts and the control port refuses over IPv6"


def test_a_policy_is_advised_with_the_ports_to_admit() -> None:
    record, _ = seen_by(seen(TIMEOUT), target=WORKLOAD)
    assert "Admit TCP 15008 and 15999" in record.diagnosis.advice


def test_advice_names_ztunnel_where_a_proxy_of_the_pod_would_be_named() -> None:
    for state in STATES:
        record = judged(state)
        if record.diagnosis is not None:
            words = record.diagnosis.advice
            assert not any(name in words for name in _NOT_IN_AMBIENT)


_NOT_IN_AMBIENT = ("the agent", "istio-proxy", "istio-init", "DUAL_STACK")


def test_without_hellos_the_rows_that_rest_on_connects_alone_remain() -> None:
    config = Config()
    quiet = replace(config, poll=replace(config.poll, hello=False))
    found = {}
    for hbone, control, application in product((OK, REFUSED), repeat=3):
        poll = [connect(15008, hbone), connect(CONTROL, control), connect(8080, application)]
        record, _ = seen_by(poll, target=WORKLOAD, config=quiet)
        found[hbone, control, application] = cause_of(record), ups(record)[15008]
    assert found == {
        (OK, OK, OK): ("none", None),
        (OK, OK, REFUSED): ("none", None),
        (OK, REFUSED, OK): ("redirection_missing", None),
        (OK, REFUSED, REFUSED): ("redirection_missing", None),
        (REFUSED, OK, OK): ("network_blocked", False),
        (REFUSED, OK, REFUSED): ("network_blocked", False),
        (REFUSED, REFUSED, OK): ("outside_mesh", False),
        (REFUSED, REFUSED, REFUSED): ("not_served", False),
    }


def test_a_tls_alert_leaves_15008_unjudged_with_its_reason() -> None:
    record, _ = seen_by(seen(said=hello(Outcome.TLS_ERROR)), target=WORKLOAD)
    text = b"".join(render(record, selected("standard"))).decode()
    assert 'port="15008",component="ztunnel",reason="tls_error"} 1' in text
    assert "istio_port_outcome" not in text


def test_a_healthy_workload_has_nine_series_at_most() -> None:
    poll = [*seen(), SERVED, inside(15053, OK)]
    memory = Memory(polled=dict.fromkeys(Cadence, NOW))
    for rows in (seen(), poll):
        record, _ = seen_by(rows, target=WORKLOAD, memory=memory)
        text = b"".join(render(record, selected("standard"))).decode()
        lines = [one for one in text.splitlines() if not one.startswith("istio_port_listening")]
        limit = 9 if rows is not poll else 11
        assert len(lines) <= limit, text


def test_an_unjudged_redirection_is_no_series_of_every_workload() -> None:
    record, _ = seen_by(seen(control=None), target=BYPASSING)
    text = b"".join(render(record, selected("standard"))).decode()
    assert 'port="15001"' not in text
    assert 'port="15053"' not in text


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(OUTCOMES[:4]),
            st.sampled_from(OUTCOMES),
            st.sampled_from(SAID),
            st.floats(0, 9000),
        ),
        min_size=1,
        max_size=6,
    )
)
def test_what_is_remembered_never_outlives_a_refusal_or_two_identity_intervals(
    history: list[tuple[Outcome, Outcome | None, Observation | None, float]],
) -> None:
    memory, now, proved = Memory(), NOW, None
    for hbone, control, said, later in history:
        now += later
        poll = [connect(15008, hbone)]
        poll += [connect(CONTROL, control)] if control else []
        poll += [said] if said and hbone is OK else []
        record, memory = seen_by(poll, target=WORKLOAD, memory=memory, now=now)
        if hbone is not OK:
            proved = None
        elif said is not None:
            proved = now if said.outcome is OK else None
        is_fresh = proved is not None and now - proved <= 2 * 3600
        assert (ups(record)[15008] is True) == is_fresh


def test_a_port_of_the_user_whose_requests_ztunnel_closes_is_down() -> None:
    ports = ports_of(WORKLOAD, [ExtraPort(port=9000, role=Role.AMBIENT, probe="http")])
    closed = net(9000, Outcome.CLOSED, kind=ProbeKind.HTTP, captured=True)
    record, _ = diagnose(WORKLOAD, ports, [closed], Memory(), Config(), NOW, in_mesh=False)
    assert ups(record)[9000] is False
