"""Precision: every pod that is shipped as test data, with each of its ports as it should be.

The table of tests/data/pods and the documents that this folder builds: each is polled with the
probes of its own plan, over the network and from inside, and answered as a working pod answers.
A cause is then a false alarm, unless the document itself says what is wrong.
"""

import pytest

from exporter.access.netns import Netns
from exporter.config import Config
from exporter.diagnosis import diagnose
from exporter.model import Memory, Observation, Outcome, Target, TargetRecord
from exporter.poll.plan import Plan, plan_of
from tests.diagnosis.matrix import cause_of
from tests.diagnosis.pod_states import Document
from tests.diagnosis.working_pods import PODS, SAYS_SO, TABLE, answers, target_in


def polled(target: Target, now: float, *, from_inside: bool) -> list[TargetRecord]:
    """Five minutes of polls, in both views or over the network alone."""
    config = Config()
    is_reached = from_inside and target.addresses
    inside = Netns("never-entered", *target.addresses) if is_reached else None
    plan = plan_of(target, config, lambda _target: inside)
    memory, records = Memory(), []
    for at in range(0, 300, 30):
        seen = answers(plan, now + at)
        record, memory = diagnose(
            target, plan.ports, seen, memory, config, now + at, in_mesh=False, webhook=None
        )
        records.append(record)
    return records


def test_the_rows_whose_document_reports_trouble_are_in_the_table() -> None:
    assert SAYS_SO.keys() <= {row.id for row in TABLE}


@pytest.mark.parametrize("from_inside", [False, True], ids=["network", "both views"])
@pytest.mark.parametrize(("document", "now", "cause"), PODS)
def test_a_pod_whose_ports_all_work_has_no_cause_but_what_its_document_reports(
    document: Document, now: float, cause: str, from_inside: bool
) -> None:
    records = polled(target_in(document), now, from_inside=from_inside)
    assert [cause_of(record) for record in records] == [cause] * len(records)
    down = {(one.port, one.outcome) for r in records for one in r.verdicts if one.up is False}
    assert down == set()
    assert all(all(record.ready.values()) for record in records)


HEALTHY = [pytest.param(*one.values[:2], id=one.id) for one in PODS if one.values[2] == "none"]


def around(plan: Plan, now: float, lost: int) -> list[TargetRecord]:
    """The records of four polls, in the third of which this probe's connect is dropped."""
    memory, found = Memory(), []
    for poll in range(4):
        at = now + 30 * poll
        seen = answers(plan, at)
        if poll == 2:
            seen[lost] = Observation(seen[lost].probe, Outcome.TIMEOUT, 2.0, connected=False)
        record, memory = diagnose(
            plan.target, plan.ports, seen, memory, Config(), at, in_mesh=False, webhook=None
        )
        found.append(record)
    return found


@pytest.mark.parametrize(("document", "now"), HEALTHY)
def test_one_connect_that_gets_lost_has_no_cause_and_leaves_no_port_down(
    document: Document, now: float
) -> None:
    plan = plan_of(target_in(document), Config())
    for lost, seen in enumerate(answers(plan, now)):
        for record in around(plan, now, lost):
            assert record.diagnosis is None, seen.probe
            assert [one for one in record.verdicts if one.up is False] == [], seen.probe
