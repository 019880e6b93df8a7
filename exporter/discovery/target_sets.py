"""Static targets and the cluster's, and which of them this replica polls.

In: what discovery found and the configuration. Out: the targets to poll, and those that another
shard polls. The rule: a static target hides the cluster's of the same name, on every shard.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from exporter.config import Config
from exporter.discovery.shard import is_on_shard, is_synced_by_istiods
from exporter.model import Role, Target, TargetKey


@dataclass(slots=True)
class TargetSets:
    """`preset` are polled beside the configuration's own; `static` is both."""

    preset: Mapping[TargetKey, Target]
    static: Mapping[TargetKey, Target] = field(init=False)

    def __post_init__(self) -> None:
        """Start with the preset targets."""
        self.static = dict(self.preset)

    def take(self, targets: Iterable[Target], config: Config) -> None:
        """Replace the static targets; a managed control plane has no istiod to poll."""
        is_managed = config.istiod.mode == "none"
        wanted = (row for row in targets if not (is_managed and row.role is Role.ISTIOD))
        self.static = {**self.preset, **{target.key: target for target in wanted}}

    def owned(self, cluster: Mapping[TargetKey, Target], config: Config) -> dict[TargetKey, Target]:
        """Every target that this replica polls; `cluster` are those of them from the cluster."""
        shard = config.shard
        static = {key: row for key, row in self.static.items() if is_on_shard(row, shard)}
        return {**{key: cluster[key] for key in cluster.keys() - self.static.keys()}, **static}

    def other_shards(
        self, cluster: Mapping[TargetKey, Target], config: Config
    ) -> dict[TargetKey, Target]:
        """Every proxy that another shard polls and whose sync status this replica exposes."""
        others = {
            key: row
            for key, row in self.static.items()
            if not is_on_shard(row, config.shard) and is_synced_by_istiods(row, config)
        }
        return {**cluster, **others}
