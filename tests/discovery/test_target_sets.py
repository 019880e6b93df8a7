"""Static targets and the cluster's together, by name and shard."""

from collections.abc import Iterable

from exporter.config import Config, IstiodConfig, ShardConfig
from exporter.discovery.target_sets import TargetSets
from exporter.model import Role, Target, TargetKey

READS_SYNCZ = IstiodConfig(debug_token_file="/tokens/debug")
NAMES = [f"vm-{number}" for number in range(30)]


def target(name: str, role: Role = Role.SIDECAR, address: str = "10.0.0.1") -> Target:
    return Target(key=TargetKey("ns", name), role=role, addresses=(address,), uid=name)


def by_key(*targets: Target) -> dict[TargetKey, Target]:
    return {row.key: row for row in targets}


def pods(targets: Iterable[TargetKey]) -> set[str]:
    return {key.pod for key in targets}


def static(*targets: Target, config: Config | None = None) -> TargetSets:
    sets = TargetSets({})
    sets.take(targets, config or Config())
    return sets


def test_a_static_target_hides_the_clusters_of_the_same_name() -> None:
    sets = static(target("a", address="10.9.9.9"))
    owned = sets.owned(by_key(target("a"), target("b")), Config())
    assert {key.pod: row.addresses for key, row in owned.items()} == {
        "a": ("10.9.9.9",),
        "b": ("10.0.0.1",),
    }


def test_a_preset_target_stays_whatever_the_configuration_lists() -> None:
    sets = TargetSets(by_key(target("preset")))
    assert pods(sets.static) == {"preset"}
    sets.take([target("a")], Config())
    sets.take([target("b")], Config())
    assert pods(sets.static) == {"preset", "b"}


def test_a_managed_control_plane_has_no_static_istiod() -> None:
    rows = (target("istiod", Role.ISTIOD), target("vm"))
    assert pods(static(*rows, config=Config(istiod=IstiodConfig(mode="none"))).static) == {"vm"}
    assert pods(static(*rows).static) == {"istiod", "vm"}


def test_static_targets_are_divided_among_the_shards() -> None:
    sets = static(*map(target, NAMES))
    parts = [
        pods(sets.owned({}, Config(shard=ShardConfig(ordinal=ordinal, total=3))))
        for ordinal in range(3)
    ]
    assert sorted(name for part in parts for name in part) == sorted(NAMES)
    assert all(parts)


def test_a_static_target_of_another_shard_hides_the_clusters_too() -> None:
    sets = static(*map(target, NAMES))
    cluster = by_key(*map(target, NAMES))
    for ordinal in range(3):
        config = Config(shard=ShardConfig(ordinal=ordinal, total=3))
        assert pods(sets.owned(cluster, config)) == pods(sets.owned({}, config))


def test_the_first_shard_exposes_the_sync_status_of_the_others_static_targets() -> None:
    sets = static(*map(target, NAMES))
    first = Config(shard=ShardConfig(ordinal=0, total=3), istiod=READS_SYNCZ)
    others = sets.other_shards(by_key(target("pod")), first)
    assert pods(others) == {"pod", *NAMES} - pods(sets.owned({}, first))
    second = Config(shard=ShardConfig(ordinal=1, total=3), istiod=READS_SYNCZ)
    assert sets.other_shards({}, second) == {}
