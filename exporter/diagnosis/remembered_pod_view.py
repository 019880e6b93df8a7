"""The pod's own view between two port-forwards, whose number is limited. Pure.

Without it a verdict would change with every poll that gets no port-forward. The rule: what was seen
in the pod holds for two of its own intervals, and only as long as the network shows the same as
then, but for a lost packet.
"""

import math
from itertools import chain

from msgspec.structs import replace

from exporter.config import Config
from exporter.diagnosis.evidence import Evidence
from exporter.model import (
    AdminFacts,
    Memory,
    Observation,
    Outcome,
    Probe,
    ProbeKind,
    RememberedPodView,
)

_INTERVALS = 2


def with_pod_view(evidence: Evidence, memory: Memory) -> Memory:
    """Fill the evidence with what is remembered of the pod; returns the memory for the next poll.

    With a network namespace every poll has the pod's view, so that nothing is remembered.
    """
    config, target = evidence.config, evidence.target
    if config.access.loopback != "portforward" or target.netns:
        return replace(memory, pod_view=None) if memory.pod_view else memory
    known = memory.pod_view
    if evidence.pod:
        return replace(memory, pod_view=_seen_now(evidence, memory))
    if known is None:
        return memory
    if evidence.now > end_of_pod_view(memory, config):
        return memory  # it says no more than when it was, from which the next knows its interval
    if _is_same(_network_outcomes(evidence), known.over_network):
        evidence.pod.update(known.seen)
        evidence.proved_in_pod = any(seen.outcome.proves for seen in known.seen.values())
    return memory


def end_of_pod_view(memory: Memory, config: Config) -> float:
    """Until when what is remembered of the pod holds; infinite where nothing is."""
    known = memory.pod_view
    if known is None:
        return math.inf
    # What the last two views showed, or what the budget allows now, and a poll to notice.
    expected = max(known.every, memory.view_interval + memory.effective(config.poll.interval))
    return known.at + _INTERVALS * expected


def _seen_now(evidence: Evidence, memory: Memory) -> RememberedPodView:
    before, now = memory.pod_view, evidence.now
    return RememberedPodView(
        at=now,
        every=now - before.at if before else 0.0,
        seen={
            port: _without_pages(one)
            for port, one in evidence.pod.items()
            if not _was_ready_a_moment_ago(evidence, one)
        },
        over_network=_network_outcomes(evidence),
    )


def _was_ready_a_moment_ago(evidence: Evidence, seen: Observation) -> bool:
    """Whether the network showed a port ready in the same poll, which the pod's view did not.

    Readiness changed between both, and what the network goes on to show is newer.
    """
    before = evidence.worst(seen.port)
    if before is None or before.probe.kind is not seen.probe.kind:
        return False
    return seen.outcome is Outcome.NOT_READY and before.outcome is Outcome.OK


def _without_pages(seen: Observation) -> Observation:
    """Pages have memories of their own."""
    facts = AdminFacts(state=seen.facts.state) if isinstance(seen.facts, AdminFacts) else None
    return replace(seen, facts=facts, seconds=0.0)


def _is_same(
    now: frozenset[tuple[Probe, Outcome]], before: frozenset[tuple[Probe, Outcome]]
) -> bool:
    """Whether the network shows the same; what one lost packet may be shows nothing."""
    lost = {probe for probe, outcome in now | before if outcome is Outcome.LOST}
    return all(probe in lost for probe, _ in now ^ before)


def _network_outcomes(evidence: Evidence) -> frozenset[tuple[Probe, Outcome]]:
    """What the probes of every poll have shown over the network."""
    return frozenset(
        (seen.probe, seen.outcome)
        for seen in chain(*evidence.network.values(), evidence.connects)
        if seen.probe.kind is not ProbeKind.EXPOSURE
    )
