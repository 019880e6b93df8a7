"""Precision with the real rules: pods that work, a percent of lost connects, and a rollout of each.

Each working pod of `tests/diagnosis/working_pods.py` is polled twice a minute for half an hour by
the real diagnosis; a percent of its probes gets no answer and another percent answers late. In
the tenth minute a new pod comes up and the old one goes. What the exporter would expose goes to
the real rules: none of them may fire.
"""

import random
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from msgspec import structs

from exporter.config import Config
from exporter.diagnosis import diagnose
from exporter.exposition import FAMILIES, render
from exporter.model import CauseClass, Memory, Observation, Outcome, Role, TargetRecord
from exporter.poll.plan import plan_of
from tests.diagnosis.pod_states import Document, iso
from tests.diagnosis.working_pods import PODS, answers, target_in
from tests.rules.promtool import Case, judge

MINUTES = 30
EVERY = 30
ROLLOUT = 600
READY_AFTER = 45
OLD_GOES = 660
OLD_IS_GONE = 720
LOST = 0.01
LATE = 0.01
AGAIN = 0.4
"""So long takes an answer of which a part was sent a second time."""

WORKING = [one.values[:2] for one in PODS if one.values[2] == "none"]


@dataclass
class Pod:
    """One pod from its first second to its last; seconds since the beginning."""

    document: Document
    start: float
    since: float = 0
    leaves: float = MINUTES * 60 + 1
    memory: Memory = field(default_factory=lambda: Memory(is_followed=True))

    def at(self, second: float) -> Document:
        """Its document: as it is, or while it starts, or while it ends."""
        document = deepcopy(self.document)
        if self.since:
            document["metadata"]["creationTimestamp"] = iso(self.start + self.since)
            for status in _running(document):
                status["state"] = {"running": {"startedAt": iso(self.start + self.since + 1)}}
                status["ready"] = second >= self.since + READY_AFTER
        if second >= self.leaves:
            document["metadata"]["deletionTimestamp"] = iso(self.start + self.leaves + 30)
        return document

    def poll(self, second: float, chance: random.Random) -> TargetRecord:
        """One poll over the network, as the pod answers then."""
        now = self.start + second
        plan = plan_of(target_in(self.at(second)), Config())
        seen = answers(plan, now)
        starts = self.since and second < self.since + READY_AFTER
        if (starts and plan.target.role is not Role.AMBIENT) or second >= self.leaves + EVERY:
            seen = [Observation(one.probe, Outcome.REFUSED, connected=False) for one in seen]
        seen = [_over_a_bad_network(one, chance) for one in seen]
        record, self.memory = diagnose(
            plan.target, plan.ports, seen, self.memory, Config(), now, in_mesh=False, webhook=None
        )
        return record


def _running(document: Document) -> Iterator[Document]:
    """The statuses of the containers that run."""
    reported = document.get("status", {})
    for name in ("containerStatuses", "initContainerStatuses"):
        rows = reported.get(name, ())
        yield from (row for row in rows if not row.get("state") or "running" in row["state"])


def _over_a_bad_network(seen: Observation, chance: random.Random) -> Observation:
    drawn = chance.random()
    if drawn < LOST:
        return Observation(seen.probe, Outcome.TIMEOUT, 2.0, connected=False)
    if drawn < LOST + LATE:
        return structs.replace(seen, seconds=AGAIN)
    return seen


def life(number: int, document: Document, start: float) -> tuple[Pod, Pod]:
    """The pod of a document, and the one that follows it; a StatefulSet's has the same name."""
    old, new = deepcopy(document), deepcopy(document)
    old["metadata"]["uid"], new["metadata"]["uid"] = f"{number}-old", f"{number}-new"
    owners = document["metadata"].get("ownerReferences", ())
    if any(owner["kind"] == "StatefulSet" for owner in owners):
        return Pod(old, start, leaves=ROLLOUT), Pod(new, start, since=OLD_IS_GONE)
    new["metadata"]["name"] += "-new"
    return Pod(old, start, leaves=OLD_GOES), Pod(new, start, since=ROLLOUT)


def samples(record: TargetRecord, start: float) -> Iterator[tuple[str, str]]:
    """The record's samples in profile full; promtool's time begins at 0."""
    for line in b"".join(render(record, FAMILIES)).decode().splitlines():
        series, _, value = line.rpartition(" ")
        is_moment = "timestamp_seconds" in series
        yield series, str(float(value) - start) if is_moment else value


def watched(number: int, chance: random.Random) -> tuple[dict[str, str], list[TargetRecord]]:
    """The series of one document's pods by minute, as promtool writes them, and every record."""
    document, start = WORKING[number]
    found: dict[str, list[str]] = defaultdict(lambda: ["_"] * (MINUTES + 1))
    records = []
    for pod in life(number, document, start):
        gone = pod.leaves + OLD_IS_GONE - OLD_GOES
        for second in range(int(pod.since), min(int(gone), MINUTES * 60 + 1), EVERY):
            record = pod.poll(second, chance)
            records.append(record)
            if second % 60 == 0:
                for series, value in samples(record, start):
                    found[series][second // 60] = value
    return {series: " ".join(_with_ends(values)) for series, values in found.items()}, records


def _with_ends(values: list[str]) -> Iterator[str]:
    """A sample that is missing after one ends its series at once, as a scrape does."""
    before = "_"
    for value in values:
        yield "stale" if value == "_" and before != "_" else value
        before = value


def of_its_own_mesh(number: int, series: str) -> str:
    return series.replace("{", f'{{cluster="c{number}",', 1)


def of_one_mesh(number: int, series: str) -> str:
    """Of one version, as a mesh is, and by another name than the pods of other documents."""
    named = series.replace('pod="', f'pod="p{number}-', 1)
    return re.sub(r'version="[^"]*"', 'version="1.28.3"', named)


@pytest.mark.slow
@pytest.mark.usefixtures("promtool")
@pytest.mark.parametrize("in_mesh", [of_its_own_mesh, of_one_mesh])
def test_working_pods_on_a_bad_network_raise_no_alert(
    in_mesh: Callable[[int, str], str], tmp_path: Path
) -> None:
    """Half an hour of every rule takes promtool a while."""
    chance = random.Random(11)
    series: dict[str, str] = {}
    faults = set()
    for number in range(len(WORKING)):
        found, records = watched(number, chance)
        found['istio_port_exporter_build_info{version="1"}'] = f"1x{MINUTES}"
        series |= {in_mesh(number, name): values for name, values in found.items()}
        faults |= {
            (record.diagnosis.cause, record.polls)
            for record in records
            if record.diagnosis and record.diagnosis.cause_class is CauseClass.FAULT
        }
    assert not faults
    case = Case("", "quiet", "working pods", series, {MINUTES: {}}, watched=False)
    complaint = judge(case, 1, tmp_path)
    assert not complaint, complaint
