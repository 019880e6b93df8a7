"""What is so of each port: up, down or unjudged, and why. Pure.

Evidence and memory in, one `Verdict` per judged port out. The rule: up only on proof in the
port's own protocol by its owner; silence and refusals prove nothing while the proxy provably
runs. Where both views exist, the pod's decides what a port is, the network's whether it is
reached. 15006 has a module of its own, `inbound`.
"""

from msgspec import Struct

from exporter.catalogue import TargetPort
from exporter.diagnosis.evidence import UNANSWERED, Evidence
from exporter.diagnosis.inbound import judge_inbound
from exporter.diagnosis.liveness import is_blocked_by_network, is_lost_rejection
from exporter.diagnosis.port_owner import foreign_listener, unproved_agent
from exporter.diagnosis.port_reading import PortReading
from exporter.diagnosis.workload_evidence import accepts, addresses_of
from exporter.diagnosis.workload_ports import JUDGED_HERE, judge_workload_port
from exporter.model import (
    ENVOY_ROLES,
    Expectation,
    Memory,
    Observation,
    Outcome,
    PortName,
    Role,
    Verdict,
    View,
)

_NOBODY = frozenset({Outcome.REFUSED, Outcome.WRONG_IDENTITY, Outcome.WRONG_PROTOCOL})
"""Outcomes of a port that its owner does not hold."""

_REFUSES_PLAINTEXT = frozenset({Outcome.RESET, Outcome.CLOSED})
"""How a sidecar with STRICT mTLS ends a request to a captured port, whatever serves it.

In ambient so ends a request that nobody serves, too.
"""

_ON_THE_WAY = {Outcome.BLOCKED: "blocked on the way", Outcome.REJECTED: "rejected by the network"}
"""What the network did to a port, so that nothing is known of it."""


class Judgement(Struct, eq=False):
    """Verdicts by port on what a poll saw, in the order of the target's ports.

    `durations`: how long the probe took that decided, where one did.
    """

    evidence: Evidence
    memory: Memory
    verdicts: dict[int, Verdict] = {}
    durations: dict[int, float] = {}

    def take(
        self,
        port: TargetPort,
        reading: PortReading,
        *,
        naive: bool | None = None,
        exposed: bool = False,
    ) -> None:
        """Keep what is read of a port as its verdict; one that was inferred took no time.

        `naive`: the result of a plain connect where this poll has none.
        """
        connects = _naive_of(self.evidence, port)
        self.verdicts[port.number] = Verdict(
            port.number,
            port.component,
            reading.up,
            reading.outcome,
            reading.view,
            reading.detail,
            naive if connects is None else connects,
            exposed,
            reading.structural,
        )
        if reading.seconds:
            self.durations[port.number] = reading.seconds

    def of(self, name: PortName) -> Verdict | None:
        """The verdict on the port of that name, where it could be probed at all."""
        port = self.evidence.named.get(name)
        verdict = self.verdicts.get(port.number) if port else None
        return None if verdict is None or verdict.outcome is Outcome.NO_ACCESS else verdict


def judge(evidence: Evidence, memory: Memory) -> Judgement:
    """One verdict per port.

    A port that is expected to be optional and gives no answer has none.
    """
    judged = Judgement(evidence, memory)
    is_envoy = evidence.target.role in ENVOY_ROLES
    is_ambient = evidence.target.role is Role.AMBIENT
    is_ztunnel = evidence.target.role is Role.ZTUNNEL
    admin = None
    for port in evidence.ports:
        name = port.name
        if evidence.in_mesh:
            # Behind our own sidecar every answer may be that sidecar's.
            judged.take(port, _UNTRUSTED)
        elif is_envoy and name == PortName.ADMIN:
            admin = port
        elif is_envoy and name == PortName.VIRTUAL_INBOUND:
            judged.take(port, judge_inbound(evidence, memory, port))
        elif is_ambient and name in JUDGED_HERE:
            judged.take(port, judge_workload_port(evidence, memory, port))
        elif is_ztunnel and name == PortName.HBONE:
            _judge_own_hbone(judged, port)
        else:
            _judge_port(judged, port)
    if admin is not None:
        _judge_admin(judged, admin)
    return judged


def _judge_own_hbone(judged: Judgement, port: TargetPort) -> None:
    """A ztunnel's own 15008, by its hello, where it accepts at all.

    It is optional, so silence says nothing of it: a healthy ztunnel whose port answers no hello
    was recorded, and one that hangs is silent on 15021 too.
    """
    if not any(accepts(row.hbone) for row in addresses_of(judged.evidence)):
        return
    reading = judge_workload_port(judged.evidence, judged.memory, port)
    if not reading.outcome.is_silent:
        judged.take(port, reading)


def _naive_of(evidence: Evidence, port: TargetPort) -> bool | None:
    """The result of a plain connect from the network; captured ports are as the control port."""
    found = evidence.network.get(port.number)
    if found and found[0].connected is not None:
        return all(seen.connected for seen in found)
    if port.captured and evidence.connects:
        return all(seen.outcome is Outcome.OK for seen in evidence.connects)
    return None


_UNTRUSTED = PortReading(Outcome.CAPTURED, "the exporter is inside the mesh")


def _judge_port(judged: Judgement, port: TargetPort) -> None:
    evidence, memory = judged.evidence, judged.memory
    in_pod, over_network = evidence.pod.get(port.number), evidence.worst(port.number)
    if in_pod is None and over_network is None:
        if port.expectation is not Expectation.OPTIONAL:
            judged.take(port, _unprobed(evidence, port))
        return
    if in_pod is None or (
        over_network is not None and _network_overrules(evidence, port, over_network)
    ):
        seen, outcome = over_network, _from_network(evidence, memory, port, over_network)
    else:
        seen, outcome = in_pod, in_pod.outcome
    assert seen is not None  # noqa: S101 - one of the two was probed
    detail = seen.detail
    if outcome.proves:
        wrong = memory.disproved.get(port.number) or foreign_listener(memory, port)
        if wrong:
            outcome, detail = Outcome.WRONG_IDENTITY, wrong
        elif unproved := unproved_agent(memory, port):
            outcome, detail = Outcome.NO_ACCESS, unproved
    if port.expectation is Expectation.OPTIONAL and not outcome.proves:
        return
    detail = _with_address(evidence, seen, outcome, detail)
    judged.take(port, PortReading(outcome, detail, seen.seconds, seen.view))


def _with_address(evidence: Evidence, seen: Observation, outcome: Outcome, detail: str) -> str:
    if len(evidence.target.addresses) == 1 or seen.view is View.POD or outcome.proves:
        return detail
    return f"{seen.address}: {detail or outcome.value}"


def _network_overrules(evidence: Evidence, port: TargetPort, over_network: Observation) -> bool:
    """Whether the network shows what the pod's view cannot: another process, a missing family."""
    if over_network.outcome is Outcome.WRONG_IDENTITY:
        return True
    if over_network.outcome is not Outcome.REFUSED:
        return False
    return any(seen.outcome.proves for seen in evidence.network[port.number])


def _from_network(
    evidence: Evidence, memory: Memory, port: TargetPort, seen: Observation | None
) -> Outcome:
    """The outcome as the network's view allows it to be read."""
    if seen is None:
        return Outcome.NO_ACCESS
    if seen.outcome is Outcome.REJECTED:
        return seen.outcome
    if seen.outcome in UNANSWERED and (
        is_lost_rejection(evidence, seen) or is_blocked_by_network(evidence, memory, port, seen)
    ):
        return Outcome.BLOCKED
    by_envoy = seen.probe.captured and evidence.target.role is Role.SIDECAR
    if by_envoy and seen.outcome in _REFUSES_PLAINTEXT:
        return Outcome.CAPTURED
    if not seen.probe.kind.is_answered_by_redirection or seen.outcome is not Outcome.OK:
        return seen.outcome
    is_ztunnels = evidence.target.settings.ambient and port.captured
    if is_ztunnels or (seen.probe.captured and evidence.control_accepts()):
        return Outcome.CAPTURED
    return seen.outcome


def _unprobed(evidence: Evidence, port: TargetPort) -> PortReading:
    """No view of this poll could show the port."""
    behind = port.captured and port.expectation is Expectation.OPEN
    refused = evidence.no_access.get(port.number, "")
    hidden = behind or port.expectation is Expectation.LOOPBACK
    outcome = Outcome.CAPTURED if behind and not refused else Outcome.NO_ACCESS
    return PortReading(outcome, refused, structural=hidden and not refused)


def exposed_by(evidence: Evidence, memory: Memory) -> str:
    """What shows Envoy's admin open to the network; empty where nothing does."""
    exposure = memory.exposure
    if exposure is not None and exposure.value.outcome is Outcome.OK:
        return "admin answers bytes from the network that are not HTTP with its 400"
    number = evidence.target.settings.admin_port
    for socket in memory.listening:
        if socket.port == number and socket.process == "envoy" and not socket.is_loopback:
            return f"admin listens on {socket.address}:{number}"
    return ""


def _judge_admin(judged: Judgement, port: TargetPort) -> None:
    evidence, memory = judged.evidence, judged.memory
    exposed = bool(exposed_by(evidence, memory))
    in_pod = evidence.pod.get(port.number)
    if in_pod is not None:
        reading = _admin_in_pod(memory, port, in_pod)
    else:
        reading = _admin_by_other_ports(judged, exposed=exposed)
    shown = memory.exposure if not port.captured else None
    naive = shown.value.connected if shown else None
    judged.take(port, reading, naive=naive, exposed=exposed)


def _admin_in_pod(memory: Memory, port: TargetPort, in_pod: Observation) -> PortReading:
    wrong = foreign_listener(memory, port)
    if wrong and in_pod.outcome is not Outcome.REFUSED:
        return PortReading(Outcome.WRONG_IDENTITY, wrong, in_pod.seconds, View.POD)
    return PortReading(in_pod.outcome, in_pod.detail, in_pod.seconds, View.POD)


def _admin_by_other_ports(judged: Judgement, *, exposed: bool) -> PortReading:
    """15000 by what the other ports prove: 15090 is relayed to it."""
    stats = judged.of(PortName.STATS)
    if stats is not None and (stats.up or stats.outcome is Outcome.TOO_LARGE):
        return PortReading(Outcome.OK, f"{stats.port} answers, which is relayed to it")
    if exposed:
        return PortReading(Outcome.OK, "it answers from the network")
    health = judged.of(PortName.HEALTH)
    inbound = judged.of(PortName.VIRTUAL_INBOUND)
    envoy = [verdict for verdict in (health, stats) if verdict]
    if inbound is not None and inbound.outcome in UNANSWERED | _NOBODY:
        envoy.append(inbound)
    served = inbound is not None and inbound.up
    if envoy and not served and all(verdict.outcome.is_silent for verdict in envoy):
        return PortReading(Outcome.TIMEOUT, "every port of Envoy is silent")
    status = judged.of(PortName.STATUS)
    held = [*envoy, status] if status else envoy
    if held and not served and all(verdict.outcome in _NOBODY for verdict in held):
        return PortReading(Outcome.REFUSED, "Envoy and agent hold none of their ports")
    if stats is not None and stats.outcome in _ON_THE_WAY:
        return PortReading(stats.outcome, f"{stats.port} is {_ON_THE_WAY[stats.outcome]}")
    return PortReading(Outcome.NO_ACCESS, "it listens on loopback, and no other port shows it")
