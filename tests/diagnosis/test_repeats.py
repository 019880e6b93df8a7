"""Polls that are only counted leave what judging each of them would have left."""

from dataclasses import replace as changed

import pytest
from msgspec import structs

from exporter.config import Config
from exporter.diagnosis.diagnose import diagnose
from exporter.diagnosis.repeats import Repeats
from exporter.exposition import PROFILES, render, selected
from exporter.model import Cadence, Memory, Observation, Outcome, Target, TargetRecord
from exporter.poll.plan import Plan, plan_of
from exporter.poll.steady_poll import repeats_after, steady_connects
from exporter.state import State
from tests.diagnosis.ambient_states import BYPASSING, DUAL, READY, WITHOUT_PORTS, WORKLOAD, hello
from tests.diagnosis.matrix import NOW

CONFIG = Config()
INTERVAL, TIMEOUT = 30.0, 1.0
KINDS = {
    "plain": WORKLOAD,
    "ready": READY,
    "dual stack": DUAL,
    "without ports": WITHOUT_PORTS,
    "inbound is not captured": BYPASSING,
}


def connected(plan: Plan, seconds: float) -> list[Observation]:
    return [
        Observation(one.probe, Outcome.OK, seconds + number / 1e4, "", None, connected=True)
        for number, (_, one) in enumerate(steady_connects(plan, TIMEOUT))
    ]


def polled(
    plan: Plan, memory: Memory, seen: list[Observation], now: float, step: float = 0.0
) -> tuple[TargetRecord, Memory]:
    memory = structs.replace(memory, polled={**memory.polled, Cadence.FAST: now})
    record, memory = diagnose(plan.target, plan.ports, seen, memory, CONFIG, now, step=step)
    return record.with_times_moved(step), memory


def settled(target: Target, step: float = 0.0) -> tuple[Plan, TargetRecord, Memory]:
    """A workload that was found healthy twice, and whose hello brought its certificate."""
    plan = plan_of(target, CONFIG)
    said = [hello(address=address) for address in target.addresses]
    _, memory = polled(plan, Memory(), connected(plan, 0.001) + said, NOW, step)
    return plan, *polled(plan, memory, connected(plan, 0.001), NOW + INTERVAL, step)


def counting(plan: Plan, memory: Memory, step: float = 0.0) -> Repeats:
    found = repeats_after(plan, steady_connects(plan, TIMEOUT), memory, CONFIG, step)
    assert found is not None
    return found


@pytest.mark.parametrize("target", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("step", [0.0, 40.0])
def test_counted_polls_leave_what_judged_ones_do(target: Target, step: float) -> None:
    plan, _, memory = settled(target, step)
    once, often, judged = counting(plan, memory, step), counting(plan, memory, step), memory
    for number in range(1, 5):
        now = NOW + INTERVAL * (number + 1)
        seen = connected(plan, 0.002 * number)
        anew, _ = polled(plan, structs.replace(judged, memo=None), seen, now, step)
        record, judged = polled(plan, judged, seen, now, step)
        for known in (once, often):
            known.polls, known.at = known.polls + 1, now
            known.seconds = tuple(one.seconds for one in seen)
        often.add_up()
        counted = often.record
        assert counted == record
        assert counted == structs.replace(anew, durations=counted.durations)
        assert often.memory == judged
    once.add_up()
    assert (once.record, once.memory) == (often.record, often.memory)


def test_nothing_is_counted_of_what_is_not_healthy_or_was_judged_by_other_things() -> None:
    plan, _, memory = settled(WORKLOAD)
    connects = steady_connects(plan, TIMEOUT)
    other = plan_of(changed(WORKLOAD, node="elsewhere"), CONFIG)
    more = plan_of(DUAL, CONFIG)
    slow = structs.replace(memory, took={Cadence.FAST: 31.0})
    assert repeats_after(plan, connects, structs.replace(memory, memo=None), CONFIG, 0.0) is None
    assert repeats_after(other, connects, memory, CONFIG, 0.0) is None
    assert repeats_after(more, steady_connects(more, TIMEOUT), memory, CONFIG, 0.0) is None
    assert repeats_after(plan, connects[:1], memory, CONFIG, 0.0) is None
    assert repeats_after(plan, connects, slow, CONFIG, 0.0) is None
    assert repeats_after(plan, connects, memory, Config(), 0.0) is None


def test_counting_ends_with_the_memo_or_when_a_hello_is_due() -> None:
    plan, _, memory = settled(WORKLOAD)
    assert counting(plan, memory).until == NOW + 600
    hello_at = {one: structs.replace(it, at=NOW - 3500) for one, it in memory.hbone.items()}
    assert counting(plan, structs.replace(memory, hbone=hello_at)).until == NOW + 99.5


def counted(known: Repeats, number: int) -> None:
    known.polls += 1
    known.at, known.expires = NOW + 30 * number, NOW + 120 + 30 * number
    known.seconds = (0.001 * number, 0.002)


def record_after(known: Repeats) -> TargetRecord:
    copy = structs.replace(known)
    copy.add_up()
    assert copy.record is not None
    return copy.record


@pytest.mark.parametrize("profile", PROFILES)
async def test_what_was_counted_is_served_as_if_it_had_been_published(profile: str) -> None:
    """Also while other families are rendered, and after them."""
    plan, record, memory = settled(WORKLOAD)
    key, families = record.target.key, selected(profile)
    state, known = State(families), counting(plan, memory)
    state.put(record, NOW + 120)
    state.repeat(key, known)
    assert state.blocks(NOW) == [render(record, families)]
    for number in range(1, 4):
        counted(known, number)
        wanted = record_after(known)
        for _ in state.renew():
            pass
        assert state.blocks(NOW) == [render(wanted, families)]
        assert state.get(key) == wanted
        assert state.get(key) is state.get(key), "the views are made again for another one"
        assert not state.is_expired(key, NOW + 119 + 30 * number)
        assert state.is_expired(key, NOW + 120 + 30 * number)
    await state.prepare(selected("full"))
    counted(known, 9)
    wanted = record_after(known)
    state.commit()
    assert state.blocks(NOW) == [render(wanted, selected("full"))]
    state.keep(key, NOW, NOW + 1000)
    assert not state.is_expired(key, NOW + 999)
    assert state.get(key) == wanted
