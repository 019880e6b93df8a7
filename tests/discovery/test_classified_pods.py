"""Which pods this replica polls, and which it only keeps."""

import asyncio
import gc
from collections.abc import Awaitable, Callable, Iterator
from itertools import chain
from typing import Any

import pytest

from exporter.config import Config, IstiodConfig, ShardConfig
from exporter.discovery.classified_pods import ClassifiedPod, ClassifiedPods
from exporter.discovery.missing_proxies import NamespaceInjection
from exporter.discovery.nodes_and_namespaces import NamespaceSettings
from exporter.discovery.shard import owns
from exporter.model import Role, TargetKey
from tests.discovery.cluster_source import (
    IGNORE,
    NAMESPACES,
    PODS,
    bare,
    config_of,
    istiod,
    namespace,
    pod,
    watching,
)
from tests.test_turn import LONGEST_SECONDS, longest_turn
from tests.until import until

LISTING = IstiodConfig(debug_token_file="/tokens/debug")


MANAGED = IstiodConfig(mode="none", debug_token_file="/tokens/debug")


def shard_of(ordinal: int, istiod: IstiodConfig = LISTING) -> Config:
    return Config(shard=ShardConfig(ordinal=ordinal, total=3), istiod=istiod)


async def until_counted(count: Callable[[], Awaitable[object]], expected: object) -> None:
    async with asyncio.timeout(30):
        while await count() != expected:  # noqa: ASYNC110 - it is counted when asked
            await asyncio.sleep(0.01)


async def test_only_the_chosen_roles_are_targets(cluster: Any) -> None:
    cluster.put(PODS, pod("cart"))
    cluster.put(PODS, istiod("istiod-a"))
    async with watching(cluster, config_of(roles=(Role.ISTIOD,))) as seen:
        await seen.until_synced()
        assert seen.names == ["istiod-a"]
        assert seen.source.ignored == 0


async def test_a_managed_control_plane_has_no_targets(cluster: Any) -> None:
    cluster.put(PODS, istiod("istiod-a"))
    async with watching(cluster, Config(istiod=IstiodConfig(mode="none"))) as seen:
        await seen.until_synced()
        assert seen.names == []


async def test_shards_divide_the_pods_and_the_first_has_istiod(cluster: Any) -> None:
    names = [f"cart-{number}" for number in range(60)]
    for name in names:
        cluster.put(PODS, pod(name))
    cluster.put(PODS, istiod("istiod-a"))
    parts = []
    for ordinal in range(3):
        config = Config(shard=ShardConfig(ordinal=ordinal, total=3))
        async with watching(cluster, config) as seen:
            await seen.until_synced()
            await until(lambda seen=seen: seen.source.is_synced)
            parts.append(seen.names)
    assert sorted(chain.from_iterable(parts)) == [*sorted(names), "istiod-a"]
    assert "istiod-a" in parts[0]
    assert all(len(part) > 5 for part in parts)


async def test_the_first_shard_keeps_the_proxies_of_the_others(cluster: Any) -> None:
    names = {f"cart-{number}" for number in range(30)}
    for name in names:
        cluster.put(PODS, pod(name))
    cluster.put(PODS, istiod("istiod-a"))
    async with watching(cluster, shard_of(0)) as seen:
        await seen.until_synced()
        source = seen.source
        assert {key.pod for key in source.other_shards} == names - set(seen.names)
        assert 5 < len(source.other_shards) < 30
        known = next(iter(source.other_shards.values()))
        assert (known.key.namespace, known.role, known.labels) == ("shop", Role.SIDECAR, {})
        seen.targets[known.key] = known
        cluster.delete(PODS, pod(known.key.pod))
        await until(lambda: known.key not in source.other_shards)
        assert f"drop {known.key.pod}" in seen.log, "what is said of it has to vanish too"
    for config in (shard_of(1), shard_of(0, IstiodConfig()), shard_of(0, MANAGED)):
        async with watching(cluster, config) as seen:
            await seen.until_synced()
            assert seen.source.other_shards == {}


async def test_a_replica_for_istiods_alone_keeps_every_proxy(cluster: Any) -> None:
    cluster.put(PODS, pod("cart"))
    cluster.put(PODS, pod("opted-out", annotations={IGNORE: "true"}))
    cluster.put(PODS, istiod("istiod-a"))
    config = Config(discovery=config_of(roles=(Role.ISTIOD,)).discovery, istiod=LISTING)
    async with watching(cluster, config) as seen:
        await seen.until_synced()
        assert seen.names == ["istiod-a"]
        assert [key.pod for key in seen.source.other_shards] == ["cart"]
        assert seen.source.ignored == 0


async def test_a_pod_that_moves_between_shards_is_in_one_of_them(cluster: Any) -> None:
    ordinals = {owns(f"uid-{number}", 0, 3): f"uid-{number}" for number in range(20)}
    cluster.put(PODS, pod("cart", uid=ordinals[False]))
    async with watching(cluster, shard_of(0)) as seen:
        await seen.until_synced()
        key = TargetKey("shop", "cart")
        assert (key in seen.source.other_shards, seen.names) == (True, [])
        seen.targets[key] = seen.source.other_shards[key]
        cluster.put(PODS, pod("cart", uid=ordinals[True]))
        await until(lambda: key in seen.source.owned)
        assert (seen.source.other_shards, seen.log) == ({}, ["drop cart", "put cart"])
        cluster.put(PODS, pod("cart", uid=ordinals[False]))
        await until(lambda: key in seen.source.other_shards)
        assert (seen.source.owned, seen.names) == ({}, [])


async def test_pods_enrolled_in_ambient_are_counted_by_redirection(cluster: Any) -> None:
    redirected = {"ambient.istio.io/redirection": "enabled"}
    ambient = {"istio.io/dataplane-mode": "ambient"}
    cluster.put(NAMESPACES, namespace("mesh", labels=ambient))
    cluster.put(NAMESPACES, namespace("plain"))
    cluster.put(PODS, bare("a", "mesh", annotations=redirected))
    cluster.put(PODS, bare("b", "mesh"))
    cluster.put(PODS, bare("c", "plain", labels=ambient))
    cluster.put(PODS, bare("d", "plain"))
    async with watching(cluster) as seen:
        await seen.until_synced()
        assert await seen.source.ambient_pods() == {
            ("mesh", "node-1", "enabled"): 1,
            ("mesh", "node-1", "missing"): 1,
            ("plain", "node-1", "missing"): 1,
        }
        cluster.put(NAMESPACES, namespace("mesh"))
        cluster.put(PODS, bare("a", "mesh"))
        cluster.delete(PODS, bare("c", "plain", labels=ambient))
        await until_counted(seen.source.ambient_pods, {})


@pytest.fixture
def no_collections() -> Iterator[None]:
    """None of the garbage collector's, which would go through what other tests left."""
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_collections")
@pytest.mark.parametrize("ignore", ["15090,9080", "9080," * 3000], ids=["short", "long"])
async def test_very_many_pods_are_counted_and_nobody_waits_for_long(ignore: str) -> None:
    pods, count = ClassifiedPods(), 20_000
    missing = dict.fromkeys(NamespaceInjection, "namespace")
    for number in range(count):
        one = ClassifiedPod(
            is_owned=True,
            target=None,
            ignore=ignore,
            node=f"node-{number % 500}",
            ambient=("", "enabled"),
            missing_proxy=missing,
        )
        pods.set(TargetKey(f"ns-{number % 100}", f"cart-{number}"), one)
    ambient = asyncio.create_task(pods.ambient(lambda _: True))
    assert await longest_turn(ambient) < LONGEST_SECONDS  # type: ignore[arg-type]
    proxies = asyncio.create_task(pods.missing_proxies(lambda _: NamespaceSettings()))
    assert await longest_turn(proxies) < LONGEST_SECONDS  # type: ignore[arg-type]
    assert sum(ambient.result().values()) == sum(proxies.result().values()) == count


async def test_pods_that_lack_their_proxy_are_counted_by_what_asks_for_it(cluster: Any) -> None:
    asks = {"sidecar.istio.io/inject": "true"}
    cluster.put(NAMESPACES, namespace("mesh", labels={"istio-injection": "enabled"}))
    cluster.put(NAMESPACES, namespace("plain"))
    cluster.put(PODS, bare("a", "mesh"))
    cluster.put(PODS, bare("b", "mesh", annotations={IGNORE: "true"}))
    cluster.put(PODS, bare("c", "plain", labels=asks))
    cluster.put(PODS, bare("d", "plain"))
    cluster.put(PODS, pod("cart", "mesh"))
    async with watching(cluster) as seen:
        await seen.until_synced()
        assert await seen.source.missing_proxies() == {
            ("mesh", "namespace"): 1,
            ("plain", "pod"): 1,
        }
        cluster.put(NAMESPACES, namespace("mesh", labels={"istio-injection": "disabled"}))
        cluster.put(PODS, bare("d", "plain", labels=asks))
        await until_counted(seen.source.missing_proxies, {("plain", "pod"): 2})


def test_pods_are_found_by_node_and_namespace_where_they_are_now() -> None:
    pods = ClassifiedPods()

    def on(node: str) -> ClassifiedPod:
        return ClassifiedPod(
            is_owned=True, target=None, ignore="", node=node, ambient=("", ""), missing_proxy={}
        )

    web, cart = TargetKey("shop", "web"), TargetKey("shop", "cart")
    pods.set(web, on("a"))
    pods.set(cart, on("a"))
    pods.set(TargetKey("bank", "web"), on("a"))
    pods.set(web, on("b"))
    assert (set(pods.in_namespace("shop")), pods.on_node("b")) == ({web, cart}, (web,))
    for key in tuple(pods):
        pods.set(key, None)
    assert (pods.in_namespace("shop"), pods.on_node("a"), pods._groups) == ((), (), {})
