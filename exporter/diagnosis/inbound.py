"""15006 by the control port and the TLS hello sent to it. Pure.

A captured connection always accepts, so only the hello's certificate proves that Envoy serves
virtualInbound; that 15006 itself closes a direct connection says that redirection is missing.
"""

from exporter.catalogue import TargetPort
from exporter.diagnosis.evidence import Evidence
from exporter.diagnosis.liveness import is_lost_rejection, kubernetes_reports_ready
from exporter.diagnosis.port_owner import foreign_listener, holder_of_inbound
from exporter.diagnosis.port_reading import PortReading
from exporter.model import Memory, Observation, Outcome, View

_CLOSES = frozenset({Outcome.OK, Outcome.CLOSED, Outcome.RESET})
"""How a direct connection to 15006 ends where Envoy accepts it and closes."""


def judge_inbound(evidence: Evidence, memory: Memory, port: TargetPort) -> PortReading:
    """What 15006 is: by the network, else by the pod's own view."""
    readings = [_read(evidence, memory, connect) for connect in evidence.connects]
    reading = min(readings, key=lambda one: one.rank) if readings else None
    in_pod = evidence.pod.get(port.number)
    wrong = foreign_listener(memory, port)
    if wrong:
        reading = PortReading(Outcome.WRONG_IDENTITY, wrong)
    elif in_pod is not None and _pod_decides(in_pod, readings):
        reading = PortReading(in_pod.outcome, in_pod.detail, in_pod.seconds, View.POD)
    elif reading is None:
        reading = PortReading(Outcome.CAPTURED, "no control port shows redirection here")
    if reading.outcome.is_unjudged or (reading.view is View.POD and reading.outcome.proves):
        accepts = evidence.control_accepts() or is_bypassed(evidence)
        if holder := holder_of_inbound(memory, port, accepts=accepts):
            reading = PortReading(Outcome.WRONG_IDENTITY, holder, view=reading.view)
    return reading


def _pod_decides(in_pod: Observation, readings: list[PortReading]) -> bool:
    """Whether the pod's view shows more than the network's.

    It does where 15006 fails there, and where no address could be reached over the network; that
    it closes at once there does not prove TLS, so it does not overrule what a hello has shown.
    """
    if not in_pod.outcome.proves or not readings:
        return True
    return not any(reading.reached for reading in readings)


def _read(evidence: Evidence, memory: Memory, connect: Observation) -> PortReading:
    outcome = connect.outcome
    if outcome is Outcome.OK:
        return _read_hello(memory, connect.address)
    if outcome is Outcome.REFUSED:
        return _read_direct(evidence, connect.address)
    if outcome.is_silent:
        return _read_silence(evidence, connect)
    unjudged = outcome if outcome.is_unjudged else Outcome.CAPTURED
    return PortReading(unjudged, connect.detail, reached=False)


def _read_hello(memory: Memory, address: str) -> PortReading:
    """The control port accepts: the last hello there decides."""
    last = memory.hello.get(address)
    if last is None:
        return PortReading(Outcome.CAPTURED, "no TLS hello was sent")
    hello = last.value
    match hello.outcome:
        case Outcome.OK if hello.certificate:
            return PortReading(Outcome.OK, "the workload's certificate came", hello.seconds)
        case Outcome.TIMEOUT:
            return PortReading(Outcome.TIMEOUT, "a TLS hello is not answered", hello.seconds)
        case Outcome.WRONG_PROTOCOL:
            detail = hello.detail or "a TLS hello is answered by something else"
            return PortReading(Outcome.WRONG_IDENTITY, detail, hello.seconds)
    ending = _ENDINGS.get(hello.outcome, "a TLS hello brought no certificate")
    stats = memory.stats
    if hello.outcome is Outcome.RESET and stats and stats.value.listener_create_failures:
        ending += ", or it is the listener that Envoy could not create"
    return PortReading(Outcome.CAPTURED, ending)


_ENDINGS = {
    Outcome.RESET: "a TLS hello is not answered with TLS: mTLS is off",
    Outcome.CLOSED: "the connection is closed upon a TLS hello",
    Outcome.TLS_ERROR: "a TLS hello is answered with a TLS alert",
    Outcome.TOO_LARGE: "the answer to a TLS hello is over the limit",
}
"""What an answer without a certificate leaves to say; only a reset tells that mTLS is off."""


def _read_direct(evidence: Evidence, address: str) -> PortReading:
    """The control port refuses: 15006 itself shows whether redirection or the port is missing."""
    seen = direct_at(evidence, address)
    if seen is None:
        return PortReading(Outcome.CAPTURED, "the control port refuses, and no other way was tried")
    if seen.outcome in _CLOSES:
        return PortReading(Outcome.CAPTURED, "redirection is missing")
    if seen.outcome is Outcome.WRONG_PROTOCOL:
        return PortReading(Outcome.WRONG_IDENTITY, seen.detail or "something else answers")
    prefix = f"{address}: " if len(evidence.connects) > 1 else ""
    detail = f"{prefix}{seen.detail or 'it and the control port refuse'}"
    return PortReading(seen.outcome, detail, seen.seconds, reached=bool(seen.connected))


def direct_at(evidence: Evidence, address: str) -> Observation | None:
    """The direct connection to 15006 on one address, if there was one."""
    return next((seen for seen in evidence.direct if seen.address == address), None)


def is_bypassed(evidence: Evidence) -> bool:
    """Whether an address refuses the control port while its 15006 accepts and closes."""
    return any(
        connect.outcome is Outcome.REFUSED
        and (seen := direct_at(evidence, connect.address)) is not None
        and seen.outcome in _CLOSES
        for connect in evidence.connects
    )


def _read_silence(evidence: Evidence, connect: Observation) -> PortReading:
    """The control port is silent, as the uncaptured ports are."""
    if evidence.nothing_responds():
        blocked = kubernetes_reports_ready(evidence.target.lifecycle)
        outcome = Outcome.BLOCKED if blocked else Outcome.TIMEOUT
        return PortReading(outcome, "nothing answers", reached=False)
    responds = any(
        seen.outcome.proves and seen.address == connect.address
        for group in evidence.network.values()
        for seen in group
    )
    is_blocked = responds or is_lost_rejection(evidence, connect)
    outcome = Outcome.BLOCKED if is_blocked else connect.outcome
    prefix = f"{connect.address}: " if len(evidence.connects) > 1 else ""
    return PortReading(outcome, f"{prefix}the control port does not answer", reached=False)
