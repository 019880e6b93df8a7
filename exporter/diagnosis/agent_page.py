"""When the agent's page of metrics is worth its cost to others. Pure.

For that page the agent scrapes Envoy and the application, so it is requested at a cadence of its
own: every ten minutes. It is requested sooner where something is abnormal or nothing proves the
agent, and later where it was too large.
"""

from collections.abc import Iterable

from exporter.diagnosis.evidence import Evidence
from exporter.model import Memory, Observation, Outcome, PortName, ProbeKind

_LONGEST_WAIT = 6 * 3600.0
"""A page that was too large is not requested again for so long at most, in seconds."""

COUNTERS = ("terminations", PortName.DNS, "application")
"""What grows on the agent's page, by its name in the memory."""

_PROVED_BY_HTTP = frozenset({ProbeKind.AGENT, ProbeKind.READINESS, ProbeKind.STATS})


def has_abnormal_answer(observations: Iterable[Observation]) -> bool:
    """Whether 15020, 15021 or 15090 answers with anything but success."""
    return any(
        seen.probe.kind in _PROVED_BY_HTTP and seen.outcome is not Outcome.OK
        for seen in observations
    )


def is_wanted_sooner(evidence: Evidence, memory: Memory) -> bool:
    """Whether this poll calls for the page at the detail cadence, though it may show no cause."""
    status = evidence.seen(PortName.STATUS)
    if status is None:
        return False
    if status.outcome.proves and status.port not in memory.proofs:
        return True
    if has_abnormal_answer(evidence.all_observations()):
        return True
    grown = (memory.growth.get(name) for name in COUNTERS)
    return any(growth is not None and (growth.step or growth.is_hint) for growth in grown)


def next_wait(outcome: Outcome, last: float, interval: float) -> float:
    """How long to wait after a page: twice as long each time it was too large, else no longer.

    One that did not come at all leaves the wait as it is.
    """
    if outcome is Outcome.TOO_LARGE:
        return min(_LONGEST_WAIT, 2 * max(last, interval))
    return 0.0 if outcome.proves else last
