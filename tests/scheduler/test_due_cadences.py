"""Which cadences polls read, and who takes the slots of pages for them."""

from collections import Counter

import pytest

from exporter.config import Config, PollConfig
from exporter.exposition import selected
from exporter.model import Cadence, Role
from exporter.poll.plan import plan_of
from exporter.scheduler.due_cadences import DueCadences
from exporter.scheduler.target_table import ScheduledTarget, TargetTable
from exporter.state import State
from tests.diagnosis.ambient_states import WORKLOAD
from tests.diagnosis.matrix import target_of

CONFIG = Config(poll=PollConfig(interval=30, detail_interval=120, identity_interval=3600))
POLLS = 240
READ = {
    "a workload in ambient without a pod view": (
        WORKLOAD,
        {Cadence.FAST: 240, Cadence.IDENTITY: 2},
    ),
    "a sidecar": (
        target_of(Role.SIDECAR, captured=True),
        {Cadence.FAST: 240, Cadence.DETAIL: 60, Cadence.IDENTITY: 2},
    ),
}


@pytest.mark.parametrize(("target", "read"), READ.values(), ids=READ)
def test_polls_take_a_slot_for_pages_only_where_there_is_something_to_read(
    target: object, read: dict[Cadence, int]
) -> None:
    families = selected("standard", ())
    table = TargetTable(CONFIG.poll.interval, State(families), State(families))
    table.slots.resize(8)
    row = ScheduledTarget(target, spread=0, plan=plan_of(target, CONFIG))
    due, free, found = DueCadences(CONFIG, table), table.slots.free_pages, []
    for number in range(1, POLLS + 1):
        row.polls = number
        cadences = due.of(row)
        found += cadences
        assert (table.slots.free_pages < free) is (cadences != {Cadence.FAST})
        table.slots.free_pages = free
    counted = Counter(found)
    counted.pop(Cadence.PAGE, None)
    assert counted == read
    assert table.owed == type(table.owed)()


@pytest.mark.parametrize(("slots", "reads"), [(9, True), (8, False)])
def test_others_wait_behind_those_that_wait_only_where_slots_are_short(
    slots: int, reads: bool
) -> None:
    """Else a moment without a slot would never end: the next is due before the last was read."""
    families = selected("standard", ())
    table = TargetTable(CONFIG.poll.interval, State(families), State(families))
    target = target_of(Role.SIDECAR, captured=True)
    table.slots.resize(4 * slots)
    table.owed.extend(ScheduledTarget(target, spread=0, is_running=True) for _ in range(8))
    row = ScheduledTarget(target, spread=0, polls=4, plan=plan_of(target, CONFIG))
    cadences = DueCadences(CONFIG, table).of(row)
    assert (Cadence.DETAIL in cadences) is reads
    assert (table.owed[-1] is row) is not reads
    assert table.slots.free_pages == slots - reads


@pytest.mark.parametrize("role", Role)
def test_a_first_poll_reads_what_later_ones_read_again(role: Role) -> None:
    """Else `polled` would show the time of the first poll for ever."""
    target, families = target_of(role), selected("standard", ())
    table = TargetTable(CONFIG.poll.interval, State(families), State(families))
    due = DueCadences(CONFIG, table)
    table.slots.resize(8 * POLLS)
    first = due.of(ScheduledTarget(target, spread=0))
    row, later = ScheduledTarget(target, spread=0), set[Cadence]()
    for number in range(1, POLLS + 1):
        row.polls = number
        later |= due.of(row)
    assert first == later
