"""What the istiods report of the proxies, rendered each interval while all of them respond.

In: the istiods' records and every proxy that is known, other shards' too. Out: a record and
rendered blocks by proxy, which are served beside what the proxies' own polls found; and the version
of a proxy whose pod does not show it, for which one istiod is enough. The rules: it holds no
verdict of its own; `merge_replicas` decides, and where that has none nothing is served. A proxy
whose status cannot be made costs none of the others.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain

from exporter import clock
from exporter.config import Config
from exporter.control_plane.proxy_sync import (
    ReplicaSync,
    merge_replicas,
    revisions_elsewhere,
    why_incomplete,
)
from exporter.discovery.target_sets import TargetSets
from exporter.kube.object_reader import ObjectReader
from exporter.model import Role, Target, TargetKey, TargetRecord
from exporter.state import State, expiry
from exporter.turn import current_turn, some_of


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncPublisher:
    """Keeps `synced` up to date with what the istiods report.

    `polled`: this replica's own targets, whose records are in `records`; `sets` has those that
    other shards poll. `set_version` takes the version of a proxy whose pod does not tell it.
    """

    config: Config
    polled: Mapping[TargetKey, Target]
    sets: TargetSets
    records: State
    synced: State
    reader: ObjectReader
    set_version: Callable[[TargetKey, str], None]

    async def run(self) -> None:
        """Merge what the replicas report now and once an interval, until cancelled."""
        while True:
            await self.publish()
            await asyncio.sleep(self.config.poll.interval)

    async def publish(self) -> None:
        """Render what the replicas together report of every proxy, and drop what they do not."""
        expires = expiry(clock.now(), self.config.poll.interval)
        turn = current_turn()
        istiods = await some_of(tuple(self.polled.values()), _is_istiod)
        merged = self.reader.attempt("istiods", "", "", partial(self._merge, istiods))
        if merged is None:
            return
        for _ in merged.sort():
            await turn.maybe_yield()
        proxies: Iterable[Target] = ()
        if merged.has_listings:
            others = self.sets.other_shards()
            proxies = chain(tuple(self.polled.values()), tuple(others.values()))
        published = set()
        for proxy in proxies:
            key, put = proxy.key, partial(self._put, merged, proxy, expires)
            if self.reader.attempt("proxies", key.pod, key.namespace, put):
                published.add(key)
            await turn.maybe_yield()
        for key in self.synced.keys():  # noqa: SIM118 - it is no mapping
            if key not in published:
                self.synced.drop(key)
            await turn.maybe_yield()

    def _put(self, merged: ReplicaSync, proxy: Target, expires: float) -> bool:
        """Render a proxy's status, and complete its version; False where it has no status."""
        if version := merged.version(proxy):
            self.set_version(proxy.key, version)
        status = merged.status(proxy)
        if status is None or not self._is_current(proxy):
            return False
        self.synced.put(TargetRecord(target=proxy, proxy=status), expires)
        return True

    def _is_current(self, proxy: Target) -> bool:
        """Whether the proxy has not gone meanwhile, nor another pod come by its name."""
        now = self.polled.get(proxy.key) or self.sets.on_other_shard(proxy.key)
        return now is not None and now.uid == proxy.uid

    def _merge(self, istiods: Sequence[Target]) -> ReplicaSync:
        """What the trusted istiods that are polled here list.

        Anybody may make a pod that looks like an istiod; whether it answers or not, it counts for
        nothing.
        """
        replicas = [self.records.get(one.key) for one in istiods if one.trusted]
        elsewhere = revisions_elsewhere(istiods)
        merged = merge_replicas(replicas, self.config, clock.now(), elsewhere)
        return merged if self._are_all() else replace(merged, is_complete=False)

    def _are_all(self) -> bool:
        """Whether these are all istiods, and what they report of proxies is wanted."""
        is_wanted = any(family.from_istiod for family in self.records.families)
        is_partial = why_incomplete(self.config) or self.sets.cluster.ignores_istiods
        return is_wanted and not is_partial and self.sets.is_current


def _is_istiod(target: Target) -> bool:
    return target.role is Role.ISTIOD
