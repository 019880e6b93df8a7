from collections.abc import Callable

from exporter.scheduler.slots import Slots


def begun_by(slots: Slots[str]) -> tuple[list[str], Callable[..., None]]:
    """Who has begun, and a way to ask for a place."""
    begun: list[str] = []

    def start(name: str) -> bool:
        begun.append(name)
        return name != "gone"

    def ask(name: str, *, is_silent: bool = False) -> None:
        slots.take(name, start, is_silent=is_silent)

    return begun, ask


def test_whoever_finds_no_room_begins_in_turn() -> None:
    slots: Slots[str] = Slots(2)
    begun, ask = begun_by(slots)
    for name in "abcd":
        ask(name)
    assert begun == ["a", "b"]
    slots.give_back(is_silent=False)
    assert begun == ["a", "b", "c"]
    slots.give_back(is_silent=False)
    assert begun == ["a", "b", "c", "d"]


def test_silent_targets_have_half_of_the_places() -> None:
    slots: Slots[str] = Slots(4)
    begun, ask = begun_by(slots)
    for name in ("s1", "s2", "s3"):
        ask(name, is_silent=True)
    for name in "abc":
        ask(name)
    assert begun == ["s1", "s2", "a", "b"]
    slots.give_back(is_silent=False)
    assert begun[4:] == ["c"]
    slots.give_back(is_silent=True)
    assert begun[5:] == ["s3"]


def test_others_do_not_keep_silent_targets_waiting_for_ever() -> None:
    slots: Slots[str] = Slots(1)
    begun, ask = begun_by(slots)
    ask("a")
    ask("s", is_silent=True)
    ask("b")
    slots.give_back(is_silent=False)
    slots.give_back(is_silent=True)
    assert begun == ["a", "s", "b"]


def test_who_is_not_wanted_any_more_takes_no_place() -> None:
    slots: Slots[str] = Slots(1)
    begun, ask = begun_by(slots)
    for name in ("a", "gone", "b", "c"):
        ask(name)
    slots.give_back(is_silent=False)
    assert begun == ["a", "gone", "b"]


def test_fewer_places_hold_from_the_next_look_on() -> None:
    slots: Slots[str] = Slots(3)
    begun, ask = begun_by(slots)
    for name in "abcd":
        ask(name)
    slots.resize(1)
    slots.give_back(is_silent=False)
    slots.give_back(is_silent=False)
    assert begun == ["a", "b", "c"]
    slots.give_back(is_silent=False)
    assert begun == ["a", "b", "c", "d"]
    slots.resize(2)
    ask("e")
    assert begun == ["a", "b", "c", "d", "e"]


def test_what_waits_can_be_cancelled_and_takes_no_slot() -> None:
    slots: Slots[str] = Slots(1)
    begun, ask = begun_by(slots)
    for name in "abc":
        ask(name)
    ask("s", is_silent=True)
    assert slots.cancel_waiting() == ["b", "c", "s"]
    slots.give_back(is_silent=False)
    ask("d")
    assert begun == ["a", "d"]
