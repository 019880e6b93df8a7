"""A connect that the network rejected says nothing of the pod, whatever else was seen."""

from dataclasses import replace
from itertools import product

import pytest

from exporter.catalogue import ports_of
from exporter.exposition import assemble, render, selected
from exporter.model import Expectation, Observation, Outcome, Role
from tests.diagnosis.matrix import (
    CONTROL,
    GATEWAY,
    NOW,
    SIDECAR,
    STATS,
    all_of,
    cause_of,
    dropped,
    inside,
    net,
    page,
    rejected,
    seen_by,
    sidecar,
    target_of,
    ups,
)

GENUINE = (15020, 15021, 15090)
ASKED = (CONTROL, 15000, *GENUINE)


def each_way() -> list[list[Observation]]:
    """Every mixture of what is as it should be, rejected and silent, with a rejection in it."""
    found = []
    for ways in product((None, rejected, dropped), repeat=len(ASKED)):
        changes = [way(port) for way, port in zip(ways, ASKED, strict=True) if way]
        without = () if ways[0] is None else (15006,)
        if rejected in ways:
            found.append(sidecar(*changes, without=without))
    return found


def test_no_port_is_down_where_others_are_rejected_or_silent() -> None:
    for seen in each_way():
        record, _ = seen_by(seen)
        assert False not in ups(record).values(), seen
        assert False not in record.ready.values(), seen


def test_a_rejected_port_of_the_proxys_own_blames_the_network() -> None:
    for seen in each_way():
        record, _ = seen_by(seen)
        kept = any(one.port in GENUINE and one.outcome is not Outcome.OK for one in seen)
        assert cause_of(record) == ("network_blocked" if kept else "none"), seen


@pytest.mark.parametrize("role", Role)
def test_no_role_is_blamed_for_what_is_rejected(role: Role) -> None:
    target = target_of(role)
    asked = [p.number for p in ports_of(target) if p.expectation is not Expectation.LOOPBACK]
    record, _ = seen_by([rejected(port) for port in asked], target=target)
    assert set(ups(record).values()) <= {None}
    assert cause_of(record) in ("network_blocked", "none")


def test_the_evidence_names_who_rejected() -> None:
    record, _ = seen_by([rejected(port) for port in ASKED])
    assert record.diagnosis is not None
    assert record.diagnosis.evidence == (
        "15020 is rejected by 10.0.0.1: ICMP port unreachable",
        "15021 is rejected by 10.0.0.1: ICMP port unreachable",
        "15090 is rejected by 10.0.0.1: ICMP port unreachable",
        "the control port is rejected by 10.0.0.1: ICMP port unreachable",
        "15006: rejected by 10.0.0.1: ICMP port unreachable",
    )


def test_a_plain_connect_finds_a_rejected_port_closed() -> None:
    record, _ = seen_by([rejected(port) for port in ASKED])
    assert {v.naive for v in record.verdicts} == {False}


def test_a_rejected_port_is_exposed_as_unjudged_with_its_reason() -> None:
    record, _ = seen_by([rejected(port) for port in ASKED])
    families = selected("full")
    blocks = [render(record, families)]
    text = b"".join(assemble(families, blocks, openmetrics=False)).decode()
    reasons = [line for line in text.splitlines() if line.startswith("istio_port_unjudged{")]
    for port in (15000, 15006, *GENUINE):
        (line,) = (row for row in reasons if f'port="{port}"' in row)
        assert 'reason="rejected"' in line
    assert "istio_port_outcome{" not in text
    assert "istio_port_up{" not in text


def test_what_the_pod_refuses_itself_stays_down() -> None:
    seen = [rejected(CONTROL), *all_of(Outcome.REFUSED, GENUINE)]
    record, _ = seen_by(seen)
    assert {ups(record)[port] for port in GENUINE} == {False}
    assert cause_of(record) == "proxy_not_running"


def test_a_port_that_refuses_in_the_pod_view_is_down_though_the_network_rejects() -> None:
    gone = [refused_inside(port) for port in GENUINE]
    record, _ = seen_by([*map(rejected, ASKED), *gone])
    assert {ups(record)[port] for port in GENUINE} == {False}
    assert cause_of(record) == "proxy_not_running"


def refused_inside(port: int) -> Observation:
    return inside(port, Outcome.REFUSED, connected=False)


def test_a_port_that_answers_in_the_pod_view_is_up_though_the_network_rejects() -> None:
    record, _ = seen_by([*map(rejected, ASKED), *(inside(port, Outcome.OK) for port in GENUINE)])
    assert {ups(record)[port] for port in GENUINE} == {True}
    assert cause_of(record) == "network_blocked"


def test_one_address_that_is_rejected_is_no_missing_family() -> None:
    dual = replace(SIDECAR, addresses=("10.0.0.7", "fd00::7"))
    other = [rejected(port, address="fd00::7") for port in ASKED]
    record, _ = seen_by(sidecar(*other), target=dual)
    assert cause_of(record) == "network_blocked"
    assert False not in ups(record).values()


def test_a_rejection_forgets_nothing_that_a_refusal_would() -> None:
    _, known = seen_by(sidecar())
    _, kept = seen_by([rejected(port) for port in ASKED], memory=known, now=NOW + 30)
    assert (kept.proofs, kept.stats, kept.hello) == (known.proofs, known.stats, known.hello)
    _, lost = seen_by(
        all_of(Outcome.REFUSED, (CONTROL, 15006, *GENUINE)), memory=known, now=NOW + 30
    )
    assert lost.proofs != known.proofs
    assert (known.hello, lost.hello) != ({}, known.hello)
    record, _ = seen_by(sidecar(), memory=kept, now=NOW + 60)
    assert cause_of(record) == "none"


def test_a_gateways_rejected_server_is_no_listener_that_waits() -> None:
    seen = [net(15020, Outcome.OK, facts=page()), net(15021, Outcome.OK)]
    seen += [net(15090, Outcome.OK, facts=STATS), rejected(8443)]
    record, _ = seen_by(seen, target=GATEWAY)
    assert ups(record)[8443] is None
    assert cause_of(record) == "network_blocked"
