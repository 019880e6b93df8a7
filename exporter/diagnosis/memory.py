"""What a target's polls leave for the next one: counters, proofs, last facts by cadence. Pure.

Memory and a poll's evidence in, memory out. The rule: what a port's owner reported is forgotten
when that port refuses and no other port of it reports the same, and when it was not reported
again for three of its intervals.
"""

from collections.abc import Iterable
from operator import attrgetter

from msgspec import structs

from exporter.bounds import TARGET_PORTS
from exporter.catalogue.gateway_servers import is_server
from exporter.diagnosis.agent_page import COUNTERS, next_wait
from exporter.diagnosis.evidence import Evidence
from exporter.diagnosis.freshness import drop_expired
from exporter.diagnosis.memory_update import (
    MemoryUpdate,
    remember_exposure,
    remember_listings,
    remember_readiness,
    remember_servers,
    remember_stats,
    remember_ztunnels,
)
from exporter.diagnosis.remembered_hellos import remember_hbone, remember_hellos
from exporter.diagnosis.target_certificates import names_of_servers
from exporter.model import (
    HBONE_ROLES,
    AdminFacts,
    AgentFacts,
    AgentMetrics,
    Certificate,
    EnvoyStats,
    Growth,
    IstiodFacts,
    LastOk,
    Memory,
    Observation,
    Outcome,
    PortName,
    ProbeKind,
    Role,
    SocketTable,
    Timestamped,
    TlsFacts,
    Verdict,
    ZtunnelFacts,
)
from exporter.model.interning import shared, shared_mapping


def remember(evidence: Evidence, before: Memory) -> Memory:
    """The memory after this poll; `last_ok` is left to `mark_answers`."""
    before = drop_expired(before, evidence.config, evidence.now)
    update = MemoryUpdate(before, evidence.now)
    update.changes["polls"] = before.polls + 1
    _forget_what_refused(evidence, update)
    _update_facts(evidence, update)
    if evidence.target.role is Role.ISTIOD:
        remember_listings(evidence, update)
    if evidence.target.role in HBONE_ROLES:
        remember_hbone(evidence, update)
    else:
        remember_hellos(evidence, update)
    _remember_servers(evidence, update)
    _update_state(evidence, update)
    remember_readiness(evidence, update)
    remember_ztunnels(evidence, update)
    for name in _ALIKE & update.changes.keys():
        update.changes[name] = shared_mapping(update.changes[name])
    return structs.replace(before, **update.changes)


_ALIKE = frozenset({"growth", "rejected"})
"""Mappings that many targets have the same."""


def _update_facts(evidence: Evidence, update: MemoryUpdate) -> None:
    exposure = ProbeKind.EXPOSURE
    for group in evidence.network.values():
        for seen in group:
            if seen.probe.kind is exposure:
                remember_exposure(seen, update)
            elif seen.facts is not None:
                _update(seen, evidence, update)
    for seen in evidence.pod.values():
        if seen.facts is not None:
            _update(seen, evidence, update)
    if evidence.sockets is not None and isinstance(evidence.sockets.facts, SocketTable):
        update.changes["sockets"] = Timestamped(evidence.sockets.facts, update.now)


def _remember_servers(evidence: Evidence, update: MemoryUpdate) -> None:
    """What a gateway's servers presented; one that presents nothing now is probed at its time.

    A server or name that is configured no more is forgotten.
    """
    for seen in evidence.server_hellos:
        known = update.mapping("server_names")
        known[seen.port, seen.probe.path] = Timestamped(seen.certificate, update.now)
    known = update.changes.get("server_names", update.before.server_names)
    if not known:
        return
    ports = {port.number for port in evidence.ports if is_server(port)}
    admin = update.changes.get("admin", update.before.admin)
    names = names_of_servers(admin.value if admin else None)
    for port, name in tuple(known):
        if port not in ports or (names and name not in names):
            del update.mapping("server_names")[port, name]


def mark_answers(memory: Memory, verdicts: Iterable[Verdict], now: float) -> Memory:
    """The memory with the time at which each port was last up."""
    up = shared(tuple([verdict.port for verdict in verdicts if verdict.up]))
    last_ok = memory.last_ok.after(up, now)
    if len(last_ok.before) > 4 * TARGET_PORTS:  # a page may list other servers each time
        last_ok = LastOk(up, now)
    return structs.replace(memory, last_ok=last_ok)


def _update(seen: Observation, evidence: Evidence, update: MemoryUpdate) -> None:
    match seen.facts:
        case AgentFacts():
            _update_agent(seen, seen.facts, evidence, update)
        case EnvoyStats(complete=True):
            update.prove(seen.port)
            remember_stats(seen.facts, update)
        case EnvoyStats(listeners_active=float()):
            remember_servers(seen.facts, update)
        case AdminFacts():
            _update_admin(seen.facts, update)
        case IstiodFacts():
            _update_istiod(seen.facts, update)
        case ZtunnelFacts():
            _update_ztunnel(seen, seen.facts, update)
        case TlsFacts(certificate=Certificate() as certificate):
            update.mapping("serving")[seen.port] = Timestamped(certificate, update.now)


def _forget_what_refused(evidence: Evidence, update: MemoryUpdate) -> None:
    """A refused connect ends a proof; what the process reported before is another process's."""
    status, stats = evidence.seen(PortName.STATUS), evidence.seen(PortName.STATS)
    if status is not None and status.outcome is Outcome.REFUSED:
        _forget(status.port, update, "agent", "page")
    if stats is not None and stats.outcome is Outcome.REFUSED:
        if _admin_still_reports(evidence, update.before, stats.port):
            _forget(stats.port, update)
            return
        _forget(stats.port, update, "stats", "ztunnel")
        nothing = {"rejected": {}, "growth": {}, "warming_polls": 0, "pending_polls": 0}
        update.changes |= {
            name: none for name, none in nothing.items() if getattr(update.before, name)
        }


def _admin_still_reports(evidence: Evidence, before: Memory, stats_port: int) -> bool:
    """Whether admin brings the statistics now, or brought the last ones and still answers."""
    admin = evidence.seen(PortName.ADMIN)
    if admin is None or not isinstance(admin.facts, AdminFacts):
        return False
    return admin.facts.stats is not None or stats_port not in before.proofs


def _forget(port: int, update: MemoryUpdate, *names: str) -> None:
    for name in names:
        if getattr(update.before, name) is not None:
            update.changes[name] = None
    if port in update.before.proofs:
        update.changes["proofs"] = shared(update.before.proofs - {port})
    if port in update.before.disproved:
        update.mapping("disproved").pop(port, None)


def _update_agent(
    seen: Observation, facts: AgentFacts, evidence: Evidence, update: MemoryUpdate
) -> None:
    if facts.app_health:
        update.changes["app_health"] = Timestamped(facts.app_health, update.now)
    if facts.page is not None:
        update.changes["page_requested_at"] = update.now
    if seen.outcome is Outcome.WRONG_IDENTITY:
        update.mapping("disproved")[seen.port] = seen.detail or "another process answers"
        return
    if facts.page is None:
        return
    update.changes["page"] = facts.page
    poll = evidence.config.poll
    update.changes["page_wait"] = next_wait(
        facts.page, update.before.page_wait, max(poll.page_interval, poll.interval)
    )
    if facts.page.proves:
        update.prove(seen.port)
        if seen.port in update.before.disproved:
            update.mapping("disproved").pop(seen.port, None)
    if facts.metrics is not None:
        update.changes["agent"] = Timestamped(facts.metrics, update.now)
        last = update.before.agent
        span = update.before.effective(poll.detail_interval)
        _grow_agent(facts.metrics, update, last is None or update.now - last.at < 2 * span)


def _grow_agent(metrics: AgentMetrics, update: MemoryUpdate, is_close: bool) -> None:  # noqa: FBT001
    counts = (
        metrics.istiod_terminations_by_error,
        metrics.dns_upstream_failures,
        metrics.scrape_failures.get("application", 0.0),
    )
    for name, count in zip(COUNTERS, counts, strict=True):
        update.grow(name, count, is_close=is_close)
    if _few_names_failed(metrics, update.before.agent):
        update.mapping("growth")[PortName.DNS] = shared(Growth(metrics.dns_upstream_failures))


_FEW = 0.1
"""The share of names up to which lost packets and slow servers explain what fails upstream."""


def _few_names_failed(metrics: AgentMetrics, before: Timestamped[AgentMetrics] | None) -> bool:
    """Whether the agent resolved most of the names upstream that it was asked for since before."""
    if before is None:
        return False
    requests = metrics.dns_upstream_requests - before.value.dns_upstream_requests
    failures = metrics.dns_upstream_failures - before.value.dns_upstream_failures
    return requests > 0 and failures < _FEW * requests


def _update_ztunnel(seen: Observation, facts: ZtunnelFacts, update: MemoryUpdate) -> None:
    """The counts of a page that was read to where they are; a page cut before has none."""
    if seen.outcome is Outcome.WRONG_IDENTITY:
        update.mapping("disproved")[seen.port] = seen.detail
        return
    if facts.page is Outcome.OK and seen.port in update.before.disproved:
        update.mapping("disproved").pop(seen.port, None)  # another address's page may have done it
    if facts.active is None and facts.pending is None:
        return
    update.changes["ztunnel"] = Timestamped(facts, update.now)
    update.changes["pending_polls"] = update.before.pending_polls + 1 if facts.pending else 0
    ended = {reason: count for reason, count in facts.terminations.items() if reason != "Reconnect"}
    update.grow("xds_terminations", sum(ended.values()))


def _update_admin(facts: AdminFacts, update: MemoryUpdate) -> None:
    if facts.stats is not None and update.changes.get("stats") is None:
        remember_stats(facts.stats, update)
    if facts.rejected is not None:
        update.mapping("rejected")["lds"] = bool(facts.rejected)
    if any(part is not None for part in _details_of(facts)):
        last = update.before.admin.value if update.before.admin else AdminFacts()
        update.changes["admin"] = Timestamped(_merge(last, facts), update.now)


_details_of = attrgetter("stats", "listeners", "rejected", "workload_certificate")


def _merge(last: AdminFacts, facts: AdminFacts) -> AdminFacts:
    """Certificates come at a slower cadence than the rest: keep the last ones."""
    return structs.replace(
        facts,
        workload_certificate=facts.workload_certificate or last.workload_certificate,
        istio_version=facts.istio_version or last.istio_version,
        root_certificate=facts.root_certificate or last.root_certificate,
        server_certificates=(
            last.server_certificates
            if facts.server_certificates is None
            else facts.server_certificates
        ),
    )


def _update_istiod(facts: IstiodFacts, update: MemoryUpdate) -> None:
    last = update.changes.get("istiod") or update.before.istiod
    detail = facts.connected_proxies is not None or facts.syncz_outcome is not None
    if detail or last is None:
        update.changes["istiod"] = Timestamped(facts, update.now)


def _update_state(evidence: Evidence, update: MemoryUpdate) -> None:
    """Since when Envoy reports that it is initialising, by its own statistics on 15090."""
    stats, seen = evidence.stats(), evidence.seen(PortName.STATS)
    since = update.before.initializing_since
    if seen is not None and seen.outcome is Outcome.LOST:
        return
    if stats is not None and is_initializing(stats):
        if since is None:
            update.changes["initializing_since"] = update.now
    elif since is not None:
        update.changes["initializing_since"] = None


def is_initializing(stats: EnvoyStats) -> bool:
    """server.state PRE_INITIALIZING or INITIALIZING, or no worker thread started yet."""
    return stats.state in (2, 3) or stats.workers_started is False


def last_answer(last_ok: LastOk, ports: Iterable[int]) -> float:
    """When one of the ports was last up; 0 for never."""
    return max((last_ok.get(port) or 0.0 for port in ports), default=0.0)
