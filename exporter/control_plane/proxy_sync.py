"""The sync status of proxies, merged from the `/debug/syncz` of every istiod replica. Pure.

In: the records of all istiod replicas, and a proxy. Out: whether some istiod lists it, and what it
has acknowledged. The rules: there is no status while a replica of the cluster has not returned its
last listing. A proxy may change its replica at any time and some update is always on its way, so
that only two listings of every replica prove that a proxy is missing or behind.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from exporter.catalogue import istio_version_of
from exporter.config import Config
from exporter.model import (
    ENVOY_ROLES,
    PROXY_ROLES,
    ProxyListing,
    ProxyStatus,
    Role,
    SyncStatus,
    Target,
    TargetRecord,
    Timestamped,
    XdsResource,
)

_REQUIRED_LISTINGS = 2
"""How many listings of every replica prove that a proxy is missing."""


class _Rows:
    """The rows of a listing, sorted by cluster and proxy when the first of them is wanted."""

    def __init__(self, rows: ProxyListing) -> None:
        self._rows = rows

    @cached_property
    def by_proxy(self) -> Mapping[tuple[str, str], SyncStatus]:
        """Each row by its cluster and proxy."""
        return {(row.cluster_id, row.proxy): row for row in self._rows}


_Listing = Timestamped[_Rows]
"""One listing of a replica: its rows, and when it was returned."""


@dataclass(frozen=True, slots=True)
class _Replica:
    """One istiod replica: its cluster, and its last listings, newest first."""

    cluster: str
    listings: tuple[_Listing, ...]


@dataclass(frozen=True, slots=True)
class ReplicaSync:
    """The listings of every istiod replica, merged; `status` is that of one proxy.

    `elsewhere`: revisions of which there are only istiods that do not count. `is_complete`: whether
    these are all istiods, without which no proxy has a status.
    """

    replicas: tuple[_Replica, ...]
    start_grace: float
    elsewhere: frozenset[str] = frozenset()
    is_complete: bool = True

    @property
    def has_listings(self) -> bool:
        """Whether any istiod lists proxies; else no proxy has a status or a version."""
        return any(replica.listings for replica in self.replicas)

    def sort(self) -> Iterator[None]:
        """Sort the rows of each listing: milliseconds each, after which others may go on."""
        for replica in self.replicas:
            for listing in replica.listings:
                _ = listing.value.by_proxy
                yield

    def status(self, proxy: Target) -> ProxyStatus | None:
        """A proxy's status with `xds_known` and `xds_synced` alone.

        None for a role that no istiod lists, and while not all replicas of the cluster respond.
        """
        if proxy.role not in PROXY_ROLES or not self.is_complete:
            return None
        replicas, name, cluster = self._named(proxy)
        if not replicas or not all(replica.listings for replica in replicas):
            return None
        listed_by = [r for r in replicas if _row(r.listings[0], name, cluster)]
        if listed_by:
            newest = max(listed_by, key=lambda replica: replica.listings[0].at)
            return ProxyStatus(xds_known=True, xds_synced=_synced(newest, name, cluster))
        if proxy.revision in self.elsewhere:
            return None
        is_missing = self._is_missing(replicas, proxy, name, cluster)
        return ProxyStatus(xds_known=False) if is_missing else None

    def version(self, proxy: Target) -> str:
        """A proxy's Istio version, plain, by any istiod that lists it; empty where none does.

        agentgateway has numbers of its own.
        """
        if proxy.role not in PROXY_ROLES or proxy.role is Role.AGENTGATEWAY:
            return ""
        replicas, name, cluster = self._named(proxy)
        rows = (_row(one.listings[0], name, cluster) for one in replicas if one.listings)
        return next(filter(None, (istio_version_of(row.version) for row in rows if row)), "")

    def _named(self, proxy: Target) -> tuple[Sequence[_Replica], str, str]:
        """The replicas that may list a proxy, and its name and cluster there."""
        replicas = [r for r in self.replicas if _is_same(r.cluster, proxy.cluster_id)]
        cluster = proxy.cluster_id or next((r.cluster for r in replicas if r.cluster), "")
        return replicas, f"{proxy.key.pod}.{proxy.key.namespace}", cluster

    def _is_missing(
        self, replicas: Sequence[_Replica], proxy: Target, name: str, cluster: str
    ) -> bool:
        """Whether the proxy should have been in the listings before, and was not."""
        before = [
            replica.listings[1]
            for replica in replicas
            if len(replica.listings) == _REQUIRED_LISTINGS
        ]
        if len(before) < len(replicas) or any(_row(one, name, cluster) for one in before):
            return False
        return _ran_at(proxy, min(one.at for one in before) - self.start_grace)


def merge_replicas(
    istiods: Iterable[TargetRecord | None],
    config: Config,
    now: float,
    elsewhere: frozenset[str] = frozenset(),
) -> ReplicaSync:
    """Merge the replicas' records; None stands for a replica that was not polled yet.

    `elsewhere` as `ReplicaSync` has it.
    """
    oldest = now - _REQUIRED_LISTINGS * config.poll.detail_interval
    replicas = (_replica(record, oldest) for record in istiods)
    return ReplicaSync(tuple(replicas), config.discovery.start_grace, elsewhere)


def _replica(record: TargetRecord | None, oldest: float) -> _Replica:
    if record is None:
        return _Replica("", ())
    listings = record.listings
    is_current = bool(listings) and listings[0].at >= oldest
    kept = listings[:_REQUIRED_LISTINGS] if is_current else ()
    rows = tuple(Timestamped(_Rows(listing.value), listing.at) for listing in kept)
    return _Replica(record.target.cluster_id, rows)


def _row(listing: _Listing, name: str, cluster: str) -> SyncStatus | None:
    """The row of this proxy; old istiods do not report its cluster."""
    rows = listing.value.by_proxy
    return rows.get((cluster, name)) or rows.get(("", name))


def _is_same(cluster: str, other: str) -> bool:
    """Whether two clusters are one; an unknown one may be any."""
    return not cluster or not other or cluster == other


def _synced(replica: _Replica, name: str, cluster: str) -> dict[str, bool]:
    """Which resources the proxy has acknowledged, without those whose update is on its way."""
    rows = [_row(one, name, cluster) for one in replica.listings]
    newest, before = rows[0], rows[1] if len(rows) == _REQUIRED_LISTINGS else None
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
    """Whether a proxy that an istiod always lists ran at that time; a static one always ran.

    It lists Envoys with an agent. A proxyless application need not connect to it, and for the
    others nobody has observed it.
    """
    lifecycle = proxy.lifecycle
    if proxy.role not in ENVOY_ROLES or lifecycle.terminating:
        return False
    if lifecycle.started is None:
        return lifecycle.container_ready is None
    return lifecycle.started <= moment


def why_incomplete(config: Config) -> str:
    """Why this exporter may not find every istiod of the cluster; empty if it does.

    With some istiods missing, their proxies would seem to be listed by none.
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


def revisions_elsewhere(targets: Iterable[Target]) -> frozenset[str]:
    """The revisions of which there are only istiods that do not count: nobody lists their proxies.

    The proxies of a revision that a trusted istiod has are missing where that does not list them.
    """
    istiods = [one for one in targets if one.role is Role.ISTIOD]
    trusted = {one.revision for one in istiods if one.trusted}
    return frozenset({one.revision for one in istiods} - trusted)


def why_untrusted(targets: Iterable[Target], config: Config) -> str:
    """Which istiods' reports count for nothing, and by which key; empty where all count."""
    untrusted = [one for one in targets if one.role is Role.ISTIOD and not one.trusted]
    elsewhere = {one.key.namespace for one in untrusted} - set(config.istiod.namespaces)
    if elsewhere:
        names = ", ".join(sorted(elsewhere)[:_NAMED])
        return f"istiods in {names} count for nothing: istiod.namespaces does not name them"
    if untrusted:
        name = min(str(one.key) for one in untrusted)
        return f"{name} counts for nothing: no pod of the cluster with istiod's service account"
    return ""


_NAMED = 3
"""So many namespaces are named: anybody may make more."""
