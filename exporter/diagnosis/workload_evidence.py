"""What a poll saw of a workload in ambient, address by address, and in its pod. Pure.

Three half-open connects show who serves the pod: 15008, ztunnel's own socket, which is not
redirected; the control port, which only the redirection can accept; and ports of the application.
"""

from collections.abc import Iterable
from itertools import chain

from msgspec import Struct

from exporter.catalogue import port_number_of
from exporter.diagnosis.evidence import Evidence
from exporter.diagnosis.port_owner import OWNERS
from exporter.model import (
    Component,
    HboneHello,
    ListeningSocket,
    Memory,
    Observation,
    Outcome,
    PortName,
    ProbeKind,
    SocketTable,
    Target,
)

RENEWED_AT = 0.55
"""ztunnel renews at half of a certificate's lifetime; a twentieth more is what that may take."""

_WAITS_SECONDS = 4.0
"""ztunnel waits 5 s for istiod to name a workload; with a certificate refused it closes at once."""


class AddressEvidence(Struct, eq=False):
    """What one poll saw at one address; None where that was not probed."""

    address: str
    hbone: Observation | None = None
    control: Observation | None = None
    applications: list[Observation] = []

    @property
    def family(self) -> str:
        """Its address family, for people."""
        return "IPv6" if ":" in self.address else "IPv4"

    @property
    def all(self) -> list[Observation]:
        """Every observation of this address."""
        return [one for one in (self.hbone, self.control, *self.applications) if one is not None]

    @property
    def is_silent(self) -> bool:
        """Whether something was probed and nothing came back."""
        return bool(self.all) and all(one.outcome.is_silent for one in self.all)

    @property
    def responds(self) -> bool:
        """Whether the pod's kernel accepted or reset a connection, or the network rejected one."""
        return any(one.outcome in _RESPONSES for one in self.all)

    @property
    def application_accepts(self) -> bool:
        """Whether one of the application's ports accepts."""
        return any(one.outcome is Outcome.OK for one in self.applications)

    @property
    def lets_strangers_in(self) -> bool:
        """Whether neither 15008 nor redirection is there, and the application accepts.

        Redirection without 15008 would refuse for the application, too: a control port that the
        network keeps from us says nothing else. Where 15008 is kept from us, the control port has
        to refuse.
        """
        if self.hbone is not None and self.hbone.outcome.is_silent:
            return refuses(self.control) and self.application_accepts
        is_redirected = self.control is None or accepts(self.control)
        return refuses(self.hbone) and not is_redirected and self.application_accepts

    @property
    def lacks_ztunnel(self) -> bool:
        """Whether 15008 refuses, or is silent while strangers get in."""
        return refuses(self.hbone) or self.lets_strangers_in


_RESPONSES = frozenset({Outcome.OK, Outcome.REFUSED, Outcome.REJECTED})


def accepts(seen: Observation | None) -> bool:
    """Whether it was probed and accepts."""
    return seen is not None and seen.outcome is Outcome.OK


def refuses(seen: Observation | None) -> bool:
    """Whether it was probed and the pod resets it; what the network rejects is no refusal."""
    return seen is not None and seen.outcome is Outcome.REFUSED


def by_address(target: Target, observations: Iterable[Observation]) -> tuple[AddressEvidence, ...]:
    """The half-open connects of a poll, sorted."""
    hbone = port_number_of(target, PortName.HBONE)
    found: dict[str, AddressEvidence] = {}
    for seen in observations:
        if not seen.address or seen.probe.kind is ProbeKind.HBONE_HELLO:
            continue
        row = found.setdefault(seen.address, AddressEvidence(seen.address))
        if seen.probe.kind is ProbeKind.CONTROL:
            row.control = seen
        elif seen.port == hbone:
            row.hbone = seen
        elif seen.port in target.settings.application_ports:
            row.applications.append(seen)
    return tuple(found.values())


def addresses_of(evidence: Evidence) -> tuple[AddressEvidence, ...]:
    """The same of evidence that was read; sorted once."""
    if evidence.workload is None:
        observations = chain(evidence.connects, *evidence.network.values())
        evidence.workload = by_address(evidence.target, observations)
    return evidence.workload


def current_hello(memory: Memory, seen: AddressEvidence) -> HboneHello | None:
    """The last hello at an address whose 15008 has accepted ever since."""
    last = memory.hbone.get(seen.address)
    return last if last and last.is_current and accepts(seen.hbone) else None


def ending_of(hello: Observation) -> str:
    """How a hello ended, in one word: two that end alike have the same reason."""
    if hello.outcome in (Outcome.CLOSED, Outcome.RESET):
        return "late" if hello.seconds >= _WAITS_SECONDS else "early"
    return hello.outcome.value


def is_anothers(last: HboneHello) -> bool:
    """Whether something that is no ztunnel answered a hello: not TLS, or without identity."""
    if last.seen.outcome is Outcome.OK:
        return last.presented is None or not last.presented.spiffe_id
    return last.seen.outcome in (Outcome.WRONG_PROTOCOL, Outcome.WRONG_IDENTITY)


def is_served_in_pod(evidence: Evidence, memory: Memory, row: AddressEvidence) -> bool | None:
    """Whether ztunnel listens in the pod for this address; None: not known.

    By the socket table, or by a hello there, which does not show in which family. A ztunnel that is
    shared by the node's pods is no process of this one: the table then names no owner.
    """
    port = port_number_of(evidence.target, PortName.HBONE)
    table = evidence.sockets.facts if evidence.sockets else None
    if isinstance(table, SocketTable):
        return any(
            socket.port == port and _may_be_ztunnels(socket.process) and _takes(socket, row)
            for socket in table.listening
        )
    in_pod = memory.hbone.get("")
    return _SHOWS_ZTUNNEL.get(in_pod.seen.outcome) if in_pod else None


def awaits_pod_view(memory: Memory) -> bool:
    """Whether a port-forward is to show that first, and none was free yet in two polls at most."""
    in_pod = memory.hbone.get("")
    if in_pod is None or in_pod.seen.outcome is not Outcome.BLOCKED:
        return False
    return in_pod.alike <= _MOST_WAITS


_MOST_WAITS = 2
_SHOWS_ZTUNNEL = {Outcome.OK: True, Outcome.TLS_ERROR: True, Outcome.REFUSED: False}
"""What a hello in the pod shows; that a port-forward ends may be its own doing."""


def _takes(socket: ListeningSocket, row: AddressEvidence) -> bool:
    """Whether a socket takes connections to the address: one of `::` usually takes both."""
    return socket.address in ("*", "::") or (":" in socket.address) == (":" in row.address)


def _may_be_ztunnels(process: str) -> bool:
    return not process or process.startswith(OWNERS[Component.ZTUNNEL])


def is_bypassed_in_ambient(evidence: Evidence, memory: Memory) -> bool:
    """Whether plaintext reaches the application past ztunnel at some address."""
    is_open = not awaits_pod_view(memory)
    return any(
        (is_open and row.lets_strangers_in and not is_served_in_pod(evidence, memory, row))
        or lacks_redirection(evidence, memory, row)
        for row in addresses_of(evidence)
    )


def lacks_redirection(evidence: Evidence, memory: Memory, row: AddressEvidence) -> bool:
    """Whether ztunnel serves 15008 at an address and its redirection does not accept.

    Where hellos are allowed, one has to have shown that it is ztunnel.
    """
    if not (evidence.target.captured and accepts(row.hbone) and refuses(row.control)):
        return False
    last = current_hello(memory, row)
    if last is None:
        return not evidence.config.poll.hello
    return not is_anothers(last)


def families(rows: Iterable[AddressEvidence], evidence: Evidence) -> str:
    """The families of these addresses, for the end of a sentence; empty where there is one only."""
    if len(evidence.target.addresses) == 1:
        return ""
    return " over " + " and ".join(dict.fromkeys(row.family for row in rows))
