"""Who is watched: targets by hand and the cluster's, and which of them are this replica's.

In: what discovery found and the configuration. Out: the targets to poll, and those that another
shard polls. The rule: a name given by hand is not the cluster's, on whichever shard it is.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from exporter.config import Config
from exporter.discovery.shard import is_on_shard, is_synced_by_istiods
from exporter.model import Role, Target, TargetKey


@dataclass(slots=True)
class TargetSets:
    """`given` are watched beside the configuration's own; `by_hand` is both."""

    given: Mapping[TargetKey, Target]
    by_hand: Mapping[TargetKey, Target] = field(init=False)

    def __post_init__(self) -> None:
        """Begin with what was given."""
        self.by_hand = dict(self.given)

    def take(self, targets: Iterable[Target], config: Config) -> None:
        """Take the targets written by hand; a managed control plane has no istiod to look at."""
        is_managed = config.istiod.mode == "none"
        wanted = (row for row in targets if not (is_managed and row.role is Role.ISTIOD))
        self.by_hand = {**self.given, **{target.key: target for target in wanted}}

    def ours(self, cluster: Mapping[TargetKey, Target], config: Config) -> dict[TargetKey, Target]:
        """Every target that this replica polls; `cluster` are the cluster's that are ours."""
        shard = config.shard
        mine = {key: row for key, row in self.by_hand.items() if is_on_shard(row, shard)}
        return {**{key: cluster[key] for key in cluster.keys() - self.by_hand.keys()}, **mine}

    def other_shards(
        self, cluster: Mapping[TargetKey, Target], config: Config
    ) -> dict[TargetKey, Target]:
        """Every target that another shard polls and of which this replica's istiods may speak."""
        others = {
            key: row
            for key, row in self.by_hand.items()
            if not is_on_shard(row, config.shard) and is_synced_by_istiods(row, config)
        }
        return {**cluster, **others}
