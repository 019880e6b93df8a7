"""Static targets and the cluster's together, by name and shard."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable
from dataclasses import replace
from typing import Any

import pytest

from exporter.config import Config, IstiodConfig, ShardConfig
from exporter.discovery.target_sets import TargetSets
from exporter.kube.client import KubernetesClient
from exporter.kube.credentials import Credentials
from exporter.model import Role, Target, TargetKey
from exporter.selfmetrics.registry import SelfMetrics
from tests.discovery.cluster_source import PODS, pod
from tests.until import until

READS_SYNCZ = IstiodConfig(debug_token_file="/tokens/debug")
NAMES = [f"vm-{number}" for number in range(30)]
STATIC = "10.9.9.9"
"""The address of static targets; the cluster's have another."""


class Polled:
    """The targets that are polled."""

    def __init__(self) -> None:
        self.targets: dict[TargetKey, Target] = {}

    def put(self, target: Target) -> None:
        self.targets[target.key] = target

    def drop(self, key: TargetKey) -> None:
        del self.targets[key]

    @property
    def addresses(self) -> dict[str, str]:
        return {key.pod: target.addresses[0] for key, target in self.targets.items()}


@pytest.fixture
def polled() -> Polled:
    return Polled()


def target(name: str, role: Role = Role.SIDECAR) -> Target:
    return Target(key=TargetKey("shop", name), role=role, addresses=(STATIC,), uid=name)


def sets_of(polled: Polled, preset: Iterable[Target] = ()) -> TargetSets:
    return TargetSets(preset, polled, SelfMetrics("1.0"))


def shard(ordinal: int) -> Config:
    return Config(shard=ShardConfig(ordinal=ordinal, total=3), istiod=READS_SYNCZ)


@contextlib.asynccontextmanager
async def watched(sets: TargetSets, cluster: Any, config: Config) -> AsyncIterator[None]:
    """Watch the cluster until the block ends; every pod is listed when it begins."""

    async def load() -> Credentials:
        return Credentials(cluster.address)

    async def run() -> None:
        async with KubernetesClient(load) as api:
            await sets.cluster.run(api, config)

    sets.has_cluster = True
    task = asyncio.create_task(run())
    try:
        await until(lambda: sets.cluster.is_watched)
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})


async def test_a_static_target_hides_the_clusters_of_the_same_name(
    cluster: Any, polled: Polled
) -> None:
    cluster.put(PODS, pod("a"))
    cluster.put(PODS, pod("b"))
    sets = sets_of(polled)
    async with watched(sets, cluster, Config()):
        assert polled.addresses == {"a": "10.0.0.7", "b": "10.0.0.7"}
        await sets.take_static([target("a")], Config())
        assert polled.addresses == {"a": STATIC, "b": "10.0.0.7"}
        cluster.delete(PODS, pod("a"))
        cluster.put(PODS, pod("c"))
        await until(lambda: "c" in polled.addresses)
        assert polled.addresses["a"] == STATIC
        cluster.put(PODS, pod("a"))
        await sets.take_static([], Config())
        await until(lambda: polled.addresses == dict.fromkeys("abc", "10.0.0.7"))


async def test_a_preset_target_stays_whatever_the_configuration_lists(polled: Polled) -> None:
    sets = sets_of(polled, [target("preset")])
    await sets.take_static([target("a")], Config())
    await sets.take_static([target("b")], Config())
    assert set(polled.addresses) == {"preset", "b"}


@pytest.mark.parametrize(
    ("config", "expected"),
    [(Config(istiod=IstiodConfig(mode="none")), {"vm"}), (Config(), {"vm", "istiod"})],
    ids=["managed", "own"],
)
async def test_a_managed_control_plane_has_no_static_istiod(
    polled: Polled, config: Config, expected: set[str]
) -> None:
    await sets_of(polled).take_static([target("istiod", Role.ISTIOD), target("vm")], config)
    assert set(polled.addresses) == expected


async def test_static_targets_are_divided_among_the_shards() -> None:
    shards = [Polled(), Polled(), Polled()]
    for ordinal, part in enumerate(shards):
        await sets_of(part).take_static(map(target, NAMES), shard(ordinal))
    assert sorted(name for part in shards for name in part.addresses) == sorted(NAMES)
    assert all(part.targets for part in shards)


async def test_a_static_target_of_another_shard_hides_the_clusters_too(
    cluster: Any, polled: Polled
) -> None:
    for name in NAMES:
        cluster.put(PODS, pod(name))
    sets = sets_of(polled)
    async with watched(sets, cluster, shard(0)):
        assert polled.targets
        await sets.take_static(map(target, NAMES), shard(0))
        assert polled.targets
        assert set(polled.addresses.values()) == {STATIC}


async def test_only_the_first_shard_keeps_the_static_proxies_of_the_others(polled: Polled) -> None:
    sets = sets_of(polled)
    await sets.take_static(map(target, NAMES), shard(0))
    others = sets.other_shards()
    assert {key.pod for key in others} == set(NAMES) - set(polled.addresses)
    assert all(sets.on_other_shard(key) == row for key, row in others.items())
    await sets.take_static(map(target, NAMES), shard(1))
    assert sets.other_shards() == {}


async def test_targets_are_synced_once_every_source_has_reported(
    cluster: Any, polled: Polled
) -> None:
    cluster.put(PODS, pod("a"))
    sets = sets_of(polled)
    async with watched(sets, cluster, Config()):
        assert not sets.is_synced, "the static targets are missing"
        await sets.take_static([], Config())
        assert (sets.is_synced, sets.is_current) == (True, True)
        cluster.refused_paths[PODS] = 500
        cluster.end_watches(PODS)
        await until(lambda: not sets.is_current)
        assert sets.is_synced


async def test_the_api_names_a_pod_by_uid_address_and_start_while_pods_are_watched(
    cluster: Any, polled: Polled
) -> None:
    cluster.put(PODS, pod("cart"))
    sets = sets_of(polled)
    async with watched(sets, cluster, Config()):
        (found,) = polled.targets.values()
        address = found.addresses[0]
        assert sets.names(found, address)
        restarted = replace(found.lifecycle, started=(found.lifecycle.started or 0.0) + 9)
        for other in (replace(found, uid="another"), replace(found, lifecycle=restarted)):
            assert not sets.names(other, address)
        assert not sets.names(found, "10.0.0.99")
        cluster.refused_paths[PODS] = 403
        cluster.expire(PODS)
        await until(lambda: not sets.names(found, address))
        assert found.key in polled.targets
