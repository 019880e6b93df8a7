"""Which TLS hellos are remembered, per address: through the control port, and to 15008. Pure.

The rule: one hello that times out does not outweigh a valid certificate while Envoy answers.
"""

from msgspec.structs import replace

from exporter.diagnosis.evidence import Evidence
from exporter.diagnosis.freshness import KEPT_INTERVALS, PROOF_INTERVALS
from exporter.diagnosis.memory_update import MemoryUpdate
from exporter.diagnosis.workload_evidence import accepts, addresses_of, ending_of
from exporter.model import (
    HboneHello,
    Memory,
    Observation,
    Outcome,
    PortName,
    ProbeKind,
    Timestamped,
)


def remember_hellos(evidence: Evidence, update: MemoryUpdate) -> None:
    """Keep what a hello decided, per address, until the control port no longer accepts there."""
    for connect in evidence.connects:
        if connect.outcome is Outcome.REFUSED and connect.address in update.before.hello:
            update.mapping("hello").pop(connect.address, None)
            update.changes["hello_missed"] = update.before.hello_missed - {connect.address}
    for hello in evidence.hellos:
        update.changes["hello_sent_at"] = update.now
        if hello.outcome in _NO_CONNECTION or hello.connected is False:
            continue
        missed = update.changes.get("hello_missed", update.before.hello_missed)
        if _is_first_miss(evidence, update.before, hello):
            update.changes["hello_missed"] = missed | {hello.address}
            continue
        update.mapping("hello")[hello.address] = Timestamped(hello, update.now)
        if hello.address in missed:
            update.changes["hello_missed"] = missed - {hello.address}


_NO_CONNECTION = {Outcome.REFUSED, Outcome.REJECTED, Outcome.UNREACHABLE, Outcome.NO_ACCESS}


def _is_first_miss(evidence: Evidence, before: Memory, hello: Observation) -> bool:
    """Whether one lost hello stands against a valid certificate and an Envoy that answers."""
    last = before.hello.get(hello.address)
    if hello.outcome is not Outcome.TIMEOUT or last is None or hello.address in before.hello_missed:
        return False
    certificate = last.value.certificate
    if last.value.outcome is not Outcome.OK or certificate is None:
        return False
    return certificate.not_after > evidence.wall and _envoy_answers(evidence, hello.address)


def _envoy_answers(evidence: Evidence, address: str) -> bool:
    """Whether a port of Envoy's own answers in this poll, at this address or in the pod view."""
    numbers = [evidence.named[name].number for name in _OF_ENVOY if name in evidence.named]
    over_network = (seen for number in numbers for seen in evidence.network.get(number, ()))
    in_pod = (evidence.pod[number] for number in numbers if number in evidence.pod)
    return any(seen.outcome.proves for seen in in_pod) or any(
        seen.outcome.proves and seen.address == address for seen in over_network
    )


_OF_ENVOY = (PortName.HEALTH, PortName.STATS)
"""The catalogue's names of 15021 and 15090."""


_IN_POD = ""


def remember_hbone(evidence: Evidence, update: MemoryUpdate) -> None:
    """Keep the last hello of each address; it is current while 15008 accepts."""
    before = update.before.hbone
    known = {
        address: hello
        for address, hello in before.items()
        if _is_kept(evidence, update.before, address, hello)
    }
    _note_connects(evidence, known)
    for hello in evidence.hellos:
        if hello.outcome not in _NO_CONNECTION and hello.connected is not False:
            known[hello.address] = _after(known.get(hello.address), hello, update.now)
    for hello in evidence.pod.values():
        if hello.probe.kind is ProbeKind.HBONE_HELLO:
            known[_IN_POD] = _after(known.get(_IN_POD), hello, update.now)
    if known != before:
        update.changes["hbone"] = known


def _note_connects(evidence: Evidence, known: dict[str, HboneHello]) -> None:
    """15008 no longer accepts: what was shown is not current. It accepts: the doubt is over."""
    for row in addresses_of(evidence):
        last = known.get(row.address)
        if accepts(row.hbone):
            known.pop(_IN_POD, None)
        elif last and last.is_current and row.hbone is not None:
            known[row.address] = replace(last, is_current=False)


def _is_kept(evidence: Evidence, before: Memory, address: str, hello: HboneHello) -> bool:
    poll = evidence.config.poll
    if address == _IN_POD:
        return evidence.now - hello.at <= KEPT_INTERVALS * before.effective(poll.detail_interval)
    limit = PROOF_INTERVALS * before.effective(poll.identity_interval)
    return address in evidence.target.addresses and evidence.now - hello.at <= limit


def _after(last: HboneHello | None, hello: Observation, now: float) -> HboneHello:
    is_alike = last is not None and last.is_current and ending_of(last.seen) == ending_of(hello)
    return HboneHello(
        seen=hello,
        at=now,
        alike=last.alike + 1 if last and is_alike else 1,
        certificate=hello.certificate or (last.certificate if last else None),
    )
