"""The last record of each target: put, replaced, expired, kept, dropped, rendered with others."""

import asyncio
import random
from dataclasses import replace

import pytest
from msgspec import structs

from benchmarks.records import healthy_sidecar
from exporter.exposition import FAMILIES, PROFILES, Family, render, render_synced, selected
from exporter.model import Role, Target, TargetKey, TargetRecord
from exporter.state import State

VERSION = Family(
    name="version",
    type="gauge",
    help="The version.",
    profile="minimal",
    labels=(),
    samples=lambda record: [(f',version="{record.target.istio_version}"', 1.0)],
)
A = TargetKey("ns", "a")


def record(pod: str, version: str = "") -> TargetRecord:
    key = TargetKey("ns", pod)
    target = Target(key=key, role=Role.SIDECAR, addresses=(), istio_version=version)
    return TargetRecord(target=target)


def block(pod: str, version: str = "") -> tuple[bytes]:
    labels = f'{{namespace="ns",pod="{pod}",role="sidecar",version="{version}"}}'
    return (f"version{labels} 1.0\n".encode(),)


@pytest.fixture
def state() -> State:
    return State((VERSION,))


def test_a_later_record_of_a_target_replaces_the_earlier(state: State) -> None:
    state.put(record("a"), 100.0)
    state.put(record("a", "1.28"), 100.0)
    assert len([*state.records()]) == 1
    assert state.get(A) == record("a", "1.28")
    assert state.blocks(now=0.0) == [block("a", "1.28")]


def test_an_expired_target_has_no_samples_but_its_record_stays(state: State) -> None:
    state.put(record("late"), 100.0)
    state.put(record("fine"), 200.0)
    assert state.blocks(now=99.0) == [block("late"), block("fine")]
    assert state.blocks(now=100.0) == [block("fine")]
    assert list(state.records()) == [record("late"), record("fine")]


def test_samples_are_kept_for_longer_unless_they_have_expired(state: State) -> None:
    state.put(record("a"), 100.0)
    state.keep(A, now=99.0, expires=200.0)
    assert state.blocks(now=150.0) == [block("a")]
    state.keep(A, now=200.0, expires=300.0)
    assert state.blocks(now=250.0) == []
    state.keep(TargetKey("ns", "unknown"), now=0.0, expires=300.0)
    assert len([*state.records()]) == 1


def test_a_target_that_was_not_polled_yet_has_counters_of_0_and_no_record() -> None:
    state = State(selected("minimal"))
    labels = '{namespace="ns",pod="a",role="sidecar"} 0'
    state.put(structs.replace(record("a"), polls=0), 100.0)

    text = b"".join(state.blocks(0.0)[0]).decode().splitlines()
    assert text == [
        f"istio_target_polls_total{labels}",
        f"istio_target_faulty_polls_total{labels}",
    ]
    assert (state.get(A), list(state.records())) == (None, [])

    state.put(structs.replace(record("a"), polls=1), 100.0)
    assert b"istio_target_info" in b"".join(state.blocks(0.0)[0])
    assert len([*state.records()]) == 1


def test_a_dropped_target_is_gone_and_may_be_dropped_again(state: State) -> None:
    state.put(record("a"), 100.0)
    for _ in range(2):
        state.drop(A)
    assert state.get(A) is None
    assert (list(state.records()), state.blocks(now=0.0)) == ([], [])


def test_records_may_be_read_while_targets_come_and_go(state: State) -> None:
    for pod in ("a", "b"):
        state.put(record(pod), 100.0)
    seen = []
    for known in state.records():
        state.drop(known.target.key)
        state.put(record(f"{known.target.key.pod}2"), 100.0)
        seen.append(known.target.key.pod)
    assert seen == ["a", "b"]


@pytest.mark.parametrize("before", PROFILES)
@pytest.mark.parametrize("after", PROFILES)
@pytest.mark.parametrize("render_with", [render, render_synced])
async def test_other_families_are_served_as_if_they_had_been_rendered_at_once(
    before: str, after: str, render_with: object
) -> None:
    state = State(selected(before), render_with)  # type: ignore[arg-type]
    records = [healthy_sidecar(number) for number in range(3)]
    for one in records:
        state.put(one, 100.0)
    families = selected(after, ("istio_port_up",))
    await state.prepare(families)
    assert state.families == selected(before)
    state.commit()
    await state.discard()
    assert state.families == families
    assert state.blocks(0.0) == [render_with(one, families) for one in records]  # type: ignore[operator]


@pytest.mark.parametrize("after", PROFILES)
async def test_families_that_were_rendered_and_never_served_are_forgotten(after: str) -> None:
    state, one = State(selected("standard")), healthy_sidecar(1)
    state.put(one, 100.0)
    await state.prepare(selected("minimal"))
    await state.prepare(selected(after))
    state.commit()
    assert state.families == selected(after)
    assert state.blocks(0.0) == [render(one, selected(after))]


async def test_what_changes_while_other_families_are_rendered_is_served_as_it_is_then() -> None:
    """Records that come, change and go while it is prepared: no mix at any moment, no loss."""
    dice = random.Random(7)
    families = [selected("full"), selected("minimal"), FAMILIES[:3], selected("standard")]
    state = State(families[0])
    records = {n: healthy_sidecar(n) for n in range(3000)}
    for one in records.values():
        state.put(one, 100.0)
    expected = dict(records)
    for following in families[1:]:
        before = state.families
        preparing = asyncio.create_task(state.prepare(following))
        while not preparing.done():
            await asyncio.sleep(0)
            assert {len(blocks) for blocks in state.blocks(0.0)} == {len(before)}
            number = dice.randrange(3000)
            if dice.random() < 0.3:
                state.drop(records[number].target.key)
                expected.pop(number, None)
            else:
                target = replace(records[number].target, istio_version=f"1.{dice.random()}")
                expected[number] = TargetRecord(target=target)
                state.put(expected[number], 100.0)
        state.commit()
        await state.discard()
        found = dict(zip((r.target.key for r in state.records()), state.blocks(0.0), strict=True))
        assert found == {one.target.key: render(one, following) for one in expected.values()}


async def test_a_record_that_other_families_cannot_show_costs_none_of_the_others(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Of a reload too: it lacks the new families until its next poll, and is counted."""

    def samples(record: TargetRecord) -> list[tuple[str, float]]:
        return [("", 1 / len(record.target.istio_version))]

    refused: list[str] = []
    state = State((VERSION,), refused=refused.append)
    for one in (record("a", "1"), record("b"), record("c", "1")):
        state.put(one, 100.0)
    await state.prepare((VERSION, replace(VERSION, name="share", samples=samples)))
    state.put(record("b"), 100.0)
    state.commit()
    shares = [share for _, share in state.blocks(0.0)]
    assert [bool(share) for share in shares] == [True, False, True]
    assert refused == ["reports", "reports"]
    assert len(caplog.records) == 1
