"""Static targets and the cluster's, merged: what this replica polls and what other shards do.

In: targets from the configuration's files and from the cluster. Out: targets put to where they are
polled, and dropped. It outlives reloads. The rules: a static target hides the cluster's of the same
name, on every shard, and a source that fails removes no target.
"""

import asyncio
from collections.abc import Iterable, Mapping
from itertools import chain
from typing import Protocol

from exporter.config import Config
from exporter.discovery.cluster import ClusterSource
from exporter.discovery.shard import is_on_shard, is_synced_by_istiods
from exporter.model import Role, Target, TargetKey
from exporter.selfmetrics.registry import SelfMetrics
from exporter.turn import current_turn


class _PolledTargets(Protocol):
    """Where targets are polled."""

    @property
    def targets(self) -> Mapping[TargetKey, Target]:
        """Every target that is polled."""

    def put(self, target: Target) -> None:
        """Poll a target, or take its new description."""

    def drop(self, key: TargetKey) -> None:
        """Forget a target."""


class TargetSets:
    """The targets of all sources.

    `preset` are polled beside the configuration's own. `has_cluster`: there is a cluster to be
    watched. `changed` is set when anything that can be counted did.
    """

    def __init__(
        self, preset: Iterable[Target], polled: _PolledTargets, metrics: SelfMetrics
    ) -> None:
        self.preset = tuple(preset)
        self.has_cluster = False
        self.changed = asyncio.Event()
        self.cluster = ClusterSource(
            self._put_cluster, self._drop_cluster, self.changed.set, metrics
        )
        self._polled = polled
        self._static = {target.key: target for target in self.preset}
        self._static_on_other_shards: dict[TargetKey, Target] = {}
        self._has_static = False

    @property
    def is_synced(self) -> bool:
        """Whether every source has reported all that it has."""
        return self._has_static and (self.cluster.is_synced or not self.has_cluster)

    @property
    def is_current(self) -> bool:
        """Whether these are all that there are, at this moment."""
        return self.is_synced and (self.cluster.is_watched or not self.has_cluster)

    def names(self, target: Target, address: str) -> bool:
        """Whether the API names this very pod at this address, at this moment.

        By its uid and the start of its container, while the cluster's pods are watched.
        """
        named = self.cluster.owned.get(target.key) if self.cluster.is_watched else None
        return (
            named is not None
            and named.uid == target.uid
            and named.lifecycle.started == target.lifecycle.started
            and address in named.addresses
        )

    def other_shards(self) -> dict[TargetKey, Target]:
        """Every proxy that another shard polls and whose sync status this replica exposes."""
        return {**self.cluster.other_shards, **self._static_on_other_shards}

    def on_other_shard(self, key: TargetKey) -> Target | None:
        """The proxy of this name that another shard polls, as in `other_shards`."""
        return self._static_on_other_shards.get(key) or self.cluster.other_shards.get(key)

    async def take_static(self, targets: Iterable[Target], config: Config) -> None:
        """Replace the static targets, in slices; it may be cancelled and called again."""
        await self._replace_static(targets, config)
        turn = current_turn()
        for key in tuple(self._polled.targets):
            if key not in self._static and key not in self.cluster.owned:
                self._polled.drop(key)
            await turn.maybe_yield()
        for key in tuple(self.cluster.owned):
            if key not in self._static and (target := self.cluster.owned.get(key)):
                self._polled.put(target)
            await turn.maybe_yield()
        await self._put_static(config)
        self._has_static = True
        self.changed.set()

    async def _replace_static(self, targets: Iterable[Target], config: Config) -> None:
        """A managed control plane has no istiod to poll. What has not changed stays the same."""
        is_managed = config.istiod.mode == "none"
        wanted = (row for row in targets if not (is_managed and row.role is Role.ISTIOD))
        static: dict[TargetKey, Target] = {}
        turn = current_turn()
        for target in chain(self.preset, wanted):
            before = self._static.get(target.key)
            kept = before if before == target else target
            static[kept.key] = kept
            await turn.maybe_yield()
        self._static = static

    async def _put_static(self, config: Config) -> None:
        on_other_shards: dict[TargetKey, Target] = {}
        turn = current_turn()
        for key, target in self._static.items():
            if is_on_shard(target, config.shard):
                self._polled.put(target)
            else:
                if key in self._polled.targets:
                    self._polled.drop(key)
                if is_synced_by_istiods(target, config):
                    on_other_shards[key] = target
            await turn.maybe_yield()
        self._static_on_other_shards = on_other_shards

    def _put_cluster(self, target: Target) -> None:
        if target.key not in self._static:
            self._polled.put(target)

    def _drop_cluster(self, key: TargetKey) -> None:
        if key not in self._static:
            self._polled.drop(key)
