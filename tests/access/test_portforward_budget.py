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
