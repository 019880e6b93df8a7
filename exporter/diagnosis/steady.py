"""A look that shows what the one before it showed means the same: it is not judged anew. Pure.

A verdict follows from observations, memory and time. Where a healthy target's observations teach
its memory nothing more, the same ones lead to the same record but for its times. The rule: only
looks of the fast cadence are short, and none after a certificate's end or two minutes, so that
what time alone changes is told then. Gateways whose servers were learnt are always judged.
"""

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from exporter.catalogue import TargetPort
from exporter.diagnosis.evidence import SLOW_SECONDS, Evidence, read_evidence
from exporter.diagnosis.memory import remember
from exporter.model import (
    PROVING,
    AdminFacts,
    AgentFacts,
    Cadence,
    EnvoyStats,
    Memory,
    Observation,
    ProbeKind,
    Role,
    Steady,
    Target,
    TargetRecord,
    Verdict,
    View,
)

_LONGEST_SECONDS = 120.0
"""After so long time itself is judged again: the usual detail interval."""


def told_again(
    target: Target,
    ports: Sequence[TargetPort],
    observations: Sequence[Observation],
    memory: Memory,
    now: float,
) -> tuple[TargetRecord, Memory] | None:
    """The last record with this look's times; None where the look has to be judged.

    Args:
        target: who was looked at.
        ports: its ports; others than the last look's have to be judged.
        observations: what this look saw.
        memory: what the last look left, with this look's `polled`.
        now: seconds since the epoch.
    """
    last = memory.steady
    if last is None or last.ports is not ports or last.record.target is not target:
        return None
    if now >= last.until or _is_slower_due(memory.polled, now):
        return None
    if not _is_same(observations, last.observations):
        return None
    verdicts = tuple(
        [
            verdict if place is None else _timed(verdict, observations[place].seconds)
            for verdict, place in zip(last.record.verdicts, last.timed, strict=True)
        ]
    )
    last_ok = dict(memory.last_ok)
    for verdict in verdicts:
        if verdict.up:
            last_ok[verdict.port] = now
    record = replace(last.record, verdicts=verdicts, polled=memory.polled, last_ok=last_ok)
    return record, replace(memory, polls=memory.polls + 1, last_ok=last_ok)


def steady_after(
    evidence: Evidence, observations: Sequence[Observation], record: TargetRecord, known: Memory
) -> Steady | None:
    """What to tell again after a look that was judged; None where that would not be safe.

    An istiod's record also rests on what the API server says, so it is judged at every look; a
    look of the identity cadence asks ports that no other does, so the one after it is judged.
    """
    if record.diagnosis is not None or record.unseen or evidence.in_mesh:
        return None
    if evidence.target.role is Role.ISTIOD or known.polled.get(Cadence.IDENTITY) == evidence.now:
        return None
    expected = tuple(
        [_at_fast(seen) for seen in observations if seen.probe.kind is not ProbeKind.SOCKETS]
    )
    if any(seen.seconds >= SLOW_SECONDS for seen in expected):
        return None
    target, ports, config = evidence.target, evidence.ports, evidence.config
    next_poll = evidence.now + config.poll.interval
    again = Evidence(target, ports, config, next_poll)
    update = remember(read_evidence(again, expected), known)
    if replace(update, polls=known.polls) != known:
        return None
    deciding = _deciding(expected)
    timed = tuple([deciding.get((v.view, v.port)) if v.seconds else None for v in record.verdicts])
    ends = [life.not_after for life in record.certificates if life.not_after > evidence.now]
    until = min([evidence.now + _LONGEST_SECONDS, *ends])
    return Steady(ports, expected, timed, until, record)


def _at_fast(seen: Observation) -> Observation:
    """What a look of the fast cadence would have seen there.

    Whatever a slower cadence learns, verdicts and causes take from memory and not from facts.
    """
    match seen.facts:
        case AgentFacts(status=status):
            return replace(seen, facts=AgentFacts(status=status))
        case EnvoyStats(live=live, state=state):
            return replace(seen, facts=EnvoyStats(live=live, state=state))
        case AdminFacts(state=state):
            return replace(seen, facts=AdminFacts(state=state))
    return seen


def _is_slower_due(polled: Mapping[Cadence, float], now: float) -> bool:
    return polled.get(Cadence.DETAIL) == now or polled.get(Cadence.IDENTITY) == now


def _is_same(seen: Sequence[Observation], last: Sequence[Observation]) -> bool:
    """Whether two looks saw the same, each answer in good time."""
    if len(seen) != len(last):
        return False
    for one, other in zip(seen, last, strict=True):
        if (
            one.outcome is not other.outcome
            or one.probe != other.probe
            or one.connected is not other.connected
            or one.seconds >= SLOW_SECONDS
            or one.detail != other.detail
            or one.facts != other.facts
        ):
            return False
    return True


def _deciding(observations: Sequence[Observation]) -> dict[tuple[View, int], int]:
    """The place of the observation that decides, by view and port: the first that fails."""
    deciding: dict[tuple[View, int], int] = {}
    for place, seen in enumerate(observations):
        known = deciding.setdefault((seen.view, seen.port), place)
        if observations[known].outcome in PROVING and seen.outcome not in PROVING:
            deciding[(seen.view, seen.port)] = place
    return deciding


def _timed(verdict: Verdict, seconds: float) -> Verdict:
    return Verdict(
        verdict.port,
        verdict.component,
        verdict.up,
        verdict.outcome,
        verdict.view,
        seconds,
        verdict.detail,
        verdict.naive,
        verdict.exposed,
        verdict.structural,
    )
