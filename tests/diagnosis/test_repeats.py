"""Polls that are only counted leave what judging each of them would have left."""

import math
from dataclasses import replace as changed

import pytest
from msgspec import structs

from exporter.config import Config
from exporter.diagnosis.diagnose import diagnose
from exporter.diagnosis.memo import Memo
from exporter.diagnosis.repeats import Repeats
from exporter.exposition import PROFILES, render, selected
from exporter.model import (
    AgentFacts,
    Cadence,
    EnvoyStats,
    Memory,
    Observation,
    Outcome,
    ProbeKind,
    ReadinessFacts,
    Role,
    Target,
    TargetKey,
    TargetRecord,
    Timestamped,
)
from exporter.poll.plan import Plan, plan_of
from exporter.poll.poll_inputs import PollInputs
from exporter.poll.steady_poll import repeats_after, steady_probes
from exporter.state import State
from tests.diagnosis.ambient_states import BYPASSING, DUAL, READY, WITHOUT_PORTS, WORKLOAD, hello
from tests.diagnosis.matrix import CERTIFICATE, GATEWAY, NOW, SIDECAR, target_of
from tests.diagnosis.matrix import hello as hello_to_sidecar

CONFIG = Config()
INTERVAL, TIMEOUT = 30.0, 1.0
FAST = frozenset({Cadence.FAST})
KINDS = {
    "plain": WORKLOAD,
    "ready": READY,
    "dual stack": DUAL,
    "without ports": WITHOUT_PORTS,
    "inbound is not captured": BYPASSING,
    "sidecar": SIDECAR,
    "gateway": GATEWAY,
    "proxyless": target_of(Role.PROXYLESS),
}
FACTS = {
    ProbeKind.AGENT: AgentFacts(status=200),
    ProbeKind.READINESS: ReadinessFacts(status=200),
    ProbeKind.STATS: EnvoyStats(live=True, state=0),
}


def well(plan: Plan, seconds: float) -> list[Observation]:
    """What a poll of the fast cadence sees where every port is well."""
    return [
        Observation(
            one.probe, Outcome.OK, seconds + at / 1e4, "", FACTS.get(one.probe.kind), connected=True
        )
        for at, (_, one) in enumerate(steady_probes(plan, FAST, TIMEOUT))
    ]


def hellos(target: Target) -> list[Observation]:
    """What the hellos of a first poll bring."""
    say = hello_to_sidecar if target.role is Role.SIDECAR else hello
    inbound = target.role in (Role.SIDECAR, Role.AMBIENT)
    return [say(Outcome.OK, address=one) for one in target.addresses] if inbound else []


def polled(
    plan: Plan, memory: Memory, seen: list[Observation], now: float, step: float = 0.0
) -> tuple[TargetRecord, Memory]:
    memory = structs.replace(memory, polled={**memory.polled, Cadence.FAST: now})
    record, memory = diagnose(plan.target, plan.ports, seen, memory, CONFIG, now, step=step)
    return record.with_times_moved(step), memory


def settled(target: Target, step: float = 0.0) -> tuple[Plan, TargetRecord, Memory]:
    """A target that was found healthy twice, and whose hello brought its certificate."""
    plan = plan_of(target, CONFIG)
    _, memory = polled(plan, Memory(), well(plan, 0.001) + hellos(target), NOW, step)
    return plan, *polled(plan, memory, well(plan, 0.001), NOW + INTERVAL, step)


def counting(plan: Plan, memory: Memory, step: float = 0.0) -> Repeats:
    probes = steady_probes(plan, FAST, TIMEOUT)
    found = repeats_after(PollInputs(plan, memory, FAST, CONFIG, NOW, step), probes)
    assert found is not None
    return found


@pytest.mark.parametrize("target", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("step", [0.0, 40.0])
def test_counted_polls_leave_what_judged_ones_do(target: Target, step: float) -> None:
    plan, _, memory = settled(target, step)
    once, often, judged = counting(plan, memory, step), counting(plan, memory, step), memory
    for number in range(1, 4):
        now = NOW + INTERVAL + 10.0 * number
        seen = well(plan, 0.002 * number)
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
    probes = steady_probes(plan, FAST, TIMEOUT)
    other = plan_of(changed(WORKLOAD, node="elsewhere"), CONFIG)
    slow = structs.replace(memory, took={Cadence.FAST: 31.0})
    poll = PollInputs(plan, memory, FAST, CONFIG, NOW)
    assert repeats_after(poll, probes) is not None
    for differs in (
        {"memory": structs.replace(memory, memo=None)},
        {"plan": other},
        {"memory": slow},
        {"config": Config()},
    ):
        assert repeats_after(structs.replace(poll, **differs), probes) is None
    assert repeats_after(poll, probes[:1]) is None
    more = structs.replace(poll, plan=plan_of(DUAL, CONFIG))
    assert repeats_after(more, steady_probes(more.plan, FAST, TIMEOUT)) is None


def test_counting_ends_with_the_memo_or_when_a_hello_is_due() -> None:
    plan, _, memory = settled(WORKLOAD)
    assert counting(plan, memory).until == memo_of(memory).until
    hello_due = NOW + CONFIG.poll.identity_interval - 0.5
    late = structs.replace(memory, memo=structs.replace(memo_of(memory), until=hello_due + 1))
    assert counting(plan, late).until == hello_due
    hello_at = {one: structs.replace(it, at=NOW - 3500) for one, it in memory.hbone.items()}
    assert counting(plan, structs.replace(memory, hbone=hello_at)).until == NOW + 99.5


def memo_of(memory: Memory) -> Memo:
    assert isinstance(memory.memo, Memo)
    return memory.memo


def said(memory: Memory, outcome: Outcome, not_after: float = math.inf) -> Memory:
    """As if the last hello to a sidecar had ended so."""
    certificate = structs.replace(CERTIFICATE, not_after=not_after)
    seen = Timestamped(hello_to_sidecar(outcome, certificate), NOW)
    return structs.replace(memory, hello=dict.fromkeys(SIDECAR.addresses, seen))


@pytest.mark.parametrize("step", [0.0, 40.0])
def test_counting_of_a_sidecar_ends_where_a_hello_would_follow(step: float) -> None:
    plan, _, memory = settled(SIDECAR, step)
    until = {
        "well": counting(plan, memory, step).until,
        "its certificate ends": counting(plan, said(memory, Outcome.OK, NOW + 70), step).until,
        "none yet": counting(plan, structs.replace(memory, hello={}), step).until,
        "silent": counting(plan, said(memory, Outcome.TIMEOUT), step).until,
        "another process": counting(plan, said(memory, Outcome.WRONG_PROTOCOL), step).until,
    }
    assert until.pop("well") == memo_of(memory).until
    assert until.pop("its certificate ends") == NOW + 70 - step
    assert max(until.values()) <= 0.0


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
        for _ in state.render_repeats():
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


def test_polls_that_end_while_a_scrape_renders_others_are_mostly_rendered_there_too() -> None:
    """A scrape of 20,000 takes seconds; what it left for the end held the loop for 40 ms."""
    rendered = 0

    def counting_render(*given: object) -> tuple[bytes, ...]:
        nonlocal rendered
        rendered += 1
        return render(*given)  # type: ignore[arg-type]

    state, all_known = State(selected("standard"), counting_render), []
    for number in range(160):
        key = TargetKey("shop", f"pod-{number}")
        plan, record, memory = settled(changed(WORKLOAD, key=key))
        known = counting(plan, memory)
        state.put(record, NOW + 1000)
        state.repeat(key, known)
        counted(known, 1)
        all_known.append(known)
    pauses = 0
    for _ in state.render_repeats():
        if pauses < 5:  # while the first half of the work is done, in which each target is once
            for known in all_known[:: 5 - pauses]:
                counted(known, 2)
        pauses += 1
    assert pauses == 2 * 160 / 32
    rendered = 0
    assert len(state.blocks(NOW)) == 160
    assert rendered == 0
