"""The verdicts on the ports that ztunnel opens in the pod of a workload in ambient. Pure.

15008 is up while a hello has brought a certificate and it has accepted since; 15006 while the
control port accepts and ztunnel answered a hello. 15001 is seen in the pod's socket table alone.
"""

from msgspec.structs import replace

from exporter.catalogue import TargetPort
from exporter.diagnosis.evidence import Evidence
from exporter.diagnosis.liveness import kubernetes_reports_ready
from exporter.diagnosis.port_owner import foreign_listener
from exporter.diagnosis.port_reading import PortReading
from exporter.diagnosis.workload_evidence import (
    AddressEvidence,
    accepts,
    addresses_of,
    current_hello,
    is_anothers,
    is_served_in_pod,
    refuses,
)
from exporter.model import Memory, Observation, Outcome, PortName, View

JUDGED_HERE = frozenset({PortName.HBONE, PortName.VIRTUAL_INBOUND, PortName.VIRTUAL_OUTBOUND})


def judge_workload_port(evidence: Evidence, memory: Memory, port: TargetPort) -> PortReading:
    """What 15001, 15006 or 15008 is."""
    if wrong := foreign_listener(memory, port):
        return PortReading(Outcome.WRONG_IDENTITY, wrong, view=View.POD)
    reading = _reading(evidence, memory, port)
    if reading.outcome.is_unjudged and _nobody_listens(evidence, memory, port):
        return PortReading(Outcome.REFUSED, "nobody listens on it in the pod", view=View.POD)
    return reading


def _reading(evidence: Evidence, memory: Memory, port: TargetPort) -> PortReading:
    if port.name == PortName.VIRTUAL_OUTBOUND:
        return _read_outbound(evidence, memory, port)
    read = _read_hbone if port.name == PortName.HBONE else _read_inbound
    rows = addresses_of(evidence)
    readings = [_named(evidence, row, read(evidence, memory, row)) for row in rows]
    nothing = PortReading(Outcome.NO_ACCESS, "it was not probed")
    return min(readings, key=lambda one: one.rank, default=nothing)


def _named(evidence: Evidence, row: AddressEvidence, reading: PortReading) -> PortReading:
    """With the address, where the target has several and this one is not up."""
    if reading.up or len(evidence.target.addresses) == 1:
        return reading
    return replace(reading, detail=f"{row.address}: {reading.detail or reading.outcome.value}")


def _read_hbone(evidence: Evidence, memory: Memory, row: AddressEvidence) -> PortReading:
    seen = row.hbone
    if seen is None:
        return PortReading(Outcome.NO_ACCESS, "it was not probed")
    if seen.outcome is not Outcome.OK:
        return _read_failure(evidence, memory, row, seen)
    last = current_hello(memory, row)
    if last is None:
        return PortReading(Outcome.CAPTURED, "no TLS hello was sent")
    hello = last.seen
    if hello.outcome is not Outcome.OK:
        detail = _ENDINGS.get(hello.outcome, hello.detail)
        # A TLS alert is ztunnel's answer to a hello that it does not take, and proves no more.
        is_alert = hello.outcome is Outcome.TLS_ERROR
        return PortReading(hello.outcome, detail, hello.seconds, is_undecided=is_alert)
    if is_anothers(last):
        detail = "its certificate has no SPIFFE identity"
        return PortReading(Outcome.WRONG_IDENTITY, detail, hello.seconds)
    return PortReading(Outcome.OK, "the workload's certificate came", hello.seconds)


_ENDINGS = {
    Outcome.TIMEOUT: "a TLS hello is not answered",
    Outcome.CLOSED: "a TLS hello is closed without a certificate",
    Outcome.RESET: "a TLS hello is closed without a certificate",
    Outcome.TLS_ERROR: "a TLS hello is answered with a TLS alert",
    Outcome.WRONG_PROTOCOL: "a TLS hello is answered by something else",
}


def _read_failure(
    evidence: Evidence, memory: Memory, row: AddressEvidence, seen: Observation
) -> PortReading:
    """A connect that did not come about: the pod's doing, or the network's."""
    in_pod = is_served_in_pod(evidence, memory, row)
    if seen.outcome.is_silent:
        is_ready = kubernetes_reports_ready(evidence.target.lifecycle)
        is_blocked = row.responds or in_pod or is_ready
        outcome = Outcome.BLOCKED if is_blocked else seen.outcome
        return PortReading(outcome, "it does not answer", seen.seconds)
    if refuses(seen) and in_pod:
        return PortReading(Outcome.BLOCKED, "it refuses, and ztunnel serves it in the pod")
    return PortReading(seen.outcome, seen.detail, seen.seconds)


def _read_inbound(evidence: Evidence, memory: Memory, row: AddressEvidence) -> PortReading:
    """15006, by the control port, which nobody but the redirection can accept."""
    if not evidence.target.captured:
        return PortReading(Outcome.CAPTURED, "inbound connections bypass ztunnel by configuration")
    seen = row.control
    if seen is None:
        return PortReading(Outcome.CAPTURED, "no control port shows redirection here")
    if refuses(seen):
        return _read_refusal(evidence, memory, row, seen)
    if seen.outcome is not Outcome.OK:
        return _read_failure(evidence, memory, row, seen)
    last = current_hello(memory, row)
    if last is None and accepts(row.hbone):
        return PortReading(Outcome.CAPTURED, "no TLS hello was sent")
    if last is not None and last.seen.outcome is Outcome.TIMEOUT:
        return PortReading(Outcome.TIMEOUT, "a TLS hello to 15008 is not answered")
    if last is not None and is_anothers(last):
        return PortReading(Outcome.CAPTURED, "another process answers on 15008")
    return PortReading(Outcome.OK, "the redirection accepts", seen.seconds)


def _read_refusal(
    evidence: Evidence, memory: Memory, row: AddressEvidence, seen: Observation
) -> PortReading:
    """The control port refuses: the redirection is missing, or nobody is behind it."""
    if refuses(row.hbone):
        return _read_failure(evidence, memory, row, seen)
    last = current_hello(memory, row)
    if last is not None and is_anothers(last):
        return PortReading(Outcome.REFUSED, "the control port refuses", seen.seconds)
    if accepts(row.hbone):
        return PortReading(Outcome.CAPTURED, "redirection is missing")
    return PortReading(Outcome.CAPTURED, "the control port refuses; 15008 was not reached")


def _read_outbound(evidence: Evidence, memory: Memory, port: TargetPort) -> PortReading:
    """15001: no connection shows it; its socket does, where a hello was answered."""
    rows = addresses_of(evidence)
    hbone = [_read_hbone(evidence, memory, row) for row in rows]
    serves = bool(hbone) and all(reading.up for reading in hbone)
    if serves and _owners(memory, port):
        return PortReading(Outcome.OK, "ztunnel listens on it", view=View.POD)
    return PortReading(Outcome.CAPTURED, structural=True)


def _owners(memory: Memory, port: TargetPort) -> bool:
    return any(row.port == port.number for row in memory.listening)


def _nobody_listens(evidence: Evidence, memory: Memory, port: TargetPort) -> bool:
    """Whether the pod's socket table, read in this poll, does not have the port."""
    return evidence.sockets is not None and memory.sockets is not None and not _owners(memory, port)
