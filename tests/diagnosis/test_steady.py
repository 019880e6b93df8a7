"""A look that is told again has the record that judging it would have given."""

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from exporter.catalogue import TargetPort, ports_of
from exporter.config import Config
from exporter.diagnosis import diagnose
from exporter.model import (
    Cadence,
    EnvoyStats,
    Memory,
    Observation,
    Outcome,
    Role,
    Target,
    TargetRecord,
)
from tests.diagnosis.matrix import CERTIFICATE, NOW, SIDECAR, net, page, sidecar, target_of
from tests.diagnosis.test_total import OBSERVATIONS, TARGETS

FAST = frozenset({Cadence.FAST})
DETAIL = FAST | {Cadence.DETAIL}
ALL = frozenset(Cadence)
HEALTHY = sidecar(
    net(15020, Outcome.OK, facts=page(metrics=None)),
    net(15090, Outcome.OK, facts=EnvoyStats(live=True, state=0)),
    without=(15000, 15006),
)
"""What the fast cadence sees of a healthy sidecar."""

USUAL = {FAST: HEALTHY, DETAIL: sidecar(without=(15000, 15006)), ALL: sidecar()}
DUE = tuple(USUAL)


def judged(
    target: Target,
    ports: tuple[TargetPort, ...],
    seen: list[Observation],
    memory: Memory,
    now: float,
    due: frozenset[Cadence],
) -> tuple[TargetRecord, Memory]:
    memory = replace(memory, polled={**memory.polled, **dict.fromkeys(due, now)})
    return diagnose(target, ports, seen, memory, Config(), now)


def slowed(seen: list[Observation], seconds: float) -> list[Observation]:
    return [replace(one, seconds=seconds) for one in seen]


@settings(max_examples=300, deadline=None)
@given(
    target=TARGETS,
    kinds=st.lists(OBSERVATIONS, min_size=1, max_size=2),
    looks=st.lists(st.tuples(st.integers(0, 9), st.sampled_from(DUE)), min_size=3, max_size=8),
)
def test_telling_again_changes_nothing(
    target: Target, kinds: list[list[Observation]], looks: list[tuple[int, frozenset[Cadence]]]
) -> None:
    ports = ports_of(target)
    short = whole = Memory()
    for index, (kind, due) in enumerate(looks):
        seen = kinds[kind % len(kinds)] if kind > 7 else slowed(USUAL[due], 0.01 + index / 100)
        now = NOW + index
        told, short = judged(target, ports, seen, short, now, due)
        anew, whole = judged(target, ports, seen, replace(whole, steady=None), now, due)
        assert told == anew
        assert replace(short, steady=None) == replace(whole, steady=None)


def test_a_healthy_target_is_told_again_with_the_times_of_the_look() -> None:
    ports, seen = ports_of(SIDECAR), HEALTHY
    _, memory = judged(SIDECAR, ports, sidecar(), Memory(), NOW, ALL)
    _, memory = judged(SIDECAR, ports, USUAL[DETAIL], memory, NOW + 1, DETAIL)
    told, after = judged(SIDECAR, ports, slowed(seen, 0.25), memory, NOW + 3, FAST)
    assert memory.steady is not None
    assert after.steady is memory.steady
    assert after.polls == memory.polls + 1
    assert told.polled[Cadence.FAST] == told.last_ok[15021] == NOW + 3
    assert {v.port: v.seconds for v in told.verdicts}[15021] == 0.25


def test_what_differs_is_judged() -> None:
    ports, seen = ports_of(SIDECAR), HEALTHY
    memory = Memory()
    for index in range(3):
        _, memory = judged(SIDECAR, ports, seen, memory, NOW + index, FAST)
    again = (SIDECAR, ports, seen, memory, NOW + 3, FAST)
    assert judged(*again)[1].steady is memory.steady
    for differs in (
        (target_of(Role.SIDECAR), *again[1:]),
        (SIDECAR, ports_of(SIDECAR), *again[2:]),
        (SIDECAR, ports, seen[1:], *again[3:]),
        (SIDECAR, ports, slowed(seen, 1.5), *again[3:]),
        (*again[:5], ALL),
    ):
        assert judged(*differs)[1].steady is not memory.steady


def test_what_time_alone_changes_is_judged_in_time() -> None:
    ports = ports_of(SIDECAR)
    _, memory = judged(SIDECAR, ports, sidecar(), Memory(), NOW, ALL)
    _, memory = judged(SIDECAR, ports, USUAL[DETAIL], memory, NOW + 1, DETAIL)
    assert memory.steady is not None
    for later, done in ((NOW + 100, True), (NOW + 121, False)):
        after = judged(SIDECAR, ports, HEALTHY, memory, later, FAST)[1]
        assert (after.steady is memory.steady) is done
    ends = CERTIFICATE.not_after
    _, memory = judged(SIDECAR, ports, sidecar(), memory, ends - 40, ALL)
    _, memory = judged(SIDECAR, ports, USUAL[DETAIL], memory, ends - 20, DETAIL)
    assert memory.steady is not None
    assert memory.steady.until == ends
