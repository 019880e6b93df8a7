"""Conditions of the causes in a proxy's processes: Envoy and its agent.

Pure. 15020 is the agent, 15021 and 15090 are Envoy.
"""

from collections.abc import Iterator

from exporter.catalogue.gateway_servers import is_server
from exporter.diagnosis.case import Case, Sentences
from exporter.diagnosis.conditions.rejected_updates import LISTENERS
from exporter.diagnosis.container_evidence import duration
from exporter.diagnosis.evidence import SLOW_SECONDS, Evidence
from exporter.diagnosis.inbound import is_bypassed
from exporter.diagnosis.liveness import READINESS_PORTS
from exporter.diagnosis.port_owner import bind_failures, foreign_connection, foreign_listener
from exporter.model import (
    PROXY_ROLES,
    ContainerState,
    Expectation,
    Interception,
    Observation,
    Outcome,
    PortName,
    ProbeKind,
    Role,
)
from exporter.model.lifecycle import UNSCHEDULED

_OWN = (
    PortName.STATUS,
    PortName.HEALTH,
    PortName.STATS,
    PortName.VIRTUAL_INBOUND,
    PortName.ADMIN,
    PortName.VIRTUAL_OUTBOUND,
    PortName.CONNECT_TERMINATE,
)
_FOREIGN = frozenset({Outcome.WRONG_IDENTITY, Outcome.WRONG_PROTOCOL})


def port_is_taken(case: Case) -> Sentences:
    """One of the proxy's ports is another process's."""
    servers = (port.number for port in case.evidence.ports if is_server(port))
    verdicts = (*map(case.verdict, _OWN), *map(case.verdicts.get, servers))
    taken = [
        f"{verdict.port}: {verdict.detail or 'another process answers'}"
        for verdict in verdicts
        if verdict is not None and verdict.outcome in _FOREIGN
    ]
    taken += _held_by_connections(case)
    return tuple(taken) or _taken_by_report(case)


def _held_by_connections(case: Case) -> list[str]:
    """Ports of the proxy that refuse while another process's connection has them as local port."""
    refusing = [case.evidence.named[name] for name in _OWN if case.refuses(name)]
    held = ((port.number, foreign_connection(case.memory, port)) for port in refusing)
    return [f"{number}: {why}" for number, why in held if why]


def _taken_by_report(case: Case) -> Sentences:
    """The socket table or Envoy's own reason shows another process on a listener's address.

    In interception NONE Envoy binds the addresses of services, which may be the application's.
    """
    named = case.evidence.named
    owners = [foreign_listener(case.memory, named[name]) for name in LISTENERS if name in named]
    taken = tuple(filter(None, owners))
    if taken or case.target.settings.interception is Interception.NONE:
        return taken or None
    failed = bind_failures(case.memory)
    return tuple(f"{listener}: {reason}" for listener, reason in failed.items()) or None


def proxy_is_down(case: Case) -> Sentences:
    """Everything refuses; or Envoy's ports do while the agent still returns 200.

    Or nothing answers, by silence or rejection, and Kubernetes reports that it does not run.
    """
    found = None if case.evidence.nothing_responds() else _is_refused(case)
    return (*found, *case.describe_container()) if found else describe_if_down(case)


def describe_if_down(case: Case) -> Sentences:
    """That nothing answers and Kubernetes reports that the container does not run, else None."""
    if not case.target.lifecycle.is_down or not case.evidence.nothing_answers():
        return None
    return ("no port answers", *case.describe_container())


def start_remedy(case: Case) -> str:
    """What to do where the container cannot be started at all; empty elsewhere."""
    lifecycle = case.target.lifecycle
    proxy = lifecycle.proxy_container
    if lifecycle.trouble == UNSCHEDULED:
        return _UNSCHEDULED_REMEDY
    if proxy is None or proxy.state is not ContainerState.WAITING or not lifecycle.is_down:
        return ""
    if proxy.lacks_image:
        return (
            f"The kubelet cannot pull the image of {proxy.name}: check its name, the registry and"
            " the pull secret (kubectl describe pod)."
        )
    if not proxy.was_never_made:
        return ""
    roots = _ROOTS if case.target.role in PROXY_ROLES else ""
    return _UNSTARTED_REMEDY.format(proxy.name, roots)


_UNSCHEDULED_REMEDY = (
    "No node takes the pod: kubectl describe pod shows what is missing, such as CPU, memory, a host"
    " port, a volume or a toleration."
)
_UNSTARTED_REMEDY = (
    "The kubelet has not started {}: a volume, a config map{} or secret, or the pod's network is"
    " missing; kubectl describe pod shows which."
)
_ROOTS = " (istio-ca-root-cert, which istiod writes into every namespace that it watches)"


def down_remedy(case: Case) -> str:
    """The same of a proxy, or what to do where its agent ended on request; empty elsewhere."""
    return start_remedy(case) or (_ON_REQUEST_REMEDY if _ended_on_request(case) else "")


def _ended_on_request(case: Case) -> bool:
    """Whether the container does not run though its last run was no failure.

    The agent ends with 0 after a SIGTERM alone: the kubelet sends it where a hook or a probe fails
    (pilot/cmd/pilot-agent, istio/istio#45627).
    """
    proxy = case.target.lifecycle.proxy_container
    if proxy is None or proxy.last_run is None or PortName.STATUS not in case.evidence.named:
        return False
    return case.target.lifecycle.is_down and str(proxy.last_run) == _CLEAN_END


_CLEAN_END = "Completed (exit code 0)"
_ON_REQUEST_REMEDY = (
    "It did not fail, it was told to end: by the kubelet, whose hook or probe failed (with"
    " holdApplicationUntilProxyStarts the proxy has a minute to become ready), or by a POST to"
    " /quitquitquit; kubectl describe pod shows which. If it was never ready, look at the way to"
    " istiod's 15012. Where restartPolicy keeps it from starting again, delete the pod."
)


_AGENT_WITHOUT_ENVOY = (Outcome.REFUSED, Outcome.OK, Outcome.NO_ACCESS, Outcome.TIMEOUT, None)
"""What 15020 may answer where Envoy does not run; a 503 has causes of its own."""


def _is_refused(case: Case) -> Sentences:
    if case.evidence.control_accepts():
        return None
    if is_bypassed(case.evidence) or case.is_up(PortName.VIRTUAL_INBOUND):
        return None
    match case.target.role:
        case Role.SIDECAR | Role.GATEWAY | Role.WAYPOINT:
            down = case.refuses(PortName.HEALTH, PortName.STATS) and (
                case.agent_answer() in _AGENT_WITHOUT_ENVOY
            )
            return (*case.describe(*_OWN[:3]), *case.describe_control_port()) if down else None
        case Role.PROXYLESS:
            names: tuple[PortName, ...] = (PortName.STATUS,)
        case Role.ZTUNNEL:
            names = (PortName.STATS, PortName.READINESS)
        case _:
            names = (PortName.METRICS, PortName.READINESS)
    return case.describe(*names) if case.refuses(*names) else None


def container_is_starved(case: Case) -> Sentences:
    """Every port that is sent a request accepts and stays silent, a hello to 15006 too.

    The kernel accepts for processes that get no CPU, so that a bare connect succeeds.
    """
    requested = list(_requested(case.evidence))
    if not any(seen.connected for seen in requested):
        return None
    if not all(seen.outcome.is_silent for seen in requested):
        return None
    if is_bypassed(case.evidence) or case.is_up(PortName.VIRTUAL_INBOUND):
        return None
    return ("every port accepts and stays silent", *_throttling(case), *_describe_all(case))


def connections_are_ended(case: Case) -> Sentences:
    """Every port that is sent a request accepts and ends the connection without an answer.

    The agent may answer all the same: Envoy's limits are not its. A hello to 15006 that is reset
    alone proves nothing: mTLS may be off. For a proxy in ambient ztunnel accepts, whatever is
    behind it.
    """
    if case.target.settings.ambient or case.is_up(PortName.VIRTUAL_INBOUND):
        return None
    agents = case.number(PortName.STATUS) if case.answers(PortName.STATUS) else 0
    requested = [seen for seen in _requested(case.evidence) if seen.port != agents]
    is_ended = requested and all(seen.outcome in _ENDED for seen in requested)
    if not is_ended or not any(seen.connected for seen in requested):
        return None
    ports = "every port of Envoy" if agents else "every port"
    sentence = f"{ports} accepts, and ends each connection without an answer"
    return (sentence, *_describe_all(case))


def _describe_all(case: Case) -> tuple[str, ...]:
    ports = case.describe(*READINESS_PORTS, PortName.METRICS, PortName.READINESS)
    return (*ports, *case.describe_control_port(), *case.describe_container())


_ENDED = frozenset({Outcome.RESET, Outcome.CLOSED})


def _throttling(case: Case) -> tuple[str, ...]:
    """What the container's cgroup counts, where it was read; nothing where it has no limit."""
    found = case.memory.sockets.value.throttling if case.memory.sockets else None
    if found is None:
        return ()
    periods = f"in {found.throttled} of {found.periods} periods since its start"
    seconds = f"for {duration(found.seconds)} in all"
    return (f"its CPU limit has throttled the container {periods}, {seconds}",)


def _requested(evidence: Evidence) -> Iterator[Observation]:
    """What was seen of the ports that have to answer, where more than a connect was made."""
    for port in evidence.ports:
        if port.expectation not in _SERVED:
            continue
        for seen in evidence.network.get(port.number, ()):
            kind = seen.probe.kind
            if not kind.is_answered_by_closing and kind is not ProbeKind.EXPOSURE:
                yield seen
        in_pod = evidence.pod.get(port.number)
        if in_pod is not None and not in_pod.probe.kind.is_answered_by_closing:
            yield in_pod
    yield from evidence.hellos


_SERVED = frozenset({Expectation.OPEN, Expectation.LOOPBACK})


def envoy_is_stuck(case: Case) -> Sentences:
    """The agent answers, or is gone; Envoy's ports are silent, and one of them accepts."""
    probed = [name for name in (PortName.HEALTH, PortName.STATS) if case.outcome(name) is not None]
    answer = case.agent_answer()
    is_known = answer is not None and (answer.proves or answer is Outcome.REFUSED)
    is_silent = all(case.outcome(name) is Outcome.TIMEOUT for name in probed)
    if not is_known or not is_silent or not any(map(case.hangs, probed)):
        return None
    if case.is_up(PortName.VIRTUAL_INBOUND):
        return None
    return (*case.describe(PortName.STATUS, *probed), *case.describe_control_port())


def agent_is_stuck(case: Case) -> Sentences:
    """15020 accepts and stays silent while Envoy answers by itself, and not slowly.

    The agent's readiness waits for Envoy's statistics: where those are slow, so is 15020.
    """
    if not case.hangs(PortName.STATUS) or case.outcome(PortName.STATUS) is Outcome.BLOCKED:
        return None
    stats = case.evidence.seen(PortName.STATS)
    if stats is not None and stats.outcome.proves and stats.seconds >= SLOW_SECONDS:
        return None
    if case.target.role is Role.PROXYLESS:
        return case.describe(PortName.STATUS)
    if case.answers(PortName.STATS) or case.is_up(PortName.VIRTUAL_INBOUND):
        return case.describe(*READINESS_PORTS)
    return None


def agent_is_gone(case: Case) -> Sentences:
    """15020 refuses, Envoy answers, and relays nothing but its own 503.

    In place of a status port that is captured Envoy answers itself that nothing listens there.
    """
    if not case.answers(PortName.STATS) and not case.answers(PortName.HEALTH):
        return None
    seen = case.evidence.seen(PortName.STATUS)
    is_unserved = seen is not None and seen.probe.captured and seen.outcome is Outcome.CAPTURED
    if not is_unserved and case.outcome(PortName.STATUS) is not Outcome.REFUSED:
        return None
    if case.outcome(PortName.HEALTH) is Outcome.OK:
        return None
    return case.describe(*READINESS_PORTS)
