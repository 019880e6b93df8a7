"""When a poll sends a TLS hello: to the control port, for 15006; to a gateway's servers. Pure.

A hello leaves a trace in the mesh's telemetry, so it is sent at the identity cadence, and besides
only when its answer would decide something, at most once per detail interval.
"""

import math
from collections.abc import Iterator, Sequence
from itertools import islice

from exporter.bounds import SERVER_NAMES
from exporter.catalogue.gateway_servers import is_server
from exporter.diagnosis.memory import last_answer
from exporter.diagnosis.remembered_pod_view import end_of_pod_view
from exporter.diagnosis.target_certificates import names_of_servers
from exporter.model import (
    Certificate,
    Memory,
    Observation,
    Outcome,
    Probe,
    ProbeKind,
    Role,
    Timestamped,
    View,
)
from exporter.poll.poll_inputs import JITTER_SECONDS, PollInputs

_OF_ENVOY = frozenset({ProbeKind.READINESS, ProbeKind.STATS})
"""The probes of 15021 and 15090, which Envoy itself serves."""


def is_hello_due(poll: PollInputs, observations: Sequence[Observation]) -> bool:
    """Whether to send a hello in this poll, which has seen this, the control port's connect too."""
    memory, intervals, now = poll.memory, poll.config.poll, poll.now
    accepting = [
        seen.probe.address
        for seen in observations
        if seen.probe.kind is ProbeKind.CONTROL and seen.outcome is Outcome.OK
    ]
    if not accepting or not intervals.hello:
        return False
    if poll.is_identity_due:
        return True
    if any(address not in memory.hello for address in accepting):
        return _is_rested(memory, intervals.interval, now)
    last = [memory.hello[address] for address in accepting]
    envoy_fails = _envoy_ports_fail(observations)
    has_answered = min(hello.at for hello in last) <= _last_answer_of_envoy(poll)
    if envoy_fails and has_answered and not _has_pod_view(poll):
        return True
    if envoy_fails or any(_outdated_at(hello) <= now + poll.step for hello in last):
        return _is_rested(memory, intervals.detail_interval, now)
    undecided = any(hello.value.outcome is Outcome.TIMEOUT for hello in last)
    undecided = undecided or not memory.hello_missed.isdisjoint(accepting)
    return undecided and _is_rested(memory, intervals.interval, now)


def next_due(poll: PollInputs, seen: Sequence[Observation]) -> float:
    """From when on a poll that sees this sends a hello, at the fast cadence, where all is well.

    Seconds since the epoch; 0 where one may be due at once, infinite for never.
    """
    if not poll.config.poll.hello:
        return math.inf
    memory = poll.memory
    servers = [at for _, at in _server_hellos(poll, seen)]
    saying = {part.dialer.address for part in poll.plan.network if part.hello}
    saying &= {one.address for one in seen if one.probe.kind is ProbeKind.CONTROL}
    if not saying <= memory.hello.keys() or not memory.hello_missed.isdisjoint(saying):
        return 0.0
    last = [memory.hello[address] for address in saying]
    if any(hello.value.outcome is Outcome.TIMEOUT for hello in last):
        return 0.0
    return min([*servers, *(_outdated_at(hello) - poll.step for hello in last)], default=math.inf)


def _is_rested(memory: Memory, interval: float, now: float) -> bool:
    """Whether the last hello is an interval ago."""
    return now - memory.hello_sent_at >= interval - JITTER_SECONDS


def _has_pod_view(poll: PollInputs) -> bool:
    """Whether a view of the pod counts now, which shows Envoy whatever the network does."""
    memory = poll.memory
    if memory.pod_view is None:
        return memory.sockets is not None
    return poll.now <= end_of_pod_view(memory, poll.config)


def _last_answer_of_envoy(poll: PollInputs) -> float:
    settings = poll.plan.target.settings
    return last_answer(poll.memory.last_ok, (settings.health_port, settings.stats_port))


def _envoy_ports_fail(observations: Sequence[Observation]) -> bool:
    """Whether Envoy's ports fail: then only a hello shows whether Envoy serves."""
    seen = [
        one
        for one in observations
        if one.probe.view is View.NETWORK and one.probe.kind in _OF_ENVOY
    ]
    return bool(seen) and not any(one.outcome.proves for one in seen)


def _outdated_at(hello: Timestamped[Observation]) -> float:
    """When what is remembered may no longer be so: another process, an ended certificate.

    By the wall clock; infinite for never.
    """
    if hello.value.outcome is Outcome.WRONG_PROTOCOL:
        return 0.0
    certificate = hello.value.certificate
    return certificate.not_after if certificate else math.inf


def server_hellos(poll: PollInputs, seen: Sequence[Observation]) -> list[Probe]:
    """The hellos that this poll sends to a gateway's servers, by whose names certificates are for.

    Each presents the certificate of one server. The names are those in the certificates that its
    Envoy has (admin's /certs, in the pod view); without them a hello without a name finds the
    server of every host. Sent at the identity cadence, to ports that answer, once when a port or
    name is new, and at the detail interval where the certificate has ended.
    """
    due = _server_hellos(poll, seen) if poll.config.poll.hello else []
    return [probe for probe, at in due if poll.is_identity_due or at <= poll.now]


def _server_hellos(poll: PollInputs, seen: Sequence[Observation]) -> list[tuple[Probe, float]]:
    """Those that could be sent, each with the moment from which it is at any cadence."""
    plan, memory = poll.plan, poll.memory
    if plan.target.role is not Role.GATEWAY:
        return []
    servers = {port.number for port in plan.ports if is_server(port)}
    if not servers:
        return []
    answering = {
        (one.address, one.port)
        for one in seen
        if one.view is View.NETWORK and one.outcome is Outcome.OK and one.port in servers
    }
    first = next((address for address, _ in sorted(answering)), "")
    ports = sorted(port for address, port in answering if address == first)
    wanted = islice(_hellos(first, ports, memory), SERVER_NAMES)
    rest = memory.effective(poll.config.poll.detail_interval) - JITTER_SECONDS
    return [
        (one, _asked_again_at(memory.server_names.get((one.port, one.path)), rest, poll.step))
        for one in wanted
    ]


def _asked_again_at(
    shown: Timestamped[Certificate | None] | None, rest: float, step: float
) -> float:
    """0 for what was never asked; infinite for what presented nothing."""
    if shown is None:
        return 0.0
    return math.inf if shown.value is None else max(shown.value.not_after - step, shown.at + rest)


def _hellos(address: str, ports: Sequence[int], memory: Memory) -> Iterator[Probe]:
    names = names_of_servers(memory.admin.value if memory.admin else None)
    for port in ports:
        for name in names or ("",):
            yield Probe(port, ProbeKind.SERVER_HELLO, View.NETWORK, address, path=name)
