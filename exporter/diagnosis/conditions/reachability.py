"""Conditions of the causes that lie around a target: exporter, Kubernetes, node, network. Pure."""

from exporter.catalogue import TargetPort
from exporter.catalogue.gateway_servers import is_server
from exporter.diagnosis.case import Case, Sentences
from exporter.diagnosis.conditions.ambient_workload import admit_advice
from exporter.diagnosis.conditions.istiod_replica import is_called
from exporter.diagnosis.evidence import UNANSWERED, describe
from exporter.diagnosis.inbound import direct_at
from exporter.diagnosis.liveness import READINESS_PORTS, kubernetes_reports_ready
from exporter.diagnosis.memory import is_initializing
from exporter.model import Expectation, Observation, Outcome, PortName, Role
from exporter.model.lifecycle import UNSCHEDULED

_CAPTURED_OR_LOOPBACK = frozenset(
    {PortName.ADMIN, PortName.VIRTUAL_INBOUND, PortName.VIRTUAL_OUTBOUND}
)


def exporter_is_suspect(case: Case) -> Sentences:
    """The exporter sits in the mesh, or could not open a single connection of its own."""
    if case.evidence.in_mesh:
        return ("the exporter is inside the mesh: its own sidecar answers for every target",)
    seen = [one for group in case.evidence.network.values() for one in group]
    seen += case.evidence.connects
    if seen and not case.evidence.pod and all(o.outcome is Outcome.NO_ACCESS for o in seen):
        return (f"the exporter cannot connect: {seen[0].detail or 'no access'}",)
    return None


def exporter_sees_in_part(case: Case) -> Sentences:
    """Some connection could not be opened for want of something of the exporter's own."""
    seen = [one for group in case.evidence.network.values() for one in group]
    failed = [one for one in seen if one.outcome is Outcome.NO_ACCESS]
    if not failed or case.evidence.pod:
        return None
    return (f"the exporter cannot connect to every port: {failed[0].detail or 'no access'}",)


def is_starting(case: Case) -> Sentences:
    """Younger than the start grace and not ready, by Kubernetes or by Envoy's own state.

    A container that was never started, because others are still being prepared, or of which nothing
    is reported is as old as its pod; one that waits to be started again is not starting.
    """
    lifecycle, grace = case.target.lifecycle, case.config.discovery.start_grace
    if (prepared := _is_prepared(case)) is not None:
        return prepared
    is_unreported = lifecycle.container_ready is None and not lifecycle.is_down
    is_as_its_pod = is_unreported or (lifecycle.is_down and not lifecycle.restarts)
    since = _start(case) or (lifecycle.created if is_as_its_pod else None)
    if since is not None:
        is_unscheduled = lifecycle.trouble == UNSCHEDULED
        longest = _LONGEST_PREPARATION_SECONDS if is_unscheduled else grace
        if abs(case.now - since) >= longest or lifecycle.container_ready:
            return None
        is_down = any(verdict.up is False for verdict in case.verdicts.values())
        if lifecycle.container_ready is None and case.is_ready() and not is_down:
            return None
        what = "container started" if since == lifecycle.started else "pod was made"
        return (f"the {what} {case.now - since:.0f} s ago", *case.describe_container())
    if lifecycle.is_down:
        return None
    return _is_initialising(case, grace)


def _start(case: Case) -> float | None:
    """When the container started; when its pod was made, where its node's clock cannot be right.

    The kubelet has written the one, the API server the other: no container is older than its pod,
    or starts far in the future.
    """
    lifecycle = case.target.lifecycle
    started, made = lifecycle.started, lifecycle.created
    if started is None or made is None:
        return started
    is_possible = made <= started < case.now + case.config.discovery.start_grace
    return started if is_possible else made


_LONGEST_PREPARATION_SECONDS = 600.0
"""An image may take so long; after that something is wrong with it."""


def _is_prepared(case: Case) -> Sentences:
    """The kubelet reports that it prepares the container: it pulls the pod's images."""
    lifecycle, proxy = case.target.lifecycle, case.target.lifecycle.proxy_container
    if proxy is None or lifecycle.created is None or not proxy.is_prepared or not proxy.reason:
        return None
    age = case.now - lifecycle.created
    if proxy.last_run or abs(age) >= _LONGEST_PREPARATION_SECONDS:
        return None
    return (f"the pod was made {age:.0f} s ago", *case.describe_container())


def _is_initialising(case: Case, grace: float) -> Sentences:
    since, stats = case.memory.initializing_since, case.evidence.stats()
    if since is None or stats is None or case.now - since >= grace:
        return None
    return ("Envoy is initialising",) if is_initializing(stats) else None


def node_is_gone(case: Case) -> Sentences:
    """Every port silent, and Kubernetes reports that the node is not ready."""
    if not case.evidence.silent or case.target.lifecycle.node_ready is not False:
        return None
    if case.target.lifecycle.terminating or is_starting(case) is None:
        return ("no port answers", "Kubernetes reports that the node is not ready")
    return None


def network_blocks(case: Case) -> Sentences:
    """Ports that the network rejects, or that do not answer it while the proxy provably lives."""
    if case.target.lifecycle.is_down and case.target.role not in _WITHOUT_PROXY:
        return None
    if case.evidence.nothing_responds():
        if kubernetes_reports_ready(case.target.lifecycle):
            return ("no port answers", "Kubernetes reports that container and node are ready")
        return None
    kept = (_kept_from_us(case, port) for port in case.evidence.ports)
    blocked = [seen for seen in kept if seen is not None]
    if not blocked:
        return None
    webhook = case.number(PortName.HTTPS_WEBHOOKS)
    is_webhooks = any(seen.port == webhook for seen in blocked) and is_called(case)
    called = (f"the API server has called the webhook of {webhook}",) if is_webhooks else ()
    return (*map(describe, blocked), *_proof(case), *called)


def reach_advice(case: Case) -> str:
    """Which ports of this target to admit; of one in ambient its own advice."""
    if advice := admit_advice(case):
        return advice
    numbers = [
        str(port.number)
        for port in case.evidence.ports
        if port.expectation is Expectation.OPEN
        and port.probe is not None
        and (port.name in READINESS_PORTS or not port.captured)
        and not is_server(port)
    ]
    *first, last = numbers or ["its ports"]
    ports = f"{', '.join(first)} and {last}" if first else last
    return f"Allow the exporter to reach {ports} in NetworkPolicies and firewalls."


def _kept_from_us(case: Case, port: TargetPort) -> Observation | None:
    """What was seen of an uncaptured port that the network keeps from us, if it does."""
    verdict, seen = case.verdicts.get(port.number), case.evidence.worst(port.number)
    if verdict is None or seen is None or port.name in _CAPTURED_OR_LOOPBACK:
        return None
    if port.expectation is not Expectation.OPEN:
        return None
    if verdict.outcome is Outcome.REJECTED:
        return seen
    if port.name == PortName.HTTPS_WEBHOOKS and not is_called(case):
        return None
    return seen if verdict.outcome is Outcome.BLOCKED or _only_in_pod(case, seen) else None


def _only_in_pod(case: Case, from_network: Observation) -> bool:
    """Whether the pod's own view answers on a port that the network's does not reach."""
    in_pod = case.evidence.pod.get(from_network.port)
    if in_pod is None or not in_pod.outcome.proves or from_network.connected:
        return False
    return all(seen.outcome in UNANSWERED for seen in case.evidence.network[from_network.port])


def _proof(case: Case) -> tuple[str, ...]:
    answering = [seen for seen in case.evidence.pod.values() if seen.outcome.proves]
    if answering:
        return (f"inside the pod {describe(answering[0])}",)
    answered = [name for name in READINESS_PORTS if case.answers(name)]
    return case.describe(*answered) or case.describe_control_port()


def nothing_answers(case: Case) -> Sentences:
    """No connection came about, and Kubernetes does not report that the proxy does not run."""
    if any(seen.connected for seen in case.evidence.pod.values()):
        return None
    if case.evidence.nothing_responds():
        if case.target.lifecycle.is_down:
            return None
        return ("no port answers, not even with a refusal", *case.describe_container())
    return None


_WITHOUT_PROXY = frozenset({Role.ISTIOD, Role.CNI})


def lacks_a_family(case: Case) -> bool:
    """Whether the exporter itself has no address of one of the target's families."""
    return bool(case.evidence.left_out)


def families_differ(case: Case) -> Sentences:
    """One address refuses, or no route leads to it, where another serves.

    Not of admin, which is to be open at neither.
    """
    if len(case.target.addresses) < 2:  # noqa: PLR2004 - one address has no other
        return None
    sentences = [
        f"{port}: {addresses} {does}, another address serves"
        for port, group in case.evidence.network.items()
        if port != case.number(PortName.ADMIN)
        for outcome, does in _FAILS.items()
        if (addresses := _addresses(group, outcome)) and any(seen.outcome.proves for seen in group)
    ]
    connects = case.evidence.connects
    refusing = [
        connect.address
        for connect in connects
        if connect.outcome is Outcome.REFUSED
        and (direct := direct_at(case.evidence, connect.address)) is not None
        and direct.outcome is Outcome.REFUSED
    ]
    if refusing and case.evidence.control_accepts():
        sentences.append(
            f"captured connections to {', '.join(refusing)} are refused, others accepted"
        )
    return tuple(sentences) or None


_FAILS = {Outcome.REFUSED: "refuses", Outcome.UNREACHABLE: "cannot be reached"}


def _addresses(group: list[Observation], outcome: Outcome) -> str:
    return ", ".join(seen.address for seen in group if seen.outcome is outcome)
