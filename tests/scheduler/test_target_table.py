"""The table hands out targets in the order in which they are due, whatever came before."""

import random
import time
from dataclasses import replace
from typing import Any

import pytest

from exporter.exposition import selected
from exporter.model import Role, Target, TargetKey
from exporter.scheduler.target_table import TargetTable
from exporter.state import State

FAMILIES = selected("minimal")


def target(number: int) -> Target:
    key = TargetKey("shop", f"web-{number}")
    return Target(key=key, role=Role.SIDECAR, addresses=("127.0.0.1",), uid=f"uid-{number}")


def test_who_is_due_first_comes_first_while_targets_come_and_go() -> None:
    dice = random.Random(3)
    interval = 0.02
    table = TargetTable(interval, State(FAMILIES), State(FAMILIES))
    known: set[int] = set()
    taken = 0
    until = time.monotonic() + 20 * interval
    while time.monotonic() < until or taken < 500:
        number = dice.randrange(60)
        if number in known and dice.random() < 0.2:
            table.drop(target(number).key)
            known.discard(number)
        else:
            table.put(target(number))
            known.add(number)
        first = table.next_due()
        found = table.take_due(dice.choice((1, 2, 16)))
        dues = [due for _, due in found]
        assert dues == sorted(dues)
        assert all(first <= due <= time.monotonic() for due in dues)
        for row, due in found:
            assert not row.is_gone
            assert due < row.due <= time.monotonic() + 1.5 * interval
            if dice.random() < 0.1:
                table.put_back(row, due)
                assert row.due == due
        taken += len(found)
    waiting = {row.target.key for row, _ in drained(table, interval)}
    assert waiting == {target(number).key for number in known}


def drained(table: TargetTable, interval: float) -> list[tuple[object, float]]:
    """Each target once: two intervals later all of them have been due."""
    time.sleep(2 * interval)
    return table.take_due(1000)


@pytest.mark.parametrize(
    ("changes", "is_another"),
    [
        ({"addresses": ("127.0.0.2",)}, True),
        ({"role": Role.ISTIOD}, True),
        ({"netns": "other"}, True),
        ({"uid": "of its successor"}, True),
        ({"workload": "web"}, False),
        ({"istio_version": "1.30.0"}, False),
    ],
)
def test_another_pod_or_what_is_polled_elsewhere_or_as_another_role_begins_anew(
    changes: dict[str, Any], is_another: bool
) -> None:
    table = TargetTable(1.0, State(FAMILIES), State(FAMILIES))
    table.put(target(1))
    row = table._rows[target(1).key]
    row.polls = 7
    table.put(replace(target(1), **changes))
    assert table._rows[target(1).key].polls == (0 if is_another else 7)
    assert row.is_gone is is_another


@pytest.mark.parametrize(
    ("steps", "version"),
    [
        (["", "istiod 1.30.0"], "1.30.0"),
        (["", "istiod 1.30.0", ""], "1.30.0"),
        (["", "istiod 1.30.0", "istiod 1.31.0"], "1.31.0"),
        (["1.29.0", "istiod 1.30.0"], "1.29.0"),
        (["", "istiod 1.30.0", "1.29.0"], "1.29.0"),
        (["", "istiod 1.30.0", "1.29.0", "istiod 1.31.0"], "1.29.0"),
        (["", "istiod 1.30.0", "1.29.0", ""], ""),
        (["1.29.0", "", "istiod 1.30.0"], "1.30.0"),
        (["", "istiod 1.30.0", "gone", ""], ""),
        (["", "istiod 1.30.0", "another pod"], ""),
        (["", "istiod 1.30.0", "another pod", "istiod 1.31.0"], "1.31.0"),
        (["istiod 1.30.0"], None),
    ],
)
def test_a_version_is_the_targets_own_or_the_last_that_an_istiod_listed(
    steps: list[str], version: str | None
) -> None:
    table, key = TargetTable(1.0, State(FAMILIES), State(FAMILIES)), target(1).key
    for step in steps:
        kind, _, listed = step.partition(" ")
        if kind == "istiod":
            table.set_version(key, listed)
        elif step == "gone":
            table.drop(key)
        elif step == "another pod":
            table.put(replace(target(1), uid="another"))
        else:
            table.put(replace(target(1), istio_version=step))
    assert getattr(table.targets.get(key), "istio_version", None) == version
