"""When a poll sends a TLS hello to 15008 of a workload in ambient, and how many go out. Pure.

Each leaves one line in ztunnel's log. So one is sent where its answer may be another one by now:
at first sight, after 15008 did not accept, after a failure at longer and longer intervals, and
when a certificate should have been renewed or has ended.
"""

import math
from collections.abc import Iterable, Iterator, Sequence

from exporter.catalogue import port_number_of
from exporter.diagnosis.workload_evidence import RENEWED_AT, accepts, by_address
from exporter.model import (
    Cadence,
    Observation,
    Outcome,
    PortName,
    Probe,
    ProbeKind,
)
from exporter.poll.plan import AddressPlan
from exporter.poll.poll_inputs import JITTER_SECONDS, PollInputs

DEADLINE_SECONDS = 7.0
"""ztunnel waits 5 s for istiod to name the workload before it closes (measured: 5.01 s)."""

_AFTER_END_SECONDS = 10.0
_PER_SECOND = 50.0
_PAUSE_SECONDS = 0.2
"""What was not sent in a longer pause is not made up, so that no second has many more."""


class HelloRate:
    """At most 50 hellos a second of all targets together; who gets none asks at its next poll.

    A hello costs a millisecond of CPU on either side, and after a mass restart all are due.
    """

    def __init__(self, per_second: float = _PER_SECOND) -> None:
        self._rate = per_second
        self._most = self._tokens = per_second * _PAUSE_SECONDS
        self._refilled_at = 0.0

    def take(self, now: float) -> bool:
        """Whether one may be sent now, seconds of any clock."""
        gained = max(0.0, now - self._refilled_at) * self._rate
        self._tokens = min(self._most, self._tokens + gained)
        self._refilled_at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


def due_addresses(poll: PollInputs, observations: Iterable[Observation]) -> Iterator[str]:
    """The addresses to which a hello is to be sent in this poll, whose 15008 accepts now."""
    if not poll.config.poll.hello:
        return
    port = port_number_of(poll.plan.target, PortName.HBONE)
    for seen in observations:
        if seen.probe.port != port or seen.outcome is not Outcome.OK:
            continue
        if poll.is_identity_due or poll.now >= _due_at(poll, seen.probe.address):
            yield seen.address


def spared_probes(part: AddressPlan, observations: Iterable[Observation]) -> Iterator[Probe]:
    """The connects to the application that this poll left out, where they show something now."""
    address = part.dialer.address
    seen = [one for one in observations if one.address == address]
    if part.spared and any(one.outcome is not Outcome.OK for one in seen):
        known = {one.port for one in seen}
        missing = part.spared - known
        yield from (probe for probe in part.probes if probe.port in missing)


def is_doubtful(poll: PollInputs, observations: Sequence[Observation]) -> bool:
    """Whether the pod's own view is to show if ztunnel serves a workload that refuses it.

    A policy engine that resets connections looks like a pod outside the mesh. A socket table costs
    nothing; what goes through the API server is asked once a detail interval.
    """
    on_doubt = poll.plan.on_doubt
    if on_doubt is None or all(seen.outcome is Outcome.OK for seen in observations):
        return False
    rows = by_address(poll.plan.target, observations)
    if on_doubt.kind is ProbeKind.SOCKETS:
        return any(not accepts(row.hbone) for row in rows)
    if any(accepts(row.hbone) for row in rows):
        return False
    in_pod = poll.memory.hbone.get("")
    is_answered = in_pod is not None and in_pod.seen.outcome is not Outcome.BLOCKED
    was_asked = is_answered and Cadence.DETAIL not in poll.due
    return not was_asked and any(row.lets_strangers_in for row in rows)


def next_due(poll: PollInputs, addresses: Iterable[str]) -> float:
    """From when on a poll that sees 15008 accept sends a hello, at the fast cadence.

    Seconds since the epoch; 0 where it is due, infinite for never.
    """
    if not poll.config.poll.hello:
        return math.inf
    return min([_due_at(poll, address) for address in addresses], default=math.inf)


def _due_at(poll: PollInputs, address: str) -> float:
    """When the hello after the last one is due; 0 for at once."""
    last, intervals, step = poll.memory.hbone.get(address), poll.config.poll, poll.step
    if last is None or not last.is_current:
        return 0.0
    if last.seen.outcome is not Outcome.OK:
        doubled: float = intervals.interval * 2.0 ** min(last.alike - 1, 32)
        return last.at - JITTER_SECONDS + min(doubled, intervals.detail_interval)
    due = [last.at - JITTER_SECONDS + intervals.identity_interval]
    if last.certificate is not None:
        begin, end = last.certificate.not_before, last.certificate.not_after
        renewed = begin + RENEWED_AT * (end - begin) - step
        due += [at for at in (renewed, end + _AFTER_END_SECONDS - step) if last.at < at]
    return min(due)
