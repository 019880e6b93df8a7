"""What a target's polls leave for the next one: counters, proofs, last facts by cadence. Pure.

Memory and a look's evidence in, memory out. The rules: a counter that falls has restarted and
has not grown; what a port's owner said is forgotten when that port refuses, and when it was not
said again for three of its intervals; a rejected update stays rejected until a success follows it.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import Struct, structs

from exporter.diagnosis.evidence import Evidence
from exporter.diagnosis.freshness import current_listings, drop_expired
from exporter.model import (
    AdminFacts,
    AgentFacts,
    AgentMetrics,
    Certificate,
    EnvoyStats,
    Growth,
    IstiodFacts,
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
)


class _MemoryUpdate(Struct, eq=False):
    """The memory before a look and what the look changes in it."""

    before: Memory
    now: float
    changes: dict[str, Any] = {}

    def mapping(self, name: str) -> dict[Any, Any]:
        """A mapping of the memory, copied on its first change."""
        if name not in self.changes:
            self.changes[name] = dict(getattr(self.before, name))
        changed: dict[Any, Any] = self.changes[name]
        return changed


def remember(evidence: Evidence, before: Memory) -> Memory:
    """The memory after this look; `last_ok` is left to `mark_answers`."""
    before = drop_expired(before, evidence.config, evidence.now)
    update = _MemoryUpdate(before, evidence.now)
    update.changes["polls"] = before.polls + 1
    _forget_what_refused(evidence, update)
    _update_facts(evidence, update)
    if evidence.target.role is Role.ISTIOD:
        update.changes["listings"] = current_listings(evidence, before)
    _update_hellos(evidence, update)
    _update_state(evidence, update)
    return structs.replace(before, **update.changes)


def _update_facts(evidence: Evidence, update: _MemoryUpdate) -> None:
    exposure = ProbeKind.EXPOSURE
    for group in evidence.network.values():
        for seen in group:
            if seen.probe.kind is exposure:
                _update_exposure(seen, update)
            elif seen.facts is not None:
                _update(seen, update)
    for seen in evidence.pod.values():
        if seen.facts is not None:
            _update(seen, update)
    if evidence.sockets is not None and isinstance(evidence.sockets.facts, SocketTable):
        update.changes["sockets"] = Timestamped(evidence.sockets.facts, update.now)


def mark_answers(memory: Memory, verdicts: Iterable[Verdict], now: float) -> Memory:
    """The memory with the time at which each port was last up."""
    answered = {verdict.port: now for verdict in verdicts if verdict.up}
    if not answered:
        return memory
    return structs.replace(memory, last_ok={**memory.last_ok, **answered})


def _update(seen: Observation, update: _MemoryUpdate) -> None:
    match seen.facts:
        case AgentFacts():
            _update_agent(seen, seen.facts, update)
        case EnvoyStats(complete=True):
            update.mapping("proofs")[seen.port] = update.now
            _update_stats(seen.facts, update)
        case AdminFacts():
            _update_admin(seen.facts, update)
        case IstiodFacts():
            _update_istiod(seen.facts, update)
        case TlsFacts(certificate=Certificate() as certificate):
            update.mapping("serving")[seen.port] = Timestamped(certificate, update.now)


def _forget_what_refused(evidence: Evidence, update: _MemoryUpdate) -> None:
    """A refused connect ends a proof, and what the process said before is another process's."""
    status, stats = evidence.seen(PortName.STATUS), evidence.seen(PortName.STATS)
    if status is not None and status.outcome is Outcome.REFUSED:
        _forget(status.port, update, "agent", "page")
    if stats is not None and stats.outcome is Outcome.REFUSED:
        _forget(stats.port, update, "stats")
        if update.before.rejected:
            update.changes["rejected"] = {}
        if update.before.growth:
            update.changes["growth"] = {}
        if update.before.warming_polls:
            update.changes["warming_polls"] = 0


def _forget(port: int, update: _MemoryUpdate, *names: str) -> None:
    for name in names:
        if getattr(update.before, name) is not None:
            update.changes[name] = None
    for name in ("proofs", "disproved"):
        if port in getattr(update.before, name):
            del update.mapping(name)[port]


def _update_agent(seen: Observation, facts: AgentFacts, update: _MemoryUpdate) -> None:
    if facts.app_health:
        update.changes["app_health"] = Timestamped(facts.app_health, update.now)
    if seen.outcome is Outcome.WRONG_IDENTITY:
        update.mapping("disproved")[seen.port] = seen.detail or "another process answers"
        return
    if facts.page is None:
        return
    update.changes["page"] = facts.page
    update.changes["page_requested_at"] = update.now
    if facts.page.proves:
        update.mapping("proofs")[seen.port] = update.now
        if seen.port in update.before.disproved:
            update.mapping("disproved").pop(seen.port, None)
    if facts.metrics is not None:
        update.changes["agent"] = Timestamped(facts.metrics, update.now)
        _grow_agent(facts.metrics, update)


def _grow_agent(metrics: AgentMetrics, update: _MemoryUpdate) -> None:
    _grow(update, "terminations", metrics.istiod_terminations_by_error)
    _grow(update, PortName.DNS, metrics.dns_upstream_failures)
    _grow(update, "application", metrics.scrape_failures.get("application", 0.0))


def _grow(update: _MemoryUpdate, name: str, value: float | None) -> None:
    """Note a counter's value; a counter never seen before, or fallen, has not grown."""
    if value is None:
        return
    last = update.before.growth.get(name)
    if last is None or value < last.value:
        grown = Growth(value)
    else:
        step = value - last.value
        grown = Growth(value, step, last.streak + 1 if step > 0 else 0)
    update.mapping("growth")[name] = grown


def _update_stats(stats: EnvoyStats, update: _MemoryUpdate) -> None:
    update.changes["stats"] = Timestamped(stats, update.now)
    for resource, success, rejected, failure in (
        ("cds", stats.cds_success, stats.cds_rejected, stats.cds_failure),
        ("lds", stats.lds_success, stats.lds_rejected, stats.lds_failure),
    ):
        _judge_rejects(resource, success, rejected, update)
        _grow(update, f"{resource}_success", success)
        _grow(update, f"{resource}_rejected", rejected)
        _grow(update, f"{resource}_failure", failure)
    warming = bool(stats.listeners_warming)
    update.changes["warming_polls"] = update.before.warming_polls + 1 if warming else 0


def _judge_rejects(
    resource: str, success: float | None, rejected: float | None, update: _MemoryUpdate
) -> None:
    """Whether the last update was rejected; unknown where rejects and successes have no order."""
    if rejected is None or success is None:
        return
    growth = update.before.growth
    succeeded, refused = growth.get(f"{resource}_success"), growth.get(f"{resource}_rejected")
    known = update.mapping("rejected")
    if rejected == 0 or success == 0:
        known[resource] = rejected > 0
    elif succeeded is None or refused is None or rejected < refused.value:
        known.pop(resource, None)
    else:
        _order_rejects(resource, known, rejected > refused.value, success > succeeded.value)


def _order_rejects(
    resource: str,
    known: dict[str, bool],
    refused: bool,  # noqa: FBT001 - the two facts of one poll
    succeeded: bool,  # noqa: FBT001
) -> None:
    """One of the two happened since the last poll, or neither: keep what was known."""
    if refused and succeeded:
        known.pop(resource, None)
    elif refused or succeeded:
        known[resource] = refused


def _update_exposure(seen: Observation, update: _MemoryUpdate) -> None:
    """Silence says nothing of admin: a network policy may drop what would be answered."""
    if not (seen.outcome.is_silent or seen.outcome.is_unjudged):
        update.changes["exposure"] = Timestamped(seen, update.now)


def _update_admin(facts: AdminFacts, update: _MemoryUpdate) -> None:
    if facts.stats is not None and "stats" not in update.changes:
        _update_stats(facts.stats, update)
    if facts.rejected is not None:
        update.mapping("rejected")["lds"] = bool(facts.rejected)
    if any(part is not None for part in _detail_of(facts)):
        last = update.before.admin.value if update.before.admin else AdminFacts()
        update.changes["admin"] = Timestamped(_merge(last, facts), update.now)


def _detail_of(facts: AdminFacts) -> tuple[object, ...]:
    return (facts.stats, facts.listeners, facts.rejected, facts.workload_certificate, facts.unready)


def _merge(last: AdminFacts, facts: AdminFacts) -> AdminFacts:
    """Certificates come at a slower cadence than the rest: keep the last ones."""
    return structs.replace(
        facts,
        workload_certificate=facts.workload_certificate or last.workload_certificate,
        root_certificate=facts.root_certificate or last.root_certificate,
    )


def _update_istiod(facts: IstiodFacts, update: _MemoryUpdate) -> None:
    last = update.changes.get("istiod") or update.before.istiod
    detail = facts.connected_proxies is not None or facts.syncz_outcome is not None
    if detail or last is None:
        update.changes["istiod"] = Timestamped(facts, update.now)


def _update_hellos(evidence: Evidence, update: _MemoryUpdate) -> None:
    """Keep what a hello decided, per address, until the control port no longer accepts there."""
    for connect in evidence.connects:
        if connect.outcome is Outcome.REFUSED and connect.address in update.before.hello:
            update.mapping("hello").pop(connect.address, None)
            update.changes["hello_missed"] = update.before.hello_missed - {connect.address}
    for hello in evidence.hellos:
        update.changes["hello_sent_at"] = update.now
        if hello.outcome in _UNSAID:  # no connection to say it on
            continue
        missed = update.changes.get("hello_missed", update.before.hello_missed)
        if _is_first_miss(evidence, update.before, hello):
            update.changes["hello_missed"] = missed | {hello.address}
            continue
        update.mapping("hello")[hello.address] = Timestamped(hello, update.now)
        if hello.address in missed:
            update.changes["hello_missed"] = missed - {hello.address}


_UNSAID = {Outcome.REFUSED, Outcome.REJECTED, Outcome.UNREACHABLE, Outcome.NO_ACCESS}


def _is_first_miss(evidence: Evidence, before: Memory, hello: Observation) -> bool:
    """Whether one lost hello stands against a valid certificate and an Envoy that answers."""
    told = before.hello.get(hello.address)
    if hello.outcome is not Outcome.TIMEOUT or told is None or hello.address in before.hello_missed:
        return False
    facts = told.value.facts
    certificate = facts.certificate if isinstance(facts, TlsFacts) else None
    if told.value.outcome is not Outcome.OK or certificate is None:
        return False
    return certificate.not_after > evidence.now and _envoy_answers(evidence, hello.address)


def _envoy_answers(evidence: Evidence, address: str) -> bool:
    """Whether a port of Envoy's own answers in this look, at this address or inside the pod."""
    numbers = [evidence.named[name].number for name in _ENVOYS_OWN if name in evidence.named]
    outside = (seen for number in numbers for seen in evidence.network.get(number, ()))
    inside = (evidence.pod[number] for number in numbers if number in evidence.pod)
    return any(seen.outcome.proves for seen in inside) or any(
        seen.outcome.proves and seen.address == address for seen in outside
    )


_ENVOYS_OWN = (PortName.HEALTH, PortName.STATS)
"""The catalogue's names of 15021 and 15090."""


def _update_state(evidence: Evidence, update: _MemoryUpdate) -> None:
    """Since when Envoy says that it is initialising, by its own statistics on 15090."""
    stats = evidence.stats()
    since = update.before.initializing_since
    if stats is not None and is_initializing(stats):
        if since is None:
            update.changes["initializing_since"] = update.now
    elif since is not None:
        update.changes["initializing_since"] = None


def is_initializing(stats: EnvoyStats) -> bool:
    """server.state PRE_INITIALIZING or INITIALIZING, or no worker thread started yet."""
    return stats.state in (2, 3) or stats.workers_started is False


def last_answer(last_ok: Mapping[int, float], ports: Iterable[int]) -> float:
    """When one of the ports was last up; 0 for never."""
    return max((last_ok.get(port, 0.0) for port in ports), default=0.0)
