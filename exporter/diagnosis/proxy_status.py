"""What a record has beyond ports and cause: readiness, and the state of the proxy. Pure.

Evidence, memory and verdicts in. The rule: what is not known is None or left out.
"""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet

from exporter.catalogue import PORTS_BY_ROLE, TargetPort
from exporter.catalogue.gateway_servers import is_server
from exporter.diagnosis.evidence import Evidence
from exporter.diagnosis.inbound import is_bypassed
from exporter.diagnosis.workload_evidence import is_bypassed_in_ambient
from exporter.model import (
    ENVOY_ROLES,
    AdminFacts,
    EnvoyStats,
    Memory,
    Outcome,
    PortName,
    ProxyStatus,
    Role,
    Verdict,
)
from exporter.model.interning import NO_ENTRIES, shared_mapping

_ENDPOINTS = {
    role: tuple((row.endpoint, row.name) for row in rows if row.endpoint)
    for role, rows in PORTS_BY_ROLE.items()
}
"""Per role the endpoints whose readiness is reported, and the port of each."""


def readiness_of(evidence: Evidence, verdicts: Mapping[int, Verdict]) -> dict[str, bool]:
    """Which endpoints are ready; one that cannot be judged is left out.

    Envoy's 15021 relays to the agent's server: it answers 503 for good where that is off.
    """
    ready = {}
    has_agent = bool(evidence.target.settings.status_port)
    for endpoint, name in _ENDPOINTS[evidence.target.role]:
        port = evidence.named.get(name)
        verdict = verdicts.get(port.number) if port else None
        if name is PortName.HEALTH and not has_agent:
            continue
        if verdict is None or verdict.up is None or verdict.outcome is Outcome.FORBIDDEN:
            continue  # a refusal to say is no word on readiness
        ready[endpoint] = verdict.outcome is Outcome.OK
    return ready


def proxy_of(evidence: Evidence, memory: Memory, verdicts: Mapping[int, Verdict]) -> ProxyStatus:
    """What is known of the Envoy or ztunnel; an exporter in the mesh knows nothing."""
    if evidence.in_mesh or evidence.target.role in (Role.ISTIOD, Role.CNI):
        return _NOTHING
    stats = memory.stats.value if memory.stats else _NO_STATS
    admin = memory.admin.value if memory.admin else None
    return ProxyStatus(
        captured=_captured(evidence, memory, verdicts),
        envoy_live=_live(evidence),
        listeners=shared_mapping(
            _counts(
                active=stats.listeners_active,
                warming=stats.listeners_warming,
                draining=stats.listeners_draining,
            )
        ),
        bound=shared_mapping(_bound(evidence, admin, memory, verdicts)),
        rejected=shared_mapping(memory.rejected),
        updates=shared_mapping(_counts(cds=stats.cds_success, lds=stats.lds_success)),
        rejects=shared_mapping(_counts(cds=stats.cds_rejected, lds=stats.lds_rejected)),
        xds_connected=xds_connected(memory),
        agent_scrape_failures=memory.agent.value.scrape_failures if memory.agent else NO_ENTRIES,
        rejected_reasons=(admin.rejected if admin else None) or NO_ENTRIES,
        workloads=shared_mapping(_workloads(memory)),
        terminations=memory.ztunnel.value.terminations if memory.ztunnel else NO_ENTRIES,
    )


_NOTHING = ProxyStatus()
_NO_STATS = EnvoyStats()


def _captured(evidence: Evidence, memory: Memory, verdicts: Mapping[int, Verdict]) -> bool | None:
    connects = evidence.connects
    if not connects:
        return None
    if all(connect.outcome is Outcome.OK for connect in connects):
        return True
    if evidence.target.role is Role.AMBIENT:
        return False if is_bypassed_in_ambient(evidence, memory) else None
    health = evidence.named.get(PortName.HEALTH)
    verdict = verdicts.get(health.number) if health else None
    if verdict is not None and verdict.up and is_bypassed(evidence):
        return False
    return None


def _live(evidence: Evidence) -> bool | None:
    """`server.live` and `server.state` of this poll; without statistics admin's state."""
    stats = evidence.stats()
    if stats is not None and (stats.live is not None or stats.state is not None):
        return stats.live is not False and stats.state in (0, None)
    state = evidence.admin_state()
    return state == "LIVE" if state else None


def _workloads(memory: Memory) -> dict[str, float]:
    """How many pods a ztunnel serves, and how many it could not start to serve."""
    if memory.ztunnel is None:
        return {}
    return _counts(active=memory.ztunnel.value.active, pending=memory.ztunnel.value.pending)


def _counts(**values: float | None) -> dict[str, float]:
    return {name: value for name, value in values.items() if value is not None}


def _bound(
    evidence: Evidence,
    admin: AdminFacts | None,
    memory: Memory,
    verdicts: Mapping[int, Verdict],
) -> dict[str, bool]:
    """Which of the proxy's own listeners are bound: by their verdicts, then by admin's list.

    One that accepts and stays silent is bound: that Envoy hangs does not close it.
    """
    if evidence.target.role not in ENVOY_ROLES:
        return {}
    bound: dict[str, bool] = {}
    listed = {one.name for one in admin.listeners} if admin and admin.listeners else set()
    for name in (PortName.VIRTUAL_INBOUND, PortName.VIRTUAL_OUTBOUND, PortName.CONNECT_TERMINATE):
        port = evidence.named.get(name)
        if port is None:
            continue
        verdict = verdicts.get(port.number)
        if verdict is not None and verdict.up is not None and not verdict.outcome.is_silent:
            bound[name] = verdict.up
        elif listed and (known := _listed_as_bound(evidence, memory, port, listed)) is not None:
            bound[name] = known
    for port in filter(is_server, evidence.ports):
        verdict = verdicts.get(port.number)
        if verdict is not None and verdict.up is not None:
            bound[port.name] = verdict.up
    return bound


def _listed_as_bound(
    evidence: Evidence, memory: Memory, port: TargetPort, listed: AbstractSet[str]
) -> bool | None:
    """Whether admin's list has the listener and its port is open; None where it is outdated."""
    # A listener that is listed may wait: where there is a socket table, it has to have the port.
    is_open = memory.sockets is None or any(one.port == port.number for one in memory.listening)
    is_bound = port.name in listed and is_open
    return None if not is_bound and _is_outdated(evidence, memory) else is_bound


def _is_outdated(evidence: Evidence, memory: Memory) -> bool:
    """Whether admin's list is older than the configuration with which the proxy serves now.

    Envoy reports no readiness before it has listeners, so that a list from before lacks them.
    """
    if memory.admin is None or memory.admin.at == evidence.now:
        return False
    health = evidence.seen(PortName.HEALTH)
    return health is not None and health.outcome is Outcome.OK


_XDS_FAILURES = ("lds_failure", "cds_failure", "terminations", "xds_terminations")


def xds_connected(memory: Memory) -> bool | None:
    """Whether Envoy, agent and istiod are connected; None where nothing shows it."""
    if xds_failures(memory):
        return False
    is_connected = _has_xds_connection(memory)
    return None if is_connected is False and _has_requested_nothing(memory) else is_connected


def _has_xds_connection(memory: Memory) -> bool | None:
    stats = memory.stats.value if memory.stats else None
    if stats is not None and stats.xds_connections is not None:
        return stats.xds_connections > 0
    has_agent = any(socket.process == "pilot-agent" for socket in memory.listening)
    if memory.sockets is not None and has_agent:
        return bool(memory.sockets.value.agent_connections)
    return None


def _has_requested_nothing(memory: Memory) -> bool:
    """Whether Envoy has requested no configuration yet although its certificate is there."""
    agent = memory.agent.value if memory.agent else None
    if agent is None or agent.xds_requests or agent.csr_failures:
        return False
    return agent.workload_certificate_seconds is not None


def xds_failures(memory: Memory) -> tuple[str, ...]:
    """The xDS failure counters that grew by two or more, or in two detail polls in a row.

    Each counter for itself: one ordinary reconnect is one step of every one of them.
    """
    grown = []
    for name in _XDS_FAILURES:
        growth = memory.growth.get(name)
        if growth is not None and (growth.step >= 2 or growth.streak >= 2):  # noqa: PLR2004
            grown.append(name)
    return tuple(grown)
