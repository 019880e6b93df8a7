"""The port matrix of one poll: observations sorted by what was probed, and from where. Pure.

Flows in: the observations of one target; out: an `Evidence` that `memory`, `verdicts` and
`conditions` read. Its one rule: it sorts and it never judges.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from operator import attrgetter
from typing import Any

from msgspec import Struct

from exporter.catalogue import TargetPort
from exporter.config import Config
from exporter.model import (
    AdminFacts,
    EnvoyStats,
    Observation,
    Outcome,
    PortName,
    ProbeKind,
    Target,
    View,
    WebhookPath,
)

SLOW_SECONDS = 1.0
"""The agent's own limit on the call that its readiness is built on (util/stats.go)."""

UNANSWERED = frozenset({Outcome.TIMEOUT, Outcome.UNREACHABLE, Outcome.REFUSED, Outcome.REJECTED})
"""Outcomes of a port that was not reached: silence, or nobody (or a firewall) refusing."""


class Evidence(Struct, eq=False):
    """What one poll saw of a target.

    `network` and `pod` map ports to observations (network: one per address). `connects` are the
    control port's, `hellos` the TLS hellos sent to it, `direct` the direct connections to 15006.
    `server_hellos` are the hellos to a gateway's servers.
    `sockets` is the pod's socket table. `named` maps the catalogue's port names to the target's
    ports.
    """

    target: Target
    ports: Sequence[TargetPort]
    config: Config
    now: float
    in_mesh: bool = False
    step: float = 0.0
    """How far the wall clock, by which certificates are judged, is ahead of `now`."""
    network: dict[int, list[Observation]] = {}
    pod: dict[int, Observation] = {}
    connects: list[Observation] = []
    hellos: list[Observation] = []
    direct: list[Observation] = []
    server_hellos: list[Observation] = []
    sockets: Observation | None = None
    named: Mapping[PortName, TargetPort] = {}
    webhook: WebhookPath | None = None
    """The API server's connection to the injection webhook, which no port shows."""
    silent: bool = False
    """Every port probed over the network is silent, and there was at least one."""
    responding: set[str] = set()
    """The addresses whose kernel answers: a connection came about, or was refused."""
    rejecting: set[str] = set()
    """The addresses to which the network has rejected a connection."""
    proved_in_pod: bool = False
    """Some port was proved to answer in the pod's view."""
    left_out: tuple[str, ...] = ()
    """The addresses of a family that the exporter itself does not have."""
    workload: tuple[Any, ...] | None = None
    """What was seen of a workload in ambient by address, once `workload_evidence` has sorted it."""
    no_access: dict[int, str] = {}
    """Why the pod's own view of a port, though configured, could not be had."""

    @property
    def wall(self) -> float:
        """The wall clock's time, for the dates of certificates."""
        return self.now + self.step

    def seen(self, name: PortName) -> Observation | None:
        """The deciding observation of the port of that name: the pod's, else the network's."""
        port = self.named.get(name)
        return self.seen_port(port.number) if port else None

    def seen_port(self, number: int) -> Observation | None:
        """The same by number."""
        return self.pod.get(number) or self.worst(number)

    def worst(self, number: int) -> Observation | None:
        """The network's observation of a port: of several addresses the first that fails."""
        found = self.network.get(number)
        if not found:
            return None
        for observation in found:
            if not observation.outcome.proves:
                return observation
        return found[0]

    def all_observations(self) -> Iterator[Observation]:
        """Every observation of a port of its own, from either view."""
        return chain(chain.from_iterable(self.network.values()), self.pod.values())

    def stats(self) -> EnvoyStats | None:
        """Envoy's statistics on 15090 in this poll, if they were read."""
        observation = self.seen(PortName.STATS)
        facts = observation.facts if observation else None
        return facts if isinstance(facts, EnvoyStats) else None

    def admin_state(self) -> str:
        """The state in admin's /ready in this poll; empty where it was not requested."""
        seen = self.seen(PortName.ADMIN)
        facts = seen.facts if seen else None
        return (facts.state or "") if isinstance(facts, AdminFacts) else ""

    def stats_are_slow(self) -> bool:
        """Whether Envoy's main thread took long for 15090, or was silent while 15021 answered."""
        stats, health = self.seen(PortName.STATS), self.seen(PortName.HEALTH)
        if stats is None or stats.outcome.proves:
            return stats is not None and stats.seconds >= SLOW_SECONDS
        is_silent = (
            stats.outcome in (Outcome.TIMEOUT, Outcome.LOST) and stats.connected is not False
        )
        return is_silent and health is not None and health.outcome.proves

    def control_accepts(self) -> bool:
        """Whether the control port accepts on some address: redirection, or Envoy, is there."""
        return any(connect.outcome is Outcome.OK for connect in self.connects)

    def nothing_answers(self) -> bool:
        """Whether no connection was made from anywhere, be it refused, rejected or silent."""
        groups = (*self.network.values(), self.connects, self.pod.values())
        return not any(seen.connected or seen.outcome.proves for g in groups for seen in g)

    def nothing_responds(self) -> bool:
        """Every port silent, no connection come about, and the pod's view shows no answer."""
        return self.silent and not self.responding and not self.proved_in_pod


def read_evidence(evidence: Evidence, observations: Iterable[Observation]) -> Evidence:
    """Fill an empty evidence with the observations of a poll; returns the same object."""
    evidence.named = {port.name: port for port in evidence.ports if isinstance(port.name, PortName)}
    is_silent = was_probed = False
    pod = View.POD
    unserved = evidence.target.unserved_addresses
    for seen in _reachable(evidence, observations):
        if unserved and seen.probe.address in unserved:
            continue
        if seen.probe.view is pod:
            _add_pod(evidence, seen)
            continue
        is_silent = (is_silent or not was_probed) and seen.outcome.is_silent
        was_probed = True
        group = _OF_NO_PORT.get(seen.probe.kind)
        if group is None or seen.probe.kind is ProbeKind.CONTROL:
            _add_address(evidence, seen)
        if group is None:
            evidence.network.setdefault(seen.probe.port, []).append(seen)
        else:
            group(evidence).append(seen)
    evidence.silent = was_probed and is_silent
    return evidence


def _add_address(evidence: Evidence, seen: Observation) -> None:
    if seen.connected or seen.outcome is Outcome.REFUSED:
        evidence.responding.add(seen.probe.address)
    elif seen.outcome is Outcome.REJECTED:
        evidence.rejecting.add(seen.probe.address)


def _add_pod(evidence: Evidence, seen: Observation) -> None:
    probe = seen.probe
    if probe.kind is ProbeKind.SOCKETS:
        evidence.sockets = seen
    elif seen.outcome is Outcome.NO_ACCESS:
        evidence.no_access[probe.port] = seen.detail or "no access"
    else:
        evidence.pod[probe.port] = seen
        evidence.proved_in_pod = evidence.proved_in_pod or seen.outcome.proves


_OF_NO_PORT: Mapping[ProbeKind, Callable[[Evidence], list[Observation]]] = {
    ProbeKind.CONTROL: attrgetter("connects"),
    ProbeKind.HELLO: attrgetter("hellos"),
    ProbeKind.HBONE_HELLO: attrgetter("hellos"),
    ProbeKind.BLACKHOLE: attrgetter("direct"),
    ProbeKind.SERVER_HELLO: attrgetter("server_hellos"),
}
"""Where the observations go that are no port's own: they decide together, or on nothing."""


def _reachable(evidence: Evidence, observations: Iterable[Observation]) -> Iterable[Observation]:
    """Leave out an address family that the exporter does not have, where another answers.

    That no route leads to the host is the target's: it stays.
    """
    if len(evidence.target.addresses) < 2:  # noqa: PLR2004 - one address has no other
        return observations
    kept = list(observations)
    network = [seen for seen in kept if seen.view is View.NETWORK]
    ours = {seen.address for seen in network if not _lacks_family(seen)}
    if not ours:
        return kept
    evidence.left_out = tuple(dict.fromkeys(o.address for o in network if o.address not in ours))
    return [seen for seen in kept if seen.view is View.POD or seen.address in ours]


_NOT_HERE = (
    "network is unreachable",
    "cannot assign requested address",
    "address family not supported",
    "address family not supported by protocol",
)
"""How the kernel says that it is this host that has no address or route of a family."""


def _lacks_family(seen: Observation) -> bool:
    is_ours = seen.outcome in (Outcome.UNREACHABLE, Outcome.NO_ACCESS)
    return is_ours and seen.detail.lower().endswith(_NOT_HERE)


def describe(seen: Observation, number: int | None = None) -> str:
    """One observation as a short sentence for people: "15090 refuses"."""
    port = seen.port if number is None else number
    if seen.outcome.is_silent:
        return f"{port} {'accepts and stays silent' if seen.connected else 'does not answer'}"
    is_closed = seen.outcome is Outcome.REFUSED and seen.connected
    if (seen.outcome is Outcome.REJECTED or is_closed) and seen.detail:
        return f"{port} is {seen.detail}"
    return f"{port} {_WORDS.get(seen.outcome, seen.outcome.value)}"


_WORDS = {
    Outcome.OK: "answers",
    Outcome.REFUSED: "refuses",
    Outcome.REJECTED: "is rejected by the network",
    Outcome.RESET: "resets",
    Outcome.CLOSED: "closes",
    Outcome.NOT_READY: "answers: not ready",
    Outcome.FORBIDDEN: "forbids",
    Outcome.HTTP_ERROR: "answers with an HTTP error",
    Outcome.TLS_ERROR: "fails the TLS handshake",
    Outcome.WRONG_PROTOCOL: "answers in another protocol",
    Outcome.WRONG_IDENTITY: "is answered by another process",
    Outcome.TOO_LARGE: "answers with a page over the limit",
    Outcome.NO_ACCESS: "could not be asked",
    Outcome.CAPTURED: "is answered by the redirection only",
    Outcome.BLOCKED: "is blocked on the way",
    Outcome.LOST: "did not answer once",
}
