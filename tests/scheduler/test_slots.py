from collections.abc import Callable

import pytest

from exporter.scheduler.slots import MOST_IN_A_ROW, Slots, next_row


def begun_by(slots: Slots[str]) -> tuple[list[str], Callable[..., None]]:
    """Who has begun, and a way to ask for a place."""
    begun: list[str] = []

    def start(name: str) -> bool:
        begun.append(name)
        return name != "gone"

    def ask(name: str, *, is_slow: bool = False) -> None:
        slots.take(name, start, is_slow=is_slow)

    return begun, ask


def test_whoever_finds_no_room_begins_in_turn() -> None:
    slots: Slots[str] = Slots(2)
    begun, ask = begun_by(slots)
    for name in "abcd":
        ask(name)
    assert begun == ["a", "b"]
    slots.give_back(is_slow=False)
    assert begun == ["a", "b", "c"]
    slots.give_back(is_slow=False)
    assert begun == ["a", "b", "c", "d"]


@pytest.mark.parametrize("is_slow", [False, True])
def test_whoever_ends_at_once_leaves_its_place_to_the_next(*, is_slow: bool) -> None:
    slots: Slots[str] = Slots(2)
    begun: list[str] = []

    def start(name: str) -> bool:
        begun.append(name)
        slots.give_back(is_slow=is_slow)
        return True

    for name in "abcd":
        slots.take(name, start, is_slow=is_slow)
    assert begun == ["a", "b", "c", "d"]


def test_slow_targets_have_half_of_the_places() -> None:
    slots: Slots[str] = Slots(4)
    begun, ask = begun_by(slots)
    for name in ("s1", "s2", "s3"):
        ask(name, is_slow=True)
    for name in "abc":
        ask(name)
    assert begun == ["s1", "s2", "a", "b"]
    slots.give_back(is_slow=False)
    assert begun[4:] == ["c"]
    slots.give_back(is_slow=True)
    assert begun[5:] == ["s3"]


def test_others_do_not_keep_slow_targets_waiting_for_ever() -> None:
    slots: Slots[str] = Slots(1)
    begun, ask = begun_by(slots)
    ask("a")
    ask("s", is_slow=True)
    ask("b")
    slots.give_back(is_slow=False)
    slots.give_back(is_slow=True)
    assert begun == ["a", "s", "b"]


def test_who_is_not_wanted_any_more_takes_no_place() -> None:
    slots: Slots[str] = Slots(1)
    begun, ask = begun_by(slots)
    for name in ("a", "gone", "b", "c"):
        ask(name)
    slots.give_back(is_slow=False)
    assert begun == ["a", "gone", "b"]


def test_fewer_places_hold_from_the_next_look_on() -> None:
    slots: Slots[str] = Slots(3)
    begun, ask = begun_by(slots)
    for name in "abcd":
        ask(name)
    slots.resize(1)
    slots.give_back(is_slow=False)
    slots.give_back(is_slow=False)
    assert begun == ["a", "b", "c"]
    slots.give_back(is_slow=False)
    assert begun == ["a", "b", "c", "d"]
    slots.resize(2)
    ask("e")
    assert begun == ["a", "b", "c", "d", "e"]


def test_what_waits_can_be_cancelled_and_takes_no_slot() -> None:
    slots: Slots[str] = Slots(1)
    begun, ask = begun_by(slots)
    for name in "abc":
        ask(name)
    ask("s", is_slow=True)
    assert list(slots.cancel_waiting()) == ["b", "c", "s"]
    slots.give_back(is_slow=False)
    ask("d")
    assert begun == ["a", "d"]


def test_pages_have_a_quarter_of_the_places_and_nobody_waits_for_one() -> None:
    slots: Slots[str] = Slots(9)
    assert [slots.take_pages() for _ in range(3)] == [True, True, False]
    slots.give_back_pages()
    assert [slots.take_pages() for _ in range(2)] == [True, False]
    slots.resize(4)
    slots.give_back_pages()
    assert not slots.take_pages(), "one of two is still taken, and one is all that there is"
    slots.give_back_pages()
    assert slots.take_pages()
    assert Slots[str](1).take_pages(), "there is always one"


def test_rows_of_polls_are_shorter_while_they_take_long() -> None:
    def after(seconds_a_poll: float, row: int = MOST_IN_A_ROW) -> int:
        for _ in range(10):
            row = next_row(row, row * seconds_a_poll)
        return row

    assert after(0.0001) == after(0.0) == MOST_IN_A_ROW
    assert after(0.0005) == 6
    assert after(1.0) == 2
    assert after(0.0001, row=2) == MOST_IN_A_ROW
    assert all(after(ms / 1000) * ms <= 3 for ms in (0.25, 0.4, 0.7, 1.4))
