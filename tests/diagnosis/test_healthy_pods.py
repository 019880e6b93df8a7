"""Precision: every pod that is shipped as test data, with each of its ports as it should be.

The table of tests/data/pods and the documents that this folder builds: each is polled with the
probes of its own plan, over the network and from inside, and answered as a working pod answers.
A cause is then a false alarm, unless the document itself says what is wrong.
"""

import json

import pytest
from msgspec import structs

from exporter.access.netns import Netns
from exporter.config import Config
from exporter.diagnosis import diagnose
from exporter.discovery.pod_documents import decode_pod
from exporter.discovery.pods import targets_of_pod
from exporter.model import (
    AdminFacts,
    CauseClass,
    Diagnosis,
    Memory,
    Observation,
    Outcome,
    Probe,
    ProbeKind,
    ReadinessFacts,
    Role,
    Target,
    TargetRecord,
    TlsFacts,
    ZtunnelFacts,
)
from exporter.poll.plan import Plan, plan_of
from tests.diagnosis.matrix import CERTIFICATE, NOW, STATS, cause_of, page
from tests.diagnosis.pod_states import (
    APP,
    MIGRATE,
    NATIVE,
    PROXY,
    ROUTER,
    Document,
    ended,
    job,
    native,
    pod,
    run,
    running,
    sidecar_in,
)
from tests.discovery.pod_documents import read_table

TABLE_NOW = 1795424100.0
"""An hour after the table's pods have begun, within the grace period of those that end."""

SAYS_SO = {
    "terminating": "draining",
    "deleted and held by a finalizer": "draining",
    "crash loop": "crash_looping",
    "gateway that was never injected": "proxy_missing",
}
"""The pods of the table whose own document reports what is wrong, whatever their ports answer."""

LONG_AGO = run(137, "OOMKilled", seconds=9000, ago=90_000)
BUILT: dict[str, Document] = {
    "classic sidecar": sidecar_in(running()),
    "native sidecar": pod((APP, running()), inits=((NATIVE, running()), (MIGRATE, ended()))),
    "native sidecar behind an init container": native(MIGRATE, ended(), before=True),
    "native sidecar before an init container": native(MIGRATE, ended(), before=False),
    "gateway": pod((ROUTER, running())),
    "job at work": job(running(), running()),
    "job at work beside a native sidecar": job(running(), running(), is_native=True),
    "second container": pod((APP, running()), (MIGRATE, running()), (PROXY, running())),
    "restarted once": sidecar_in(running(restarts=1, last=LONG_AGO)),
    "restarted often, long ago": sidecar_in(running(90_000, restarts=40, last=LONG_AGO)),
    "node was rebooted": sidecar_in(running(90, restarts=7, last=run(255, "Unknown"))),
    "nothing is reported": pod((APP, None), (PROXY, None)),
    "held by a finalizer, not deleted": sidecar_in(running(), finalizers=("example.com/keep",)),
}


def answer(probe: Probe, target: Target, now: float) -> Observation:
    """What a working pod of this target answers to the probe."""
    outcome, facts = Outcome.OK, None
    certificate = structs.replace(
        CERTIFICATE,
        not_before=now - 3600,
        not_after=now + 82_800,
        uris=(f"spiffe://cluster.local{target.settings.identity}",),
    )
    match probe.kind:
        case ProbeKind.EXPOSURE:
            outcome = Outcome.RESET if probe.captured else Outcome.REFUSED
        case ProbeKind.AGENT:
            facts = page()
        case ProbeKind.READINESS:
            facts = ReadinessFacts(status=200)
        case ProbeKind.STATS:
            facts = STATS
        case ProbeKind.ADMIN:
            facts = AdminFacts(state="LIVE")
        case ProbeKind.ZTUNNEL_STATS:
            facts = ZtunnelFacts(page=Outcome.OK, active=8, pending=0, terminations={})
        case ProbeKind.HELLO | ProbeKind.HBONE_HELLO:
            facts = TlsFacts(certificate=certificate, via=probe.via or probe.port)
    return Observation(probe, outcome, 0.01, "", facts, connected=outcome is not Outcome.REFUSED)


def answers(plan: Plan, now: float) -> list[Observation]:
    """Everything that one poll with all cadences sees."""
    asked = [probe for part in plan.network for probe in part.probes]
    asked += [part.hello for part in plan.network if part.hello]
    return [answer(probe, plan.target, now) for probe in (*asked, *plan.in_pod)]


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


def target_in(document: Document) -> Target:
    (target,) = targets_of_pod(decode_pod(json.dumps(document).encode()), Config())
    return target


TABLE = [row for row in read_table() if row.target is not None]
PODS = [
    *(pytest.param(row.pod, TABLE_NOW, SAYS_SO.get(row.id, "none"), id=row.id) for row in TABLE),
    *(pytest.param(document, NOW, "none", id=f"built: {name}") for name, document in BUILT.items()),
]


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


ONE_PORT = {(Role.PROXYLESS, "unreachable"), (Role.ISTIOD, "webhook_unreachable")}
"""Where one port is all that shows it, so that the alerts' own patience has to hold."""

HEALTHY = [pytest.param(*one.values[:2], id=one.id) for one in PODS if one.values[2] == "none"]


def around(plan: Plan, now: float, lost: int) -> list[Diagnosis | None]:
    """The diagnoses of four polls, in the third of which this probe's connect is dropped."""
    memory, found = Memory(), []
    for poll in range(4):
        at = now + 30 * poll
        seen = answers(plan, at)
        if poll == 2:
            seen[lost] = Observation(seen[lost].probe, Outcome.TIMEOUT, 2.0, connected=False)
        record, memory = diagnose(
            plan.target, plan.ports, seen, memory, Config(), at, in_mesh=False, webhook=None
        )
        found.append(record.diagnosis)
    return found


@pytest.mark.parametrize(("document", "now"), HEALTHY)
def test_one_connect_that_gets_lost_is_no_fault_and_is_over_with_the_next_poll(
    document: Document, now: float
) -> None:
    plan = plan_of(target_in(document), Config())
    for lost, seen in enumerate(answers(plan, now)):
        *before, meanwhile, after = around(plan, now, lost)
        assert (*before, after) == (None, None, None), seen.probe
        if meanwhile is not None and meanwhile.cause_class is CauseClass.FAULT:
            assert (plan.target.role, meanwhile.cause) in ONE_PORT, seen.probe
