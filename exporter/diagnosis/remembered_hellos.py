"""Which TLS hellos of the control port are remembered, per address. Pure.

The rule: one hello that times out does not outweigh a valid certificate while Envoy answers.
"""

from exporter.diagnosis.evidence import Evidence
from exporter.diagnosis.memory_update import MemoryUpdate
from exporter.model import Memory, Observation, Outcome, PortName, Timestamped, TlsFacts


def remember_hellos(evidence: Evidence, update: MemoryUpdate) -> None:
    """Keep what a hello decided, per address, until the control port no longer accepts there."""
    for connect in evidence.connects:
        if connect.outcome is Outcome.REFUSED and connect.address in update.before.hello:
            update.mapping("hello").pop(connect.address, None)
            update.changes["hello_missed"] = update.before.hello_missed - {connect.address}
    for hello in evidence.hellos:
        update.changes["hello_sent_at"] = update.now
        if hello.outcome in _NO_CONNECTION:
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
    facts = last.value.facts
    certificate = facts.certificate if isinstance(facts, TlsFacts) else None
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
