"""Conditions of the causes on a proxy that runs: redirection, istiod, statistics, data. Pure."""

from exporter.catalogue import TargetPort
from exporter.catalogue.gateway_servers import is_server
from exporter.diagnosis.case import Case, Sentences
from exporter.diagnosis.conditions.istiod_replica import debug_refusal
from exporter.diagnosis.container_evidence import duration
from exporter.diagnosis.inbound import is_bypassed
from exporter.diagnosis.liveness import READINESS_PORTS
from exporter.diagnosis.memory_update import has_no_servers
from exporter.diagnosis.proxy_status import xds_failures
from exporter.diagnosis.verdicts import exposed_by
from exporter.model import Outcome, PortName

_SERVER_ERROR = 500

_TWICE = 2
"""Agent and Envoy are probed one after the other, so a single poll may fall between two states."""


def redirection_is_missing(case: Case) -> Sentences:
    """Capture is expected, the control port refuses, and 15006 itself accepts and closes."""
    if not case.target.captured or case.outcome(PortName.HEALTH) is not Outcome.OK:
        return None
    if not is_bypassed(case.evidence):
        return None
    return (
        *case.describe(PortName.HEALTH),
        "the control port refuses",
        f"{case.number(PortName.VIRTUAL_INBOUND)} itself accepts and closes",
        *_noted_by_cni(case),
    )


def _noted_by_cni(case: Case) -> tuple[str, ...]:
    """What istio-cni's repair has noted on a pod that came up before it could set redirection up.

    Source: Istio cni/pkg/repair (label-pods).
    """
    if case.target.labels.get(_UNINITIALIZED) != "true":
        return ()
    return (f"istio-cni has labelled the pod {_UNINITIALIZED}: it set no redirection up here",)


_UNINITIALIZED = "cni.istio.io/uninitialized"


def admin_is_open(case: Case) -> Sentences:
    """15000 answers from the network, or listens where the network reaches it."""
    exposed = exposed_by(case.evidence, case.memory)
    return (exposed,) if exposed else None


_LONGEST_HELD_SECONDS = 120.0
"""The kubelet probes every few seconds, and one success is enough; a busy one reports it late."""


def kubelet_is_cut_off(case: Case) -> Sentences:
    """What the kubelet probes is ready for us, and the container stays not ready for minutes."""
    since, lifecycle = case.memory.held_since, case.target.lifecycle
    if since is None:
        return None
    longest = max(_LONGEST_HELD_SECONDS, lifecycle.unready_after or 0.0)
    if case.now - since <= longest:
        return None
    number, held = lifecycle.probed_port, f"has been ready for us for {duration(case.now - since)}"
    if _unserved_port(case):
        ready = f"{case.number(PortName.STATUS)} {held}"
        return (ready, f"the kubelet probes {number}, which is no port of this proxy's")
    return (f"{number}, which the kubelet probes, {held}", *case.describe_container())


def _unserved_port(case: Case) -> int:
    """The port that the kubelet probes where the proxy has no such port; else 0."""
    number = case.target.lifecycle.probed_port
    return 0 if any(port.number == number for port in case.evidence.ports) else number


def kubelet_remedy(case: Case) -> str:
    """What to do about a probe of a port that the proxy does not have; empty where it has it."""
    return _PROBE_REMEDY if _unserved_port(case) else ""


_PROBE_REMEDY = (
    "Give the readiness probe the port on which the proxy reports its readiness, or that its usual"
    " one: ENVOY_STATUS_PORT moves it from 15021, and the probe that is injected stays there."
)


def kubelet_may_be_cut_off(case: Case) -> bool:
    """Whether that began and is not old enough."""
    return case.memory.held_since is not None and kubelet_is_cut_off(case) is None


_USED_UP = 0.9
"""Which part of the local ports is in use where connections begin to fail for want of one."""

_PASSTHROUGH = frozenset({"127.0.0.6", "::6"})
"""The addresses from which Envoy connects to the application."""


def local_ports_are_used_up(case: Case) -> Sentences:
    """The socket table has next to no local port left towards 15001, or from or to 127.0.0.6."""
    if case.memory.sockets is None:
        return None
    outbound = case.number(PortName.VIRTUAL_OUTBOUND)
    found = tuple(
        f"connections from {use.client} to {use.server} port {use.port} use {use.used} of "
        f"{use.size} local ports"
        for use in case.memory.sockets.value.local_ports
        if use.used >= _USED_UP * use.size
        and (use.port == outbound or not _PASSTHROUGH.isdisjoint((use.client, use.server)))
    )
    return found or None


def is_first_poll(case: Case) -> bool:
    """Whether nothing can have changed between two polls, because there was only one."""
    return case.memory.polls < 2  # noqa: PLR2004 - the first poll


def istiod_is_lost(case: Case) -> Sentences:
    """No connection to istiod, or failures that keep growing."""
    if case.proxy.xds_connected is not False:
        return None
    grown = [
        f"{name} grew by {case.memory.growth[name].step:.0f}" for name in xds_failures(case.memory)
    ]
    stats = case.stats()
    if stats is not None and stats.xds_connections == 0:
        grown.append("Envoy has no xds-grpc connection")
    return tuple(grown) or ("the agent has no connection to istiod",)


def gateway_has_no_servers(case: Case) -> Sentences:
    """A gateway has accepted its listeners, and nothing but the static ones is active or warms."""
    stats = case.stats()
    if stats is None or not has_no_servers(stats, case.target.settings):
        return None
    return (
        *case.describe(PortName.STATS),
        f"Envoy has {stats.listeners_active:.0f} active listeners, none but those of its bootstrap",
        f"{stats.lds_success:.0f} listener updates from istiod were accepted",
    )


def listener_waits(case: Case) -> Sentences:
    """Listeners warming for two detail polls; a gateway's server port or 15008 that refuses.

    15008 may also end TLS hellos: Envoy closes what comes before it has a listener's certificate
    (its NotReadySslSocket).
    """
    if not case.is_ready():
        return None
    stats = case.stats()
    if stats is not None and stats.listeners_warming and case.memory.warming_polls > 1:
        return (f"{stats.listeners_warming:.0f} listeners keep warming",)
    waiting = (
        f"{'server port ' if is_server(port) else ''}{port.number} ({port.name}) {does}"
        for port in case.evidence.ports
        if (is_server(port) or port.name == PortName.CONNECT_TERMINATE)
        and port.number in case.verdicts
        and (does := _waits(port, case.verdicts[port.number].outcome))
    )
    return tuple(waiting) or None


def _waits(port: TargetPort, outcome: Outcome) -> str:
    """What a port does whose listener waits; empty for any other."""
    if outcome is Outcome.REFUSED:
        return "refuses"
    is_ended = outcome in (Outcome.RESET, Outcome.CLOSED) and not is_server(port)
    return "ends a TLS hello without a certificate" if is_ended else ""


def admin_is_slow(case: Case) -> Sentences:
    """15090, which Envoy's main thread answers, is slow twice in a row, or once and 15020 hangs.

    A busy machine makes a single answer late.
    """
    stats, seen = case.verdict(PortName.STATS), case.evidence.seen(PortName.STATS)
    if stats is None or seen is None or not case.evidence.stats_are_slow():
        return None
    if case.memory.slow_polls < _TWICE and not case.hangs(PortName.STATUS):
        return None
    if stats.up:
        return (f"{stats.port} took {seen.seconds:.1f} s",)
    return case.describe(PortName.STATS, PortName.HEALTH)


def agent_stats_are_slow(case: Case) -> Sentences:
    """Readiness fails in two polls in a row, while a configured Envoy serves and the agent answers.

    After the first configuration the agent's readiness rests on its own call for Envoy's
    statistics alone, to which it gives a second; Envoy gives the agent a quarter to accept.
    """
    if case.memory.unready_polls < _TWICE or not _is_configured(case):
        return None
    ports = case.describe(*READINESS_PORTS)
    if _is_cut_off(case):
        return (*ports, "the agent was ready in two polls or more, and Envoy did not reach it")
    sentences = (
        *ports,
        "the agent was not ready in two polls or more, while Envoy served its configuration",
    )
    if case.target.settings.dns_capture:
        return (*sentences, "with DNS capture the agent may wait for its table of names instead")
    return sentences


def _is_cut_off(case: Case) -> bool:
    """Whether the agent is ready, so that 15021 fails on the way from Envoy to it."""
    return case.agent_answer() is Outcome.OK


def cut_off_remedy(case: Case) -> str:
    """What to do where Envoy does not reach a ready agent; empty where the agent is not ready."""
    return _CUT_OFF_REMEDY if _is_cut_off(case) else ""


_CUT_OFF_REMEDY = (
    "Look at CPU limits and throttling: Envoy gives the agent 0.25 s to accept. If there is none,"
    " look for what keeps Envoy from 127.0.0.1 and the status port in the pod: rules, policies, no"
    " free connections."
)


def _is_configured(case: Case) -> bool:
    """Whether Envoy has accepted listeners and clusters, or presents its certificate on 15006."""
    stats = case.stats()
    if stats is not None:
        return bool(stats.cds_success and stats.lds_success)
    return case.is_up(PortName.VIRTUAL_INBOUND)


def stats_are_large(case: Case) -> Sentences:
    """15090's page is over the limit of what is read."""
    return (
        case.describe(PortName.STATS) if case.outcome(PortName.STATS) is Outcome.TOO_LARGE else None
    )


def dns_fails(case: Case) -> Sentences:
    """Upstream failures grew twice in a row, or 15053 fails in the pod."""
    growth = case.memory.growth.get(PortName.DNS)
    if growth is not None and growth.streak > 1:
        return (f"upstream failures grew by {growth.step:.0f}, twice in a row",)
    dns = case.verdict(PortName.DNS)
    if dns is not None and dns.up is False and case.answers(PortName.STATUS):
        return case.describe(PortName.DNS)
    return None


def application_scrape_fails(case: Case) -> Sentences:
    """The agent's failed scrapes of the application grew since the last detail poll."""
    growth = case.memory.growth.get("application")
    if growth is not None and growth.step > 0:
        return (f"failed scrapes of the application grew by {growth.step:.0f}",)
    return None


def application_is_unhealthy(case: Case) -> Sentences:
    """The application's own probe fails, where application probes were chosen."""
    if not case.config.poll.application_probes or case.memory.app_health is None:
        return None
    failing = tuple(
        f"{path} returns {status}"
        for path, status in case.memory.app_health.value.items()
        if status >= _SERVER_ERROR
    )
    return failing or None


def access_is_forbidden(case: Case) -> Sentences:
    """A port forbids what it is expected to show."""
    forbidden = [
        f"{verdict.port} forbids"
        for verdict in case.verdicts.values()
        if verdict.outcome is Outcome.FORBIDDEN
    ]
    is_hidden = case.memory.page is Outcome.FORBIDDEN
    if is_hidden and not case.target.settings.metrics_localhost_only:
        forbidden.append(f"{case.number(PortName.STATUS)} forbids its metrics")
    return (*forbidden, *debug_refusal(case)) or None
