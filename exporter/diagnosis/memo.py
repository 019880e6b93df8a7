"""The memo of `diagnose`: a poll that shows what the last one showed is not judged again. Pure.

A record follows from observations, memory and time. Where a healthy target's observations add
nothing to its memory, the same ones give the same record but for its times. The rule: only polls
of the fast cadence reuse a record, and those of the detail cadence whose pages are the same as the
last ones; and none after a certificate's end, the end of what the memory holds or two minutes (in
ambient an identity interval), nor after a step of the wall clock, so that what time alone changes
is judged then.
"""

from collections.abc import Sequence
from functools import lru_cache

from msgspec import Struct
from msgspec.structs import replace

from exporter.catalogue import TargetPort
from exporter.config import Config
from exporter.diagnosis.evidence import SLOW_SECONDS, Evidence, read_evidence
from exporter.diagnosis.freshness import next_expiry
from exporter.diagnosis.memory import remember
from exporter.diagnosis.remembered_pod_view import end_of_pod_view, with_pod_view
from exporter.model import (
    AdminFacts,
    AgentFacts,
    Cadence,
    EnvoyStats,
    Facts,
    Memory,
    Observation,
    Outcome,
    Probe,
    ProbeKind,
    ReadinessFacts,
    Role,
    Target,
    TargetRecord,
    View,
    ZtunnelFacts,
)
from exporter.model.interning import shared

_LONGEST_SECONDS = 120.0
"""After so long time itself is judged again: the usual detail interval."""


class Shown(Struct, frozen=True, gc=False):
    """What a probe showed, but for whose it was and how long it took."""

    outcome: Outcome
    connected: bool | None
    detail: str
    facts: Facts


class Memo(Struct, frozen=True, gc=False):
    """What gives the last record again but for its times: `shown` by `probes`, in their order.

    `ports`, `config` and `step` are those that it was judged by. `timed` maps ports to the
    observation whose duration is theirs, by its place. `up` are the ports that answered. `until`:
    what time alone changes is judged then, seconds since the epoch.
    """

    probes: tuple[Probe, ...]
    shown: tuple[Shown, ...]
    ports: Sequence[TargetPort]
    config: Config
    timed: tuple[tuple[int, int], ...]
    up: tuple[int, ...]
    until: float
    step: float


def reused_record(
    evidence: Evidence, observations: Sequence[Observation], memory: Memory
) -> tuple[TargetRecord, Memory] | None:
    """The last record with this poll's times; None where the poll has to be judged.

    Args:
        evidence: of whom, when and by what to judge, still without observations.
        observations: what this poll saw.
        memory: what the last poll left, with this poll's `polled`.
    """
    memo, last, now = memory.memo, memory.record, evidence.now
    if not isinstance(memo, Memo) or last is None or now >= memo.until:
        return None
    slower = [due for due, at in memory.polled.items() if at == now and due is not Cadence.FAST]
    if slower not in _REUSING:
        return None
    if evidence.step != memo.step or evidence.ports != memo.ports:
        return None
    if evidence.config is not memo.config or evidence.target is not last.target:
        return None
    if not _is_same(observations, memo, evidence.target.role, slower):
        return None
    known = _with_details(evidence, observations, memory) if slower else memory
    if known is None:
        return None
    return _again(memo, memory, known, [one.seconds for one in observations], now)


def _again(
    memo: Memo, before: Memory, known: Memory, seconds: Sequence[float], now: float
) -> tuple[TargetRecord, Memory]:
    """The record of a poll that saw the same, which is one more; `known` with what it adds."""
    last: TargetRecord = before.record  # type: ignore[assignment] # there is one beside a memo
    durations = dict(last.durations)
    for port, place in memo.timed:
        durations[port] = seconds[place]
    last_ok = before.last_ok.after(memo.up, now)
    polls = before.polls + 1
    record = replace(
        last,
        durations=durations,
        polled=before.polled,
        last_ok=last_ok,
        polls=polls,
        faulty_polls=before.faulty_polls,
    )
    return record, replace(known, polls=polls, last_ok=last_ok, record=record)


def record_of_repeats(
    memory: Memory, polls: int, seconds: Sequence[float], now: float
) -> tuple[TargetRecord, Memory]:
    """What so many polls of the fast cadence leave that all saw what the memo rests on.

    Args:
        memory: what the poll before them left, with its memo.
        polls: how many; at least one.
        seconds: how long each probe of the last one took.
        now: when that one began.
    """
    memo: Memo = memory.memo  # type: ignore[assignment] # repeats are counted where there is one
    polled = {**memory.polled, Cadence.FAST: now}
    before = replace(memory, polled=polled, polls=memory.polls + polls - 1)
    record, known = _again(memo, before, before, seconds, now)
    return record.with_times_moved(memo.step), known


_REUSING: tuple[list[Cadence], ...] = [], [Cadence.DETAIL]
"""What may be due beside the fast cadence in a poll that reuses a record."""


def _with_details(
    evidence: Evidence, observations: Sequence[Observation], memory: Memory
) -> Memory | None:
    """The memory after a poll of the detail cadence; None where more than times has changed."""
    again = Evidence(evidence.target, evidence.ports, evidence.config, evidence.now)
    update = remember(read_evidence(again, observations), with_pod_view(again, memory))
    last = memory.stats
    if (update.stats and update.stats.value) != (last and last.value):
        return None
    untimed = replace(update, polls=memory.polls, stats=last)
    return update if untimed == memory else None


def memo_of(
    evidence: Evidence, observations: Sequence[Observation], record: TargetRecord, memory: Memory
) -> Memo | None:
    """What to reuse after a poll that was judged; None where that would not be safe.

    An istiod's record also rests on what the API server reports, so it is judged in every poll; a
    poll of the identity cadence probes ports that no other does, so the one after it is judged: but
    for a workload in ambient, which is only said hello to.
    """
    if record.diagnosis is not None or record.undetected or evidence.in_mesh:
        return None
    role, has_identity = evidence.target.role, memory.polled.get(Cadence.IDENTITY) == evidence.now
    if role is Role.ISTIOD or (has_identity and role is not Role.AMBIENT):
        return None
    kept = [seen for seen in observations if seen.probe.kind not in _NOT_AT_FAST]
    if any(seen.seconds >= SLOW_SECONDS or seen.outcome is Outcome.LOST for seen in kept):
        return None
    expected = tuple(_at_fast(seen, role) for seen in kept)
    target, ports, config = evidence.target, evidence.ports, evidence.config
    again = Evidence(target, ports, config, evidence.now + config.poll.interval)
    update = remember(read_evidence(again, expected), with_pod_view(again, memory))
    if replace(update, polls=memory.polls) != memory:
        return None
    deciding = _deciding(expected)
    timed = [
        (verdict.port, deciding[verdict.view, verdict.port])
        for verdict in record.verdicts
        if verdict.port in record.durations and (verdict.view, verdict.port) in deciding
    ]
    up = tuple([verdict.port for verdict in record.verdicts if verdict.up])
    ends = [one.not_after - evidence.step for one in record.certificates]
    ends.append(end_of_pod_view(memory, config))
    until = min(
        _next_judged(target, config, evidence.now),
        next_expiry(memory, config, evidence.now),
        *(end for end in ends if end >= evidence.now),
    )
    probes = tuple([seen.probe for seen in expected])
    shown = shared(tuple([Shown(s.outcome, s.connected, s.detail, s.facts) for s in expected]))
    timed_once, up_once = shared(tuple(timed)), shared(up)
    return Memo(probes, shown, ports, config, timed_once, up_once, until, evidence.step)


def _next_judged(target: Target, config: Config, now: float) -> float:
    """When time itself is judged again: each target at a moment of its own, never all at once.

    Of a workload in ambient nothing ages sooner than by the identity cadence, whose poll is judged.
    """
    is_ambient = target.role is Role.AMBIENT
    every = config.poll.identity_interval if is_ambient else _LONGEST_SECONDS
    return now + every - (now - target.spread / 2**32 * every) % every


_NOT_AT_FAST = frozenset({ProbeKind.SOCKETS, ProbeKind.HBONE_HELLO})
"""What a poll that shows the same again does not send."""


def _at_fast(seen: Observation, role: Role) -> Observation:
    """What a poll of the fast cadence would have seen there, in no time."""
    return replace(seen, seconds=0.0, facts=_facts_at_fast(seen.facts, role))


def _facts_at_fast(facts: Facts, role: Role) -> Facts:
    """What the fast cadence would have read of it.

    Whatever a slower cadence reads, verdicts and causes take from memory and not from facts.
    """
    match facts:
        case AgentFacts(status=status):
            return _agent_facts(status)
        case EnvoyStats():
            return shared(_fast_stats(facts, role))
        case AdminFacts(state=state):
            return AdminFacts(state=state)
        case ReadinessFacts():
            return shared(facts)
        case ZtunnelFacts():
            return None
    return facts


def _fast_stats(facts: EnvoyStats, role: Role) -> EnvoyStats:
    fast = EnvoyStats(live=facts.live, state=facts.state)
    if role is not Role.GATEWAY:
        return fast
    return replace(
        fast,
        listeners_active=facts.listeners_active,
        listeners_warming=facts.listeners_warming,
        lds_success=facts.lds_success,
    )


@lru_cache(maxsize=64)
def _agent_facts(status: int | None) -> AgentFacts:
    return AgentFacts(status=status)


def _is_same(
    seen: Sequence[Observation], memo: Memo, role: Role, slower: Sequence[Cadence]
) -> bool:
    """Whether two polls saw the same, each answer in good time, but for what `slower` ones read."""
    if len(seen) != len(memo.probes):
        return False
    for one, probe, other in zip(seen, memo.probes, memo.shown, strict=True):
        if (
            one.outcome is not other.outcome
            or (one.probe is not probe and one.probe != probe)
            or one.connected is not other.connected
            or one.seconds >= SLOW_SECONDS
            or one.detail != other.detail
            or (_facts_at_fast(one.facts, role) if slower else one.facts) != other.facts
        ):
            return False
    return True


def _deciding(observations: Sequence[Observation]) -> dict[tuple[View, int], int]:
    """The place of the observation that decides, by view and port: the first that fails."""
    deciding: dict[tuple[View, int], int] = {}
    for place, seen in enumerate(observations):
        key = (seen.probe.view, seen.probe.port)
        first = deciding.setdefault(key, place)
        if first != place and observations[first].outcome.proves and not seen.outcome.proves:
            deciding[key] = place
    return deciding
