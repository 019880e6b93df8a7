"""Every alert fires, stays quiet, and does not fire in its trap, by the real promtool."""

from collections import Counter
from pathlib import Path

import pytest

from tests.rules import (
    agents,
    ambient,
    ambient_counts,
    ambient_nodes,
    certificates,
    control_plane,
    edge,
    exporter_itself,
    exporters,
    limits,
    missing,
    outages,
    planes,
    proxies,
    repeated,
    rhythms,
    security_rhythms,
    shared_causes,
    symptoms,
    turns,
    two_clusters,
)
from tests.rules.promtool import ALERTS, Case, judge

pytestmark = [pytest.mark.background, pytest.mark.timeout(900)]

CASES: tuple[Case, ...] = (
    *outages.CASES,
    *proxies.CASES,
    *symptoms.CASES,
    *certificates.CASES,
    *control_plane.CASES,
    *exporter_itself.CASES,
    *ambient.CASES,
    *ambient_counts.CASES,
    *repeated.CASES,
    *shared_causes.CASES,
    *two_clusters.CASES,
    *edge.CASES,
    *planes.CASES,
    *exporters.CASES,
    *ambient_nodes.CASES,
    *turns.CASES,
    *security_rhythms.CASES,
    *agents.CASES,
    *rhythms.CASES,
    *limits.CASES,
    *missing.CASES,
)
CLUSTER_OF = {1: ("",), 2: ("east",)}
"""One replica runs without a cluster label and two with one, which holds both for half the time."""

LONG_MINUTES = 600
"""promtool evaluates every rule at every minute."""


def marks(case: Case, replicas: int) -> list[pytest.MarkDecorator]:
    """What a change needs: each case once, but for those of a day."""
    is_repeated = replicas != min(case.replicas)
    return [pytest.mark.slow] if is_repeated or case.last > LONG_MINUTES else []


RUNS = [
    pytest.param(
        case,
        replicas,
        cluster,
        id=f"{case.alert}-{case.name}-{replicas}-{cluster}",
        marks=marks(case, replicas),
    )
    for case in CASES
    for replicas in case.replicas
    for cluster in (("", "east") if len(case.replicas) == 1 else CLUSTER_OF[replicas])
]


@pytest.mark.usefixtures("promtool")
@pytest.mark.parametrize(("case", "replicas", "cluster"), RUNS)
def test_fires_as_it_should(case: Case, replicas: int, cluster: str, tmp_path: Path) -> None:
    complaint = judge(case, replicas, tmp_path, cluster)
    assert not complaint, f"\n{complaint}"


def test_every_alert_has_a_case_of_each_kind() -> None:
    kinds = Counter((case.alert, case.kind) for case in CASES)
    wanted = {(alert, kind) for alert in ALERTS for kind in ("fires", "quiet", "trap")}
    assert wanted - set(kinds) == set()
    assert {case.alert for case in CASES} == set(ALERTS)


def test_every_case_that_fires_has_its_description() -> None:
    assert [case.name for case in CASES if case.kind == "fires" and case.describe is None] == []
