"""When the look at 15006 wants a TLS hello. Pure.

A hello leaves a trace in the mesh's telemetry, so it is sent at the identity cadence, and besides
only when its answer would decide something, at most once per detail interval.
"""

from collections.abc import Sequence

from exporter.catalogue import control_port
from exporter.config import Config
from exporter.model import (
    PROVING,
    Certificate,
    Memory,
    Observation,
    Outcome,
    Target,
    Timestamped,
    TlsFacts,
    View,
)


def is_hello_due(
    target: Target,
    observations: Sequence[Observation],
    memory: Memory,
    config: Config,
    now: float,
    due_identity: bool,  # noqa: FBT001 - the contract of the look
) -> bool:
    """Whether to send a hello to the control port in this look.

    Args:
        target: who is looked at.
        observations: what this look has seen so far, the control port's connect included.
        memory: what the last look returned.
        config: intervals, and whether hellos are allowed at all.
        now: seconds since the epoch.
        due_identity: the identity cadence is due.
    """
    control = control_port(target, config.poll.control_port)
    if control is None or not config.poll.hello:
        return False
    accepting = [
        seen.address
        for seen in observations
        if seen.port == control and seen.view is View.NETWORK and seen.outcome is Outcome.OK
    ]
    if not accepting:
        return False
    if due_identity or any(address not in memory.hello for address in accepting):
        return due_identity or _is_rested(memory, config.poll.interval, now)
    told = [memory.hello[address] for address in accepting]
    envoy_fails = _envoy_ports_fail(target, observations)
    if envoy_fails and min(hello.at for hello in told) <= _last_answer_of_envoy(target, memory):
        return True
    if envoy_fails or any(_is_outdated(hello, now) for hello in told):
        return _is_rested(memory, config.poll.detail_interval, now)
    undecided = any(hello.value.outcome is Outcome.TIMEOUT for hello in told)
    undecided = undecided or not memory.hello_missed.isdisjoint(accepting)
    return undecided and _is_rested(memory, config.poll.interval, now)


def _is_rested(memory: Memory, interval: float, now: float) -> bool:
    """Whether the last hello is an interval ago; half a second of jitter is none."""
    return now - memory.hello_sent_at >= interval - 0.5


def _envoy_ports(target: Target) -> tuple[int, int]:
    return (target.settings.health_port, target.settings.stats_port)


def _last_answer_of_envoy(target: Target, memory: Memory) -> float:
    return max(memory.last_ok.get(port, 0.0) for port in _envoy_ports(target))


def _envoy_ports_fail(target: Target, observations: Sequence[Observation]) -> bool:
    """Whether Envoy's ports fail: then only a hello tells whether Envoy serves."""
    envoy = _envoy_ports(target)
    seen = [one for one in observations if one.view is View.NETWORK and one.port in envoy]
    return bool(seen) and not any(one.outcome in PROVING for one in seen)


def _is_outdated(hello: Timestamped[Observation], now: float) -> bool:
    """Whether what is remembered may no longer be so: another process, an ended certificate."""
    if hello.value.outcome is Outcome.WRONG_PROTOCOL:
        return True
    facts = hello.value.facts
    certificate = facts.certificate if isinstance(facts, TlsFacts) else None
    return isinstance(certificate, Certificate) and certificate.not_after <= now
