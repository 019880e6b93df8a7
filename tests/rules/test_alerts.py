"""Every alert fires, stays quiet, and does not fire in its trap, by the real promtool."""

from collections import Counter
from pathlib import Path

import pytest

from tests.rules import (
    ambient,
    certificates,
    control_plane,
    exporter_itself,
    outages,
    proxies,
    symptoms,
)
from tests.rules.promtool import ALERTS, Case, judge

CASES: tuple[Case, ...] = (
    *outages.CASES,
    *proxies.CASES,
    *symptoms.CASES,
    *certificates.CASES,
    *control_plane.CASES,
    *exporter_itself.CASES,
    *ambient.CASES,
)
RUNS = [
    pytest.param(case, replicas, id=f"{case.alert}-{case.kind}-{case.name}-{replicas}")
    for case in CASES
    for replicas in case.replicas
]


@pytest.mark.usefixtures("promtool")
@pytest.mark.parametrize(("case", "replicas"), RUNS)
def test_fires_as_it_should(case: Case, replicas: int, tmp_path: Path) -> None:
    complaint = judge(case, replicas, tmp_path)
    assert not complaint, f"\n{complaint}"


def test_every_alert_has_a_case_of_each_kind() -> None:
    kinds = Counter((case.alert, case.kind) for case in CASES)
    wanted = {(alert, kind) for alert in ALERTS for kind in ("fires", "quiet", "trap")}
    assert wanted - set(kinds) == set()
    assert {case.alert for case in CASES} == set(ALERTS)


def test_every_case_that_fires_has_its_description() -> None:
    assert [case.name for case in CASES if case.kind == "fires" and case.describe is None] == []
