"""What the TLS hellos to a workload's 15008 leave for the next polls, per address. Pure."""

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
    ProbeKind,
    TlsFacts,
)

_IN_POD = ""
_NO_CONNECTION = {Outcome.REFUSED, Outcome.REJECTED, Outcome.UNREACHABLE, Outcome.NO_ACCESS}


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
    limit = PROOF_INTERVALS * before.effective(max(poll.identity_interval, poll.interval))
    return address in evidence.target.addresses and evidence.now - hello.at <= limit


def _after(last: HboneHello | None, hello: Observation, now: float) -> HboneHello:
    facts = hello.facts
    certificate = facts.certificate if isinstance(facts, TlsFacts) else None
    is_alike = last is not None and last.is_current and ending_of(last.seen) == ending_of(hello)
    return HboneHello(
        seen=hello,
        at=now,
        alike=last.alike + 1 if last and is_alike else 1,
        certificate=certificate or (last.certificate if last else None),
    )
