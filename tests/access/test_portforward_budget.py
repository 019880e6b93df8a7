"""Port-forwards are shared: by rate, by places, and among those who request them."""

import heapq
from dataclasses import dataclass

from hypothesis import example, given
from hypothesis import strategies as st

from exporter.access.portforward_budget import Budget


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Asker:
    """Whoever asks; the budget forgets it when it is gone."""


def test_routine_looks_leave_something_for_the_urgent() -> None:
    clock = Clock()
    budget = Budget(1, 4, clock)
    calm, other, alarmed = Asker(), Asker(), Asker()
    assert budget.take(calm, 2, urgent=False)
    assert not budget.take(other, 2, urgent=False)
    assert budget.take(alarmed, 2, urgent=True)


def test_no_more_are_open_than_allowed() -> None:
    clock = Clock()
    budget = Budget(100, 4, clock)
    askers = [Asker() for _ in range(3)]
    assert [budget.take(asker, 2, urgent=True) for asker in askers] == [True, True, False]
    clock.now = 60.0
    assert not budget.take(askers[2], 2, urgent=True)
    budget.give_back(2)
    assert budget.take(askers[2], 2, urgent=True)


def test_a_look_that_needs_more_than_is_allowed_is_made_alone() -> None:
    budget = Budget(1, 1, Clock())
    assert budget.take(Asker(), 3, urgent=True)
    assert not budget.take(Asker(), 1, urgent=True)


def test_no_more_than_the_rate_are_opened_in_the_long_run() -> None:
    clock = Clock()
    budget = Budget(1, 4, clock)
    askers = [Asker() for _ in range(50)]
    opened = 0
    for second in range(600):
        clock.now = float(second)
        for asker in askers:
            if budget.take(asker, 3, urgent=True):
                budget.give_back(3)
                opened += 3
    assert 590 <= opened <= 610


def test_everybody_has_a_turn_before_anybody_has_another() -> None:
    """Polled in a fixed order, the same few would else be served for ever."""
    clock = Clock()
    budget = Budget(1, 3, clock)
    askers = [Asker() for _ in range(10)]
    served = dict.fromkeys(askers, 0)
    for turn in range(60):
        for index, asker in enumerate(askers):
            clock.now = turn * 30.0 + index * 3.0
            if budget.take(asker, 3, urgent=turn % 2 == 0):
                budget.give_back(3)
                served[asker] += 1
                assert max(served.values()) - min(served.values()) <= 2
    assert min(served.values()) >= 20


def test_who_is_gone_is_not_waited_for() -> None:
    clock = Clock()
    budget = Budget(1, 1, clock)
    stays, goes = Asker(), Asker()
    assert budget.take(stays, 1, urgent=False)
    assert not budget.take(goes, 1, urgent=False)
    budget.give_back(1)
    clock.now = 10.0
    assert not budget.take(stays, 1, urgent=False)
    del goes
    assert budget.take(stays, 1, urgent=False)


def test_who_calms_down_does_not_hold_up_the_alarmed() -> None:
    clock = Clock()
    budget = Budget(1, 1, clock)
    alarmed, calmed = Asker(), Asker()
    assert budget.take(alarmed, 1, urgent=True)
    assert not budget.take(calmed, 1, urgent=True)
    budget.give_back(1)
    clock.now = 10.0
    assert not budget.take(alarmed, 1, urgent=True)
    assert budget.take(calmed, 1, urgent=False)
    budget.give_back(1)
    clock.now = 20.0
    assert budget.take(alarmed, 1, urgent=True)


def test_how_long_all_who_ask_are_waited_for_is_known_before_anybody_is_served_twice() -> None:
    """Polled at any offset, nobody waits for more than two such rounds, each a poll longer."""
    clock = Clock()
    budget = Budget(1, 4, clock)
    askers = [Asker() for _ in range(5)]
    last, most, interval = dict.fromkeys(askers, 0.0), 0.0, 5.0
    for number in range(60):
        for index, asker in enumerate(askers):
            clock.now = number * interval + index
            if budget.take(asker, 3, urgent=False):
                budget.give_back(3)
                most = max(most, clock.now - last[asker])
                last[asker] = clock.now
    assert budget.seconds_to_serve_all(3) == 15.0
    assert 15.0 <= most <= 2 * (15.0 + interval)
    del askers[1:], asker, last
    assert budget.seconds_to_serve_all(3) == 3.0


@dataclass(frozen=True)
class Mesh:
    """Pods that stay broken and pods that are well, polled at one interval in a fixed order.

    `broken_seconds`: how long a poll of a broken one keeps its port-forwards open.
    """

    broken: int
    healthy: int
    interval: float
    broken_seconds: float


HEALTHY_SECONDS = 0.2
COUNT = 3
"""Port-forwards that one poll takes."""


def longest_gaps(mesh: Mesh, budget: Budget, clock: Clock, seconds: float) -> list[float]:
    """How long each healthy pod went without being served, at most, in so many seconds."""
    polls = [(Asker(), mesh.broken_seconds) for _ in range(mesh.broken)]
    polls += [(Asker(), HEALTHY_SECONDS) for _ in range(mesh.healthy)]
    phase = mesh.interval / len(polls)
    due = [(number * phase, number) for number in range(len(polls))]
    ends: list[float] = []
    served = dict.fromkeys(range(mesh.broken, len(polls)), 0.0)
    longest = dict.fromkeys(served, 0.0)
    while due[0][0] < seconds:
        clock.now, number = heapq.heappop(due)
        while ends and ends[0] <= clock.now:
            heapq.heappop(ends)
            budget.give_back(COUNT)
        asker, held = polls[number]
        is_broken = number < mesh.broken
        took = 0.0
        if budget.take(asker, COUNT, urgent=is_broken):
            heapq.heappush(ends, clock.now + held)
            took = held
            if not is_broken:
                longest[number] = max(longest[number], clock.now - served[number])
                served[number] = clock.now
        polls_skipped = int(took / mesh.interval) + 1
        heapq.heappush(due, (clock.now + polls_skipped * mesh.interval, number))
    return [max(longest[number], seconds - served[number]) for number in served]


@given(
    st.builds(
        Mesh,
        broken=st.integers(0, 30),
        healthy=st.integers(1, 10),
        interval=st.sampled_from([1.0, 5.0, 30.0]),
        broken_seconds=st.sampled_from([0.2, 2.0, 10.0]),
    )
)
@example(Mesh(broken=12, healthy=2, interval=5.0, broken_seconds=0.2))
@example(Mesh(broken=12, healthy=2, interval=5.0, broken_seconds=10.0))
def test_pods_that_stay_broken_keep_nobody_from_being_served(mesh: Mesh) -> None:
    clock = Clock()
    budget = Budget(1, 4, clock)
    # Each healthy one may come after a broken one, which pays and holds as much, and polls again
    # an interval later than it could.
    turn = 2 * COUNT + mesh.broken_seconds + HEALTHY_SECONDS + 2 * mesh.interval
    most = 2 * mesh.healthy * turn
    assert max(longest_gaps(mesh, budget, clock, 3 * most)) <= most
