"""More lives of what `test_alerts` has: the same outages under other circumstances.

Each runs in one form, in turns: one replica without a cluster label, or two with one.
"""

from pathlib import Path

import pytest

from tests.rules import (
    agents,
    ambient_nodes,
    churn,
    edge,
    exporters,
    limits,
    planes,
    rhythms,
    security_rhythms,
    turns,
)
from tests.rules.promtool import Case, judge

pytestmark = [pytest.mark.slow, pytest.mark.background, pytest.mark.timeout(900)]

VARIANTS: tuple[Case, ...] = (
    *edge.VARIANTS,
    *planes.VARIANTS,
    *exporters.VARIANTS,
    *ambient_nodes.VARIANTS,
    *churn.VARIANTS,
    *turns.VARIANTS,
    *security_rhythms.VARIANTS,
    *agents.VARIANTS,
    *rhythms.VARIANTS,
    *limits.VARIANTS,
)


def form(number: int, case: Case) -> tuple[int, str]:
    """How many replicas, and the cluster label."""
    replicas = case.replicas[number % len(case.replicas)]
    return replicas, "east" if replicas > 1 else ""


RUNS = [
    pytest.param(case, *form(number, case), id=f"{case.alert}-{case.name}")
    for number, case in enumerate(VARIANTS)
]


@pytest.mark.usefixtures("promtool")
@pytest.mark.parametrize(("case", "replicas", "cluster"), RUNS)
def test_fires_as_it_should(case: Case, replicas: int, cluster: str, tmp_path: Path) -> None:
    complaint = judge(case, replicas, tmp_path, cluster)
    assert not complaint, f"\n{complaint}"
