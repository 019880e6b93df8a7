"""Whether a proxy that does not answer on a port provably lives, so that the network is to blame.

Pure. The rule: a connection that came about was not dropped on the way.
"""

from collections.abc import Callable

from exporter.catalogue import TargetPort
from exporter.diagnosis.evidence import UNANSWERED, Evidence
from exporter.diagnosis.memory import last_answer
from exporter.model import ENVOY_ROLES, Component, Lifecycle, Memory, Observation, Outcome, PortName

READINESS_PORTS = (PortName.STATUS, PortName.HEALTH, PortName.STATS)
"""The catalogue's names of the ports that prove agent and Envoy: 15020, 15021, 15090."""

_SERVED = frozenset({Outcome.OK, Outcome.RESET, Outcome.CLOSED})
"""How a hello ends that Envoy has dealt with: its certificate, or a reset where mTLS is off."""


def is_blocked_by_network(
    evidence: Evidence, memory: Memory, port: TargetPort, seen: Observation
) -> bool:
    """Whether a silent or refusing port is blocked on the way, by what else is known."""
    if seen.connected:
        return False
    if evidence.nothing_responds():
        return kubernetes_reports_ready(evidence.target.lifecycle)
    is_silent = seen.outcome.is_silent and seen.connected is False
    responds = seen.address in evidence.responding
    if is_silent and responds and not _has_full_queue(evidence, port, seen.address):
        return True  # its kernel would at least have refused
    if port.captured:
        return False
    if evidence.target.role not in ENVOY_ROLES or port.name not in READINESS_PORTS:
        return False
    if any(other.outcome.proves for other in evidence.network.get(port.number, ())):
        return False
    if port.name == PortName.STATUS and _relays(evidence):
        return True
    return _readiness_ports_unreachable(evidence) and _has_fresh_hello(evidence, memory)


def _has_full_queue(evidence: Evidence, port: TargetPort, address: str) -> bool:
    """Whether the kernel may have dropped the connect, since nobody accepts from the port's queue.

    So it does for a process that hangs: others of its ports accept, and none answers; or for all
    processes, where nothing answers at all. A captured port's queue is 15006's, which is Envoy's.
    """
    probed = [(each, evidence.network.get(each.number, ())) for each in evidence.ports]
    hung = {each.component for each, group in probed if any(map(_is_hung_at(address), group))}
    if any(map(_is_hung_at(address), evidence.hellos)):
        hung.add(Component.ENVOY)
    answering = {each.component for each, group in probed if any(o.outcome.proves for o in group)}
    owner = Component.ENVOY if port.captured else port.component
    return owner in hung - answering or (bool(hung) and not answering)


def _is_hung_at(address: str) -> Callable[[Observation], bool]:
    """Whether a connection came about at this address, and nothing was answered on it."""
    return lambda seen: seen.outcome.is_silent and bool(seen.connected) and seen.address == address


def is_lost_rejection(evidence: Evidence, seen: Observation) -> bool:
    """Whether a silent port may have been rejected like another one of its address.

    Who rejects reports it seldom: Linux sends a host six ICMP errors, then one a second.
    """
    return seen.outcome.is_silent and not seen.connected and seen.address in evidence.rejecting


def kubernetes_reports_ready(lifecycle: Lifecycle) -> bool:
    """Whether Kubernetes reports the proxy's container ready, on a ready node."""
    return lifecycle.container_ready is True and lifecycle.node_ready is True


def _relays(evidence: Evidence) -> bool:
    """Whether 15021, which Envoy relays to the agent, returns 200: the agent runs."""
    port = evidence.named.get(PortName.HEALTH)
    health = evidence.worst(port.number) if port else None
    return health is not None and health.outcome is Outcome.OK


def _readiness_ports_unreachable(evidence: Evidence) -> bool:
    """Whether no connection to 15020, 15021 or 15090 came about over the network."""
    numbers = _numbers(evidence)
    seen_ports = [seen for number in numbers for seen in evidence.network.get(number, ())]
    return bool(seen_ports) and all(
        seen.outcome in UNANSWERED and not seen.connected for seen in seen_ports
    )


def _numbers(evidence: Evidence) -> list[int]:
    return [evidence.named[name].number for name in READINESS_PORTS if name in evidence.named]


def _has_fresh_hello(evidence: Evidence, memory: Memory) -> bool:
    """Whether Envoy has answered a hello since the uncaptured ports last answered."""
    if not evidence.control_accepts():
        return False
    answered = last_answer(memory.last_ok, _numbers(evidence))
    return any(
        hello.at > answered and hello.value.outcome in _SERVED for hello in memory.hello.values()
    )
