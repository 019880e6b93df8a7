"""A poll that reuses a record has the one that judging it would have given."""

from collections import Counter

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from exporter.catalogue import TargetPort, ports_of
from exporter.config import AccessConfig, Config
from exporter.diagnosis import diagnose
from exporter.diagnosis.memo import Memo
from exporter.model import (
    Cadence,
    CauseClass,
    EnvoyStats,
    Memory,
    Observation,
    Outcome,
    Role,
    Target,
    TargetRecord,
)
from tests.diagnosis.matrix import (
    CERTIFICATE,
    CONTROL,
    GATEWAY,
    NOW,
    SIDECAR,
    STATS,
    net,
    page,
    sidecar,
    target_of,
)
from tests.diagnosis.test_remembered_pod_view import POD
from tests.diagnosis.test_total import OBSERVATIONS, TARGETS

CONFIG = Config()
FORWARDED = Config(access=AccessConfig(loopback="portforward"))
FAST = frozenset({Cadence.FAST})
DETAIL = FAST | {Cadence.DETAIL}
ALL = frozenset(Cadence)
HEALTHY = sidecar(
    net(15020, Outcome.OK, facts=page(metrics=None)),
    net(15090, Outcome.OK, facts=EnvoyStats(live=True, state=0)),
    without=(15000, 15006),
)
"""What a poll of the fast cadence sees of a healthy sidecar."""

USUAL = {FAST: HEALTHY, DETAIL: sidecar(without=(15000, 15006)), ALL: sidecar()}
DUE = tuple(USUAL)


def judged(
    target: Target,
    ports: tuple[TargetPort, ...],
    seen: list[Observation],
    memory: Memory,
    now: float,
    due: frozenset[Cadence],
    *,
    config: Config = CONFIG,
) -> tuple[TargetRecord, Memory]:
    memory = replace(memory, polled={**memory.polled, **dict.fromkeys(due, now)})
    return diagnose(target, ports, seen, memory, config, now)


def untold(memory: Memory) -> Memory:
    """Without what is kept of the last record."""
    return replace(memory, memo=None, record=None)


def slowed(seen: list[Observation], seconds: float) -> list[Observation]:
    return [replace(one, seconds=seconds) for one in seen]


@settings(max_examples=300, deadline=None)
@given(
    target=TARGETS,
    kinds=st.lists(OBSERVATIONS, min_size=1, max_size=2),
    polls=st.lists(st.tuples(st.integers(0, 9), st.sampled_from(DUE)), min_size=3, max_size=8),
)
def test_a_reused_record_is_the_judged_one(
    target: Target, kinds: list[list[Observation]], polls: list[tuple[int, frozenset[Cadence]]]
) -> None:
    ports = ports_of(target)
    short = whole = Memory()
    for index, (kind, due) in enumerate(polls):
        seen = kinds[kind % len(kinds)] if kind > 7 else slowed(USUAL[due], 0.01 + index / 100)
        now = NOW + index
        reused, short = judged(target, ports, seen, short, now, due)
        anew, whole = judged(target, ports, seen, replace(whole, memo=None), now, due)
        assert reused == anew
        assert untold(short) == untold(whole)


def with_stats(stats: EnvoyStats) -> list[Observation]:
    """What a poll of the detail cadence sees of a sidecar with these statistics."""
    read = page(metrics=None)
    return sidecar(
        net(15020, Outcome.OK, facts=read),
        net(15090, Outcome.OK, facts=stats),
        without=(15000, 15006),
    )


PAGES = [
    STATS,
    *(
        replace(STATS, **{name: value})
        for name in ("cds", "lds")
        for name, value in (
            (f"{name}_success", 9.0),
            (f"{name}_rejected", 1.0),
            (f"{name}_failure", 2.0),
        )
    ),
    replace(STATS, listeners_warming=1.0),
    replace(STATS, xds_connections=0.0),
    replace(STATS, workers_started=False),
    replace(STATS, state=1),
    replace(STATS, live=None, complete=False),
]


@settings(max_examples=300, deadline=None)
@given(
    polls=st.lists(
        st.tuples(
            st.sampled_from(DUE),
            st.sampled_from([STATS, STATS, STATS, *PAGES]),
            st.sampled_from([1, 15, 60, 61, 130, 400]),
        ),
        min_size=4,
        max_size=12,
    )
)
@example(polls=[(FAST, STATS, 60), *[(FAST, STATS, 400)] * 4, (FAST, STATS, 100)])
def test_whatever_the_detail_cadence_reads_the_record_is_the_judged_one(
    polls: list[tuple[frozenset[Cadence], EnvoyStats, int]],
) -> None:
    ports = ports_of(SIDECAR)
    short = whole = Memory()
    now = NOW
    for due, stats, seconds in [(ALL, STATS, 1), (DETAIL, STATS, 60), *polls]:
        now += seconds
        seen = with_stats(stats) if due is DETAIL else USUAL[due]
        reused, short = judged(SIDECAR, ports, seen, short, now, due)
        anew, whole = judged(SIDECAR, ports, seen, replace(whole, memo=None), now, due)
        assert reused == anew
        assert untold(short) == untold(whole)


def test_details_that_have_not_changed_are_kept_with_their_time_and_changed_ones_are_judged() -> (
    None
):
    ports = ports_of(SIDECAR)
    _, memory = judged(SIDECAR, ports, sidecar(), Memory(), NOW, ALL)
    _, memory = judged(SIDECAR, ports, with_stats(STATS), memory, NOW + 40, DETAIL)
    _, same = judged(SIDECAR, ports, with_stats(STATS), memory, NOW + 80, DETAIL)
    assert memory.memo is not None
    assert same.memo is memory.memo
    assert same.stats is not None
    assert same.stats.at == NOW + 80
    for changed in PAGES[1:]:
        _, after = judged(SIDECAR, ports, with_stats(changed), memory, NOW + 80, DETAIL)
        assert after.memo is not memory.memo


def test_a_healthy_targets_record_is_reused_with_the_times_of_the_poll() -> None:
    ports, seen = ports_of(SIDECAR), HEALTHY
    _, memory = judged(SIDECAR, ports, sidecar(), Memory(), NOW, ALL)
    _, memory = judged(SIDECAR, ports, USUAL[DETAIL], memory, NOW + 1, DETAIL)
    reused, after = judged(SIDECAR, ports, slowed(seen, 0.25), memory, NOW + 3, FAST)
    assert memory.memo is not None
    assert after.memo is memory.memo
    assert after.polls == memory.polls + 1
    assert reused.polled[Cadence.FAST] == reused.last_ok.get(15021) == NOW + 3
    assert reused.durations[15021] == 0.25


@pytest.mark.parametrize(("active", "is_reused"), [(8.0, True), (7.0, False)])
def test_a_gateways_record_is_reused_while_its_listeners_are_the_same(
    active: float, *, is_reused: bool
) -> None:
    ports, counts = ports_of(GATEWAY), {"listeners_active": active, "listeners_warming": 0.0}
    fast = EnvoyStats(live=True, state=0, lds_success=1.0, **counts)
    usual = [net(8443, Outcome.OK), *sidecar(without=(CONTROL, 15000, 15006))]
    now = [usual[0], *HEALTHY[1:-1], net(15090, Outcome.OK, facts=fast)]
    _, memory = judged(GATEWAY, ports, usual, Memory(), NOW, ALL)
    _, memory = judged(GATEWAY, ports, usual, memory, NOW + 1, DETAIL)
    _, after = judged(GATEWAY, ports, now, memory, NOW + 3, FAST)
    assert memory.memo is not None
    assert (after.memo is memory.memo) is is_reused


def test_polls_are_counted_and_those_that_find_a_fault() -> None:
    ports, memory = ports_of(SIDECAR), Memory()
    taken = sidecar(net(15020, Outcome.WRONG_PROTOCOL))
    counted = []
    for index, seen in enumerate([sidecar(), HEALTHY, HEALTHY, taken, taken, HEALTHY]):
        due = ALL if index == 0 else FAST
        record, memory = judged(SIDECAR, ports, seen, memory, NOW + 60 * index, due)
        is_fault = record.diagnosis is not None and record.diagnosis.cause_class is CauseClass.FAULT
        counted.append((record.polls, record.faulty_polls, is_fault))

    assert counted == [
        (1, 0, False),
        (2, 0, False),
        (3, 0, False),
        (4, 1, True),
        (5, 2, True),
        (6, 2, False),
    ]


def test_equal_ports_and_observations_are_the_same() -> None:
    _, memory = judged(SIDECAR, ports_of(SIDECAR), sidecar(), Memory(), NOW, ALL)
    _, memory = judged(SIDECAR, ports_of(SIDECAR), USUAL[DETAIL], memory, NOW + 1, DETAIL)
    _, after = judged(SIDECAR, ports_of(SIDECAR), slowed(HEALTHY, 0.25), memory, NOW + 3, FAST)
    assert after.memo is memory.memo


def test_what_differs_is_judged() -> None:
    ports, seen = ports_of(SIDECAR), HEALTHY
    memory = Memory()
    for index in range(3):
        _, memory = judged(SIDECAR, ports, seen, memory, NOW + index, FAST)
    again = (SIDECAR, ports, seen, memory, NOW + 3, FAST)
    assert judged(*again)[1].memo is memory.memo
    for differs in (
        (target_of(Role.SIDECAR), *again[1:]),
        (SIDECAR, ports[1:], *again[2:]),
        (SIDECAR, ports, seen[1:], *again[3:]),
        (SIDECAR, ports, slowed(seen, 1.5), *again[3:]),
        (*again[:5], ALL),
    ):
        assert judged(*differs)[1].memo is not memory.memo
    assert judged(*again, config=Config())[1].memo is not memory.memo


def test_what_time_alone_changes_is_judged_in_time() -> None:
    ports = ports_of(SIDECAR)
    _, memory = judged(SIDECAR, ports, sidecar(), Memory(), NOW, ALL)
    _, memory = judged(SIDECAR, ports, USUAL[DETAIL], memory, NOW + 1, DETAIL)
    assert memory.memo is not None
    assert NOW + 1 < memory.memo.until <= NOW + 121
    for later, done in ((memory.memo.until - 0.1, True), (memory.memo.until, False)):
        after = judged(SIDECAR, ports, HEALTHY, memory, later, FAST)[1]
        assert (after.memo is memory.memo) is done
    ends = CERTIFICATE.not_after
    _, memory = judged(SIDECAR, ports, sidecar(), memory, ends - 12, ALL)
    _, memory = judged(SIDECAR, ports, USUAL[DETAIL], memory, ends - 10, DETAIL)
    assert isinstance(memory.memo, Memo)
    assert memory.memo.until == ends


def test_targets_that_were_judged_together_are_judged_again_apart() -> None:
    """Else all targets of a start would be judged in the same interval, every two minutes."""
    untils = []
    for number in range(1000):
        target = target_of(uid=f"uid-{number}")
        ports = ports_of(target)
        _, memory = judged(target, ports, sidecar(), Memory(), NOW - 1, ALL)
        _, memory = judged(target, ports, USUAL[DETAIL], memory, NOW, DETAIL)
        assert isinstance(memory.memo, Memo)
        first = memory.memo.until
        _, memory = judged(target, ports, USUAL[DETAIL], memory, first, DETAIL)
        assert isinstance(memory.memo, Memo)
        assert memory.memo.until == pytest.approx(first + 120, abs=0.001)
        untils.append(first)
    assert all(NOW < one <= NOW + 120 for one in untils)
    tenths = Counter(int((one - NOW) / 12) for one in untils)
    assert all(60 < tenths[tenth] < 140 for tenth in range(10))


@settings(max_examples=300, deadline=None)
@given(
    view_interval=st.sampled_from([0.0, 60.0, 200.0]),
    polls=st.lists(
        st.tuples(st.sampled_from(DUE), st.booleans(), st.sampled_from([1, 30, 60, 121])),
        min_size=4,
        max_size=12,
    ),
)
@example(view_interval=60.0, polls=[(FAST, False, 30)] * 12)
def test_between_port_forwards_the_record_is_the_judged_one(
    view_interval: float, polls: list[tuple[frozenset[Cadence], bool, int]]
) -> None:
    ports, now = ports_of(SIDECAR), NOW
    short = whole = Memory(view_interval=view_interval)
    for due, is_forwarded, seconds in [(ALL, True, 1), *polls]:
        now += seconds
        seen = [*USUAL[due], *(POD if is_forwarded else ())]
        reused, short = judged(SIDECAR, ports, seen, short, now, due, config=FORWARDED)
        anew, whole = judged(
            SIDECAR, ports, seen, replace(whole, memo=None), now, due, config=FORWARDED
        )
        assert reused == anew
        assert untold(short) == untold(whole)


def test_a_healthy_targets_record_is_reused_between_port_forwards_until_the_last_one_ends() -> None:
    ports, memory = ports_of(SIDECAR), Memory(view_interval=10.0)
    _, memory = judged(SIDECAR, ports, sidecar() + POD, memory, NOW, ALL, config=FORWARDED)
    _, memory = judged(SIDECAR, ports, HEALTHY, memory, NOW + 1, FAST, config=FORWARDED)
    record, after = judged(SIDECAR, ports, HEALTHY, memory, NOW + 2, FAST, config=FORWARDED)
    assert memory.memo is not None
    assert after.memo is memory.memo
    assert {verdict.port: verdict.up for verdict in record.verdicts}[15001] is True
    assert isinstance(memory.memo, Memo)
    assert memory.memo.until == NOW + 2 * (10 + 30)
