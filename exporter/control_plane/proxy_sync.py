"""What the istiod replicas of a cluster say together of its proxies. Pure.

Flows in: the records of every istiod replica, and a proxy. Out: whether some istiod lists it, and
what it has acknowledged. The rules: nothing is said while one replica of the cluster has not
answered its last pass; a proxy changes its replica at any time and an update is always on its way
to somebody, so that nothing is held against a proxy before two passes of every replica showed it.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from exporter.config import Config
from exporter.model import (
    ProxyListing,
    ProxyStatus,
    Role,
    SyncStatus,
    Target,
    TargetRecord,
    Timestamped,
    XdsResource,
)

SYNCED_ROLES = frozenset(
    {Role.SIDECAR, Role.GATEWAY, Role.WAYPOINT, Role.ZTUNNEL, Role.PROXYLESS, Role.AGENTGATEWAY}
)
"""The roles that can be an istiod's clients."""

_ALWAYS_SYNCED = frozenset({Role.SIDECAR, Role.GATEWAY, Role.WAYPOINT})
"""The roles that an istiod lists without fail, being Envoys with an agent.

A proxyless application may never have asked it, and of the others that has not been seen.
"""

_PASSES = 2
"""How many passes of every replica it takes to miss a proxy."""

_Rows = Mapping[tuple[str, str], SyncStatus]


@dataclass(frozen=True, slots=True)
class _Pass:
    """One answer of a replica: its rows by cluster and proxy, and when it came."""

    at: float
    rows: _Rows

    def row(self, name: str, cluster: str) -> SyncStatus | None:
        """The row of this proxy; old istiods do not tell its cluster."""
        return self.rows.get((cluster, name)) or self.rows.get(("", name))


@dataclass(frozen=True, slots=True)
class _Replica:
    """One istiod replica: its cluster, and its last passes, newest first; none: no answer."""

    cluster: str
    passes: tuple[_Pass, ...]


@dataclass(frozen=True, slots=True)
class ReplicaSync:
    """Every istiod replica that is known, ready to be asked for one proxy after another."""

    replicas: tuple[_Replica, ...]
    start_grace: float

    def status(self, proxy: Target) -> ProxyStatus | None:
        """What the istiods say of a proxy; None where they cannot be asked, or do not all answer.

        `xds_known` and `xds_synced` are all that is set.
        """
        if proxy.role not in SYNCED_ROLES:
            return None
        ours = [r for r in self.replicas if _is_same(r.cluster, proxy.cluster_id)]
        if not ours or not all(replica.passes for replica in ours):
            return None
        cluster = proxy.cluster_id or next((r.cluster for r in ours if r.cluster), "")
        name = f"{proxy.key.pod}.{proxy.key.namespace}"
        listed = [r for r in ours if r.passes[0].row(name, cluster)]
        if listed:
            newest = max(listed, key=lambda replica: replica.passes[0].at)
            return ProxyStatus(xds_known=True, xds_synced=_synced(newest, name, cluster))
        return ProxyStatus(xds_known=False) if self._misses(ours, proxy, name, cluster) else None

    def _misses(self, replicas: Iterable[_Replica], proxy: Target, name: str, cluster: str) -> bool:
        """Whether the proxy should have been listed in the passes before, and was not."""
        before = [replica.passes[1] for replica in replicas if len(replica.passes) == _PASSES]
        if len(before) < len(tuple(replicas)) or any(one.row(name, cluster) for one in before):
            return False
        return _ran_at(proxy, min(one.at for one in before) - self.start_grace)


def merge_replicas(
    istiods: Iterable[TargetRecord | None], config: Config, now: float
) -> ReplicaSync:
    """The union of the replicas' records; None stands for a replica that was not looked at yet."""
    poll = config.poll
    oldest = now - _PASSES * max(poll.detail_interval, poll.interval)
    replicas = (_replica(record, oldest) for record in istiods)
    return ReplicaSync(tuple(replicas), config.discovery.start_grace)


def _replica(record: TargetRecord | None, oldest: float) -> _Replica:
    if record is None:
        return _Replica("", ())
    listings = record.listings
    is_current = bool(listings) and listings[0].at >= oldest
    passes = tuple(map(_pass, listings[:_PASSES])) if is_current else ()
    return _Replica(record.target.cluster_id, passes)


def _pass(listing: Timestamped[ProxyListing]) -> _Pass:
    return _Pass(listing.at, {(row.cluster_id, row.proxy): row for row in listing.value})


def _is_same(cluster: str, other: str) -> bool:
    """Whether two clusters are one, as far as is known."""
    return not cluster or not other or cluster == other


def _synced(replica: _Replica, name: str, cluster: str) -> dict[str, bool]:
    """Which resources the proxy has acknowledged; one whose update is on its way is left out."""
    rows = [one.row(name, cluster) for one in replica.passes]
    newest, before = rows[0], rows[1] if len(rows) == _PASSES else None
    resources = newest.resources if newest else {}
    earlier = before.resources if before else {}
    return dict(_judged(resources, earlier))


def _judged(
    resources: Mapping[str, XdsResource], earlier: Mapping[str, XdsResource]
) -> Iterator[tuple[str, bool]]:
    for name, resource in resources.items():
        before = earlier.get(name)
        if resource.synced or resource.error:
            yield name, resource.synced
        elif before and not before.synced and before.behind == resource.behind:
            yield name, False


def _ran_at(proxy: Target, moment: float) -> bool:
    """Whether the proxy ran then already, and is not about to end; by hand it always ran."""
    life = proxy.lifecycle
    if proxy.role not in _ALWAYS_SYNCED or life.terminating:
        return False
    if life.started is None:
        return life.container_ready is None
    return life.started <= moment


def narrowed(config: Config) -> str:
    """Why the istiods that this exporter finds need not be all of the cluster; empty if they are.

    A part of the istiods would say of the others' proxies that nobody lists them.
    """
    chosen = config.discovery.kubernetes
    if not chosen.enabled:
        return ""
    if chosen.node:
        return "discovery.kubernetes.node shows one node's istiods only"
    if chosen.label_selector:
        return "discovery.kubernetes.label_selector may leave out istiods"
    if chosen.roles and Role.ISTIOD not in chosen.roles:
        return "discovery.kubernetes.roles leaves out istiod"
    if chosen.namespaces and not set(config.istiod.namespaces) <= set(chosen.namespaces):
        return "discovery.kubernetes.namespaces leaves out istiod's"
    return ""
