"""What one poll changes in the memory of a target. Pure.

The rules: a counter that falls has restarted and has not grown; a rejected update stays rejected
until a success follows it.
"""

from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from exporter.diagnosis.evidence import Evidence
from exporter.model import (
    Cadence,
    CniFacts,
    EnvoyStats,
    Growth,
    IstiodFacts,
    Memory,
    Observation,
    Outcome,
    PortName,
    Settings,
    Timestamped,
)
from exporter.model.interning import shared


class MemoryUpdate(Struct, eq=False):
    """The memory before a poll and what the poll changes in it."""

    before: Memory
    now: float
    changes: dict[str, Any] = {}

    def mapping(self, name: str) -> dict[Any, Any]:
        """A mapping of the memory, copied on its first change."""
        if name not in self.changes:
            self.changes[name] = dict(getattr(self.before, name))
        changed: dict[Any, Any] = self.changes[name]
        return changed

    def prove(self, port: int) -> None:
        """Note that a port's owner has shown what it is."""
        known: frozenset[int] = self.changes.get("proofs", self.before.proofs)
        if port not in known:
            self.changes["proofs"] = shared(known | {port})

    def grow(self, name: str, value: float | None, *, is_close: bool = True) -> None:
        """Note a counter's value; a counter never seen before, or fallen, has not grown.

        Between readings that are not close a step is no more than a hint: what is ordinary once in
        a while adds up.
        """
        if value is None:
            return
        last = self.before.growth.get(name)
        if last is None or value < last.value:
            grown = Growth(value)
        elif not is_close:
            grown = Growth(value, is_hint=value > last.value)
        else:
            step = value - last.value
            grown = Growth(value, step, last.streak + 1 if step > 0 else 0)
        self.mapping("growth")[name] = shared(grown)


_STATIC_LISTENERS = 2
"""15021 and 15090, which the bootstrap has; Envoy counts them among its active listeners. The ports
for metrics over mutual TLS are further ones."""


def has_no_servers(stats: EnvoyStats, settings: Settings) -> bool:
    """Whether a gateway took its listeners, and only the static ones are active and none warms."""
    if stats.listeners_active is None or not stats.lds_success:
        return False
    secure = (settings.secure_stats_port, settings.secure_merged_port)
    static = _STATIC_LISTENERS + sum(map(bool, secure))
    return stats.listeners_active <= static and not stats.listeners_warming


def remember_stats(stats: EnvoyStats, update: MemoryUpdate) -> None:
    """Keep a complete page of Envoy's statistics, and what its counters show since the last one."""
    update.changes["stats"] = Timestamped(shared(stats), update.now)
    for resource, success, rejected, failure in (
        ("cds", stats.cds_success, stats.cds_rejected, stats.cds_failure),
        ("lds", stats.lds_success, stats.lds_rejected, stats.lds_failure),
    ):
        _judge_rejects(resource, success, rejected, update)
        update.grow(f"{resource}_success", success)
        update.grow(f"{resource}_rejected", rejected)
        update.grow(f"{resource}_failure", failure)
    warming = bool(stats.listeners_warming)
    update.changes["warming_polls"] = update.before.warming_polls + 1 if warming else 0


def remember_servers(stats: EnvoyStats, update: MemoryUpdate) -> None:
    """Take the counts on a gateway's fast page into its last complete page, which keeps its age."""
    last = update.before.stats
    if last is None:
        return
    value = replace(
        last.value,
        listeners_active=stats.listeners_active,
        listeners_warming=stats.listeners_warming,
        lds_success=stats.lds_success,
    )
    if value != last.value:
        update.changes["stats"] = Timestamped(value, last.at)


def remember_exposure(seen: Observation, update: MemoryUpdate) -> None:
    """Keep what bytes that are not HTTP brought from admin, at whatever address it is open.

    Silence proves nothing of admin: a network policy may drop what would be answered. Nor does an
    address at which it is closed close it at another one.
    """
    if seen.outcome.is_silent or seen.outcome.is_unjudged:
        return
    last = update.changes.get("exposure", update.before.exposure)
    open_at = last.value.address if last and last.value.outcome is Outcome.OK else None
    if seen.outcome is Outcome.OK or open_at in (None, seen.address):
        update.changes["exposure"] = Timestamped(seen, update.now)


def remember_listings(evidence: Evidence, update: MemoryUpdate) -> None:
    """Keep an istiod's last two answers to syncz, newest first.

    None where it is silent, or left the last request unanswered: what it listed before may be
    another replica's by now.
    """
    before = update.before
    for seen in evidence.all_observations():
        if isinstance(seen.facts, IstiodFacts) and seen.facts.syncz is not None:
            newest = Timestamped(seen.facts.syncz, update.now)
            update.changes["listings"] = (newest, *before.listings[:1])
            return
    monitoring = evidence.seen(PortName.HTTP_MONITORING)
    was_requested = before.polled.get(Cadence.DETAIL) == update.now
    if was_requested or monitoring is None or monitoring.outcome is not Outcome.OK:
        update.changes["listings"] = ()


def _judge_rejects(
    resource: str, success: float | None, rejected: float | None, update: MemoryUpdate
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
    """What has happened since the last poll counts; both leave it open, neither changes nothing."""
    if refused and succeeded:
        known.pop(resource, None)
    elif refused or succeeded:
        known[resource] = refused


def remember_readiness(evidence: Evidence, update: MemoryUpdate) -> None:
    """In how many polls in a row readiness failed while both served, or Envoy was slow."""
    status, health = evidence.seen(PortName.STATUS), evidence.seen(PortName.HEALTH)
    answers = [one.outcome for one in (status, health) if one is not None]
    is_unready = Outcome.NOT_READY in answers and bool(status and status.outcome.proves)
    before, is_kept = update.before, is_unready and _envoy_serves(evidence)
    update.changes["unready_polls"] = before.unready_polls + 1 if is_kept else 0
    update.changes["slow_polls"] = before.slow_polls + 1 if evidence.stats_are_slow() else 0
    _remember_held(evidence, update)


def _envoy_serves(evidence: Evidence) -> bool:
    """Whether Envoy reports that it is live, or 15021 answers, which its workers serve."""
    stats = evidence.stats()
    if stats is not None and stats.state is not None:
        return stats.state == 0 and stats.live is not False and stats.workers_started is not False
    health = evidence.seen(PortName.HEALTH)
    return health is not None and health.outcome.proves


def _remember_held(evidence: Evidence, update: MemoryUpdate) -> None:
    """Since when the port that the kubelet probes is ready over the network, and the container not.

    Only of a container that runs, on a node that is ready: others have no kubelet that would probe.
    Where it probes a port that the proxy does not have, the agent's stands for it.
    """
    lifecycle, since = evidence.target.lifecycle, update.before.held_since
    number, status = lifecycle.probed_port, evidence.named.get(PortName.STATUS)
    if number and status and all(port.number != number for port in evidence.ports):
        number = status.number
    seen = evidence.network.get(number, ())
    begun = None if lifecycle.started is None else lifecycle.started + lifecycle.probe_delay
    is_probed = begun is not None and update.now >= begun and lifecycle.node_ready is True
    is_held = is_probed and lifecycle.container_ready is False and not lifecycle.terminating
    is_ready = bool(seen) and all(one.outcome is Outcome.OK for one in seen)
    if is_held and is_ready:
        update.changes["held_since"] = update.now if since is None else since
    elif since is not None:
        update.changes["held_since"] = None


def remember_ztunnels(evidence: Evidence, update: MemoryUpdate) -> None:
    """In how many polls in a row a CNI agent counted no ztunnel; no page leaves that as it is."""
    seen = evidence.seen(PortName.MONITORING)
    if seen is not None and isinstance(seen.facts, CniFacts):
        is_alone = not seen.facts.ztunnels
        update.changes["lonely_polls"] = update.before.lonely_polls + 1 if is_alone else 0
