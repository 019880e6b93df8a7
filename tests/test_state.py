"""What is known now: put, replaced, expired, dropped, rendered again."""

from exporter.model import Role, Target, TargetKey, TargetRecord
from exporter.state import State


def record(pod: str, version: str = "") -> TargetRecord:
    key = TargetKey("ns", pod)
    target = Target(key=key, role=Role.SIDECAR, addresses=(), istio_version=version)
    return TargetRecord(target=target)


def test_a_later_record_of_a_target_replaces_the_earlier() -> None:
    state = State()
    state.put(record("a"), (b"old",), 100.0)
    state.put(record("a", "1.28"), (b"new",), 100.0)

    assert len(state) == 1
    assert state.get(TargetKey("ns", "a")) == record("a", "1.28")
    assert state.blocks(now=0.0) == [(b"new",)]


def test_an_expired_target_tells_nothing_but_its_record_stays() -> None:
    state = State()
    state.put(record("late"), (b"late",), 100.0)
    state.put(record("fine"), (b"fine",), 200.0)

    assert state.blocks(now=99.0) == [(b"late",), (b"fine",)]
    assert state.blocks(now=100.0) == [(b"fine",)]
    assert list(state.records()) == [record("late"), record("fine")]


def test_a_dropped_target_is_gone_and_may_be_dropped_again() -> None:
    state = State()
    state.put(record("a"), (b"a",), 100.0)
    for _ in range(2):
        state.drop(TargetKey("ns", "a"))

    assert state.get(TargetKey("ns", "a")) is None
    assert (len(state), state.blocks(now=0.0)) == (0, [])


def test_records_may_be_read_while_targets_come_and_go() -> None:
    state = State()
    for pod in ("a", "b"):
        state.put(record(pod), (), 100.0)
    seen = []
    for known in state.records():
        state.drop(known.target.key)
        state.put(record(f"{known.target.key.pod}2"), (), 100.0)
        seen.append(known.target.key.pod)

    assert seen == ["a", "b"]


def test_changed_families_are_rendered_for_every_target_at_once() -> None:
    state = State()
    for pod in ("a", "b"):
        state.put(record(pod), (b"old", b"old"), 100.0)
    state.render_again(lambda known: (known.target.key.pod.encode(),))

    assert state.blocks(now=99.0) == [(b"a",), (b"b",)]
    assert state.blocks(now=100.0) == []
