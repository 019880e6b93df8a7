"""Targets from a cluster: what appears, changes and vanishes, and what never makes it vanish."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from itertools import chain
from typing import Any

import pytest

from exporter.config import (
    Config,
    DiscoveryConfig,
    IstiodConfig,
    KubernetesConfig,
    ShardConfig,
)
from exporter.discovery.cluster import ClusterCallbacks, ClusterSource
from exporter.discovery.shard import owns
from exporter.kube.client import KubernetesClient
from exporter.kube.credentials import Credentials
from exporter.kube.watch_options import WatchOptions
from exporter.model import Role, Target, TargetKey

PODS, NODES, NAMESPACES = "/api/v1/pods", "/api/v1/nodes", "/api/v1/namespaces"
IGNORE = "istio-port-exporter/ignore"
PACE = WatchOptions(page_size=50, idle_timeout=5.0, initial_backoff=0.01, max_backoff=0.05)


class Followed:
    """What a source reported."""

    def __init__(self) -> None:
        self.targets: dict[TargetKey, Target] = {}
        self.log: list[str] = []
        self.synced: dict[str, bool] = {}
        self.relisted: list[str] = []
        self.requested: set[tuple[str, str, str]] = set()
        self.source = ClusterSource(
            ClusterCallbacks(
                put=self._put,
                drop=self._drop,
                changed=lambda: None,
                synced=self.synced.__setitem__,
                relisted=self.relisted.append,
                requested=lambda *what: self.requested.add(what),
            ),
            PACE,
        )

    def _put(self, target: Target) -> None:
        self.targets[target.key] = target
        self.log.append(f"put {target.key.pod}")

    def _drop(self, key: TargetKey) -> None:
        del self.targets[key]
        self.log.append(f"drop {key.pod}")

    @property
    def names(self) -> list[str]:
        return sorted(key.pod for key in self.targets)

    def target(self, pod: str, namespace: str = "shop") -> Target:
        return self.targets[TargetKey(namespace, pod)]

    @contextlib.asynccontextmanager
    async def running(self, cluster: Any, config: Config) -> AsyncIterator["Followed"]:
        async def load() -> Credentials:
            return Credentials(cluster.address)

        async def run() -> None:
            async with KubernetesClient(load) as api:
                await self.source.run(api, config)

        task = asyncio.create_task(run())
        try:
            yield self
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def until_synced(self) -> None:
        names = ("pods", "nodes", "namespaces")
        await until(lambda: all(self.synced.get(name) for name in names))


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - the code under test has no event for it
            await asyncio.sleep(0.005)


@contextlib.asynccontextmanager
async def following(cluster: Any, config: Config | None = None) -> AsyncIterator[Followed]:
    async with Followed().running(cluster, config or Config()) as seen:
        yield seen


def config_of(**kubernetes: Any) -> Config:
    return Config(discovery=DiscoveryConfig(kubernetes=KubernetesConfig(**kubernetes)))


def pod(name: str, namespace: str = "shop", **metadata: Any) -> dict[str, Any]:
    """A pod with a sidecar, as the API server tells it."""
    proxy = {"name": "istio-proxy", "image": "istio/proxyv2:1.28.0", "args": ["proxy", "sidecar"]}
    uid = f"{namespace}-{name}"
    return {
        "metadata": {"name": name, "namespace": namespace, "uid": uid, **metadata},
        "spec": {"containers": [proxy], "nodeName": "node-1"},
        "status": {"phase": "Running", "podIPs": [{"ip": "10.0.0.7"}]},
    }


def istiod(name: str) -> dict[str, Any]:
    document = pod(name, "istio-system", labels={"app": "istiod"})
    document["spec"]["containers"] = [{"name": "discovery", "image": "istio/pilot:1.28.0"}]
    return document


def bare(name: str, namespace: str, **metadata: Any) -> dict[str, Any]:
    document = pod(name, namespace, **metadata)
    document["spec"]["containers"] = [{"name": "app", "image": "app:1"}]
    return document


def node(name: str, ready: str) -> dict[str, Any]:
    conditions = [{"type": "DiskPressure", "status": "True"}, {"type": "Ready", "status": ready}]
    return {"metadata": {"name": name}, "status": {"conditions": conditions}}


def namespace(name: str, **metadata: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, **metadata}}


async def test_pods_become_targets_and_vanish_with_their_pods(cluster: Any) -> None:
    cart = pod("cart")
    cluster.put(PODS, cart)
    cluster.put(PODS, bare("job", "shop"))
    async with following(cluster) as seen:
        await seen.until_synced()
        assert seen.names == ["cart"]
        cluster.put(PODS, pod("web"))
        await until(lambda: seen.names == ["cart", "web"])
        cluster.delete(PODS, cart)
        await until(lambda: seen.names == ["web"])
    assert ("list", "pods", "200") in seen.requested
    assert ("watch", "pods", "200") in seen.requested


async def test_a_pod_without_an_address_is_no_target_yet(cluster: Any) -> None:
    early = pod("early")
    early["status"] = {"phase": "Pending"}
    cluster.put(PODS, early)
    async with following(cluster) as seen:
        await seen.until_synced()
        assert seen.names == []
        cluster.put(PODS, pod("early"))
        await until(lambda: seen.names == ["early"])


async def test_a_pod_that_ends_is_a_target_no_longer(cluster: Any) -> None:
    cluster.put(PODS, pod("job"))
    async with following(cluster) as seen:
        await until(lambda: seen.names == ["job"])
        ended = pod("job")
        ended["status"]["phase"] = "Succeeded"
        cluster.put(PODS, ended)
        await until(lambda: seen.names == [])


async def test_an_update_that_changes_nothing_for_us_is_not_reported(cluster: Any) -> None:
    cluster.put(PODS, pod("cart"))
    async with following(cluster) as seen:
        await seen.until_synced()
        cluster.put(PODS, pod("cart", annotations={"some": "thing"}))
        cluster.put(PODS, pod("web"))
        await until(lambda: "web" in seen.names)
        assert seen.log == ["put cart", "put web"]


async def test_the_end_of_a_node_reaches_its_pods(cluster: Any) -> None:
    cluster.put(NODES, node("node-1", "True"))
    cluster.put(PODS, pod("cart"))
    async with following(cluster) as seen:
        await seen.until_synced()
        assert seen.target("cart").lifecycle.node_ready is True
        cluster.put(NODES, node("node-1", "Unknown"))
        await until(lambda: seen.target("cart").lifecycle.node_ready is False)
        cluster.put(NODES, node("node-1", "True"))
        await until(lambda: seen.target("cart").lifecycle.node_ready is True)
        cluster.delete(NODES, node("node-1", "True"))
        await until(lambda: seen.target("cart").lifecycle.node_ready is False)
    assert seen.log.count("drop cart") == 0


async def test_what_may_not_be_read_of_nodes_stays_unknown(cluster: Any) -> None:
    cluster.refused_paths = {NODES: 403}
    cluster.put(PODS, pod("cart"))
    async with following(cluster) as seen:
        await until(lambda: seen.names == ["cart"])
        assert seen.target("cart").lifecycle.node_ready is None
        await until(lambda: bool(seen.synced["pods"]))
        assert seen.synced["nodes"] is False
    assert ("list", "nodes", "403") in seen.requested


@pytest.mark.parametrize("where", ["pod", "namespace"])
async def test_who_opts_out_is_never_a_target_and_is_counted(cluster: Any, where: str) -> None:
    annotations = {IGNORE: "true"}
    cluster.put(NAMESPACES, namespace("shop", annotations=annotations if where != "pod" else {}))
    cluster.put(PODS, pod("cart", annotations=annotations if where == "pod" else {}))
    cluster.put(PODS, bare("job", "shop", annotations=annotations))
    async with following(cluster) as seen:
        await seen.until_synced()
        assert seen.log == []
        assert seen.source.ignored == 1
        cluster.put(NAMESPACES, namespace("shop"))
        cluster.put(PODS, pod("cart"))
        await until(lambda: seen.names == ["cart"])
        assert seen.source.ignored == 0


async def test_ports_are_ignored_by_pod_and_by_namespace_together(cluster: Any) -> None:
    cluster.put(NAMESPACES, namespace("shop", annotations={IGNORE: "15090"}))
    cluster.put(PODS, pod("cart", annotations={IGNORE: "15021, 15090"}))
    async with following(cluster) as seen:
        await seen.until_synced()
        assert seen.target("cart").ignored_ports == (15090, 15021)
        cluster.put(NAMESPACES, namespace("shop"))
        await until(lambda: seen.target("cart").ignored_ports == (15021, 15090))


async def test_a_pod_that_came_back_under_its_name_is_another_target(cluster: Any) -> None:
    cluster.put(PODS, pod("web-0"))
    async with following(cluster) as seen:
        await seen.until_synced()
        cluster.put(PODS, pod("web-0", uid="another"))
        await until(lambda: seen.log == ["put web-0", "drop web-0", "put web-0"])


async def test_an_outage_removes_nothing_and_what_it_hid_is_caught_up(cluster: Any) -> None:
    gone, stays = pod("gone"), pod("stays")
    cluster.put(PODS, gone)
    cluster.put(PODS, stays)
    async with following(cluster) as seen:
        await seen.until_synced()
        cluster.refusals = [(503, {}, "down")] * 40
        for path in (PODS, NODES, NAMESPACES):
            cluster.expire(path)
        cluster.forget(PODS, gone)
        await until(lambda: len(cluster.refusals) < 20)
        assert seen.synced["pods"] is False
        assert seen.names == ["gone", "stays"]
        await seen.until_synced()
        assert seen.names == ["stays"]
        assert "pods" in seen.relisted
        assert seen.log.count("put stays") == 1


async def test_only_the_chosen_namespaces_labels_and_node_are_asked_for(cluster: Any) -> None:
    paths = [f"/api/v1/namespaces/{name}/pods" for name in ("shop", "bank")]
    cluster.put(paths[0], pod("cart"))
    cluster.put(paths[1], pod("vault", "bank"))
    config = config_of(namespaces=("shop", "bank"), label_selector="tier=web", node="node-1")
    async with following(cluster, config) as seen:
        await seen.until_synced()
        await until(lambda: seen.source.is_synced)
        assert seen.names == ["cart", "vault"]
    for path in paths:
        query = cluster.asked(path, watch=False)[0]
        assert query["labelSelector"] == "tier=web"
        assert query["fieldSelector"] == "spec.nodeName=node-1"
    assert cluster.asked(NODES, watch=False)[0]["fieldSelector"] == "metadata.name=node-1"
    assert not cluster.asked(PODS, watch=False)


async def test_an_excluded_namespace_is_not_asked_for_even_where_it_is_chosen(cluster: Any) -> None:
    cluster.put("/api/v1/namespaces/shop/pods", pod("cart"))
    chosen = config_of(namespaces=("shop", "bank"), excluded_namespaces=("bank",))
    async with following(cluster, chosen) as seen:
        await until(lambda: seen.source.is_synced)
        assert seen.names == ["cart"]
    assert not cluster.asked("/api/v1/namespaces/bank/pods", watch=False)


async def test_the_list_of_one_namespace_leaves_the_others_alone(cluster: Any) -> None:
    shop, bank = (f"/api/v1/namespaces/{name}/pods" for name in ("shop", "bank"))
    cluster.put(shop, pod("cart"))
    cluster.put(bank, pod("vault", "bank"))
    async with following(cluster, config_of(namespaces=("shop", "bank"))) as seen:
        await until(lambda: seen.names == ["cart", "vault"])
        await seen.until_synced()
        cluster.forget(shop, pod("cart"))
        cluster.expire(shop)
        await until(lambda: seen.names == ["vault"])


async def test_only_the_chosen_roles_are_targets(cluster: Any) -> None:
    cluster.put(PODS, pod("cart"))
    cluster.put(PODS, istiod("istiod-a"))
    async with following(cluster, config_of(roles=(Role.ISTIOD,))) as seen:
        await seen.until_synced()
        assert seen.names == ["istiod-a"]
        assert seen.source.ignored == 0


async def test_a_managed_control_plane_has_no_targets(cluster: Any) -> None:
    cluster.put(PODS, istiod("istiod-a"))
    async with following(cluster, Config(istiod=IstiodConfig(mode="none"))) as seen:
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
        async with following(cluster, config) as seen:
            await seen.until_synced()
            await until(lambda seen=seen: seen.source.is_synced)
            parts.append(seen.names)
    assert sorted(chain.from_iterable(parts)) == [*sorted(names), "istiod-a"]
    assert "istiod-a" in parts[0]
    assert all(len(part) > 5 for part in parts)


LISTING = IstiodConfig(debug_token_file="/tokens/debug")


def shard_of(ordinal: int, istiod: IstiodConfig = LISTING) -> Config:
    return Config(shard=ShardConfig(ordinal=ordinal, total=3), istiod=istiod)


async def test_the_first_shard_knows_the_proxies_of_the_others(cluster: Any) -> None:
    names = {f"cart-{number}" for number in range(30)}
    for name in names:
        cluster.put(PODS, pod(name))
    cluster.put(PODS, istiod("istiod-a"))
    async with following(cluster, shard_of(0)) as seen:
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
        async with following(cluster, config) as seen:
            await seen.until_synced()
            assert seen.source.other_shards == {}


MANAGED = IstiodConfig(mode="none", debug_token_file="/tokens/debug")


async def test_who_looks_at_istiods_only_knows_every_proxy(cluster: Any) -> None:
    cluster.put(PODS, pod("cart"))
    cluster.put(PODS, pod("opted-out", annotations={IGNORE: "true"}))
    cluster.put(PODS, istiod("istiod-a"))
    config = Config(discovery=config_of(roles=(Role.ISTIOD,)).discovery, istiod=LISTING)
    async with following(cluster, config) as seen:
        await seen.until_synced()
        assert seen.names == ["istiod-a"]
        assert [key.pod for key in seen.source.other_shards] == ["cart"]
        assert seen.source.ignored == 0


async def test_a_pod_that_moves_between_shards_is_known_once(cluster: Any) -> None:
    ordinals = {owns(f"uid-{number}", 0, 3): f"uid-{number}" for number in range(20)}
    cluster.put(PODS, pod("cart", uid=ordinals[False]))
    async with following(cluster, shard_of(0)) as seen:
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


async def test_an_istiod_that_opted_out_is_noticed(cluster: Any) -> None:
    cluster.put(PODS, pod("cart", annotations={IGNORE: "true"}))
    async with following(cluster) as seen:
        await seen.until_synced()
        assert (seen.source.ignored, seen.source.ignores_istiods) == (1, False)
        hidden = istiod("istiod-a")
        hidden["metadata"]["annotations"] = {IGNORE: "true"}
        cluster.put(PODS, hidden)
        await until(lambda: seen.source.ignores_istiods)


async def test_a_broken_watch_means_that_not_all_is_known(cluster: Any) -> None:
    cluster.put(PODS, pod("cart"))
    assert not Followed().source.is_watched
    async with following(cluster) as seen:
        await seen.until_synced()
        assert seen.source.is_watched
        cluster.refused_paths[PODS] = 500
        cluster.end_watches(PODS)
        await until(lambda: not seen.source.is_watched)
        assert seen.source.is_synced


async def test_pods_enrolled_in_ambient_are_counted_by_redirection(cluster: Any) -> None:
    redirected = {"ambient.istio.io/redirection": "enabled"}
    ambient = {"istio.io/dataplane-mode": "ambient"}
    cluster.put(NAMESPACES, namespace("mesh", labels=ambient))
    cluster.put(NAMESPACES, namespace("plain"))
    cluster.put(PODS, bare("a", "mesh", annotations=redirected))
    cluster.put(PODS, bare("b", "mesh"))
    cluster.put(PODS, bare("c", "plain", labels=ambient))
    cluster.put(PODS, bare("d", "plain"))
    async with following(cluster) as seen:
        await seen.until_synced()
        assert seen.source.ambient_pods() == {
            ("mesh", "node-1", "enabled"): 1,
            ("mesh", "node-1", "missing"): 1,
            ("plain", "node-1", "missing"): 1,
        }
        cluster.put(NAMESPACES, namespace("mesh"))
        cluster.delete(PODS, bare("c", "plain", labels=ambient))
        await until(lambda: not seen.source.ambient_pods())


async def test_another_configuration_keeps_what_it_still_wants(cluster: Any) -> None:
    seen = Followed()
    cluster.put(PODS, pod("cart"))
    cluster.put(PODS, pod("vault", "bank"))
    cluster.put("/api/v1/namespaces/shop/pods", pod("cart"))
    async with seen.running(cluster, Config()):
        await until(lambda: seen.names == ["cart", "vault"])
    async with seen.running(cluster, config_of(namespaces=("shop",))):
        await until(lambda: seen.names == ["cart"])
        await seen.until_synced()
        assert seen.log == ["put cart", "put vault", "drop vault"]
    await seen.source.clear()
    assert seen.names == []
    assert not any(seen.synced.values())


async def test_an_object_that_is_no_pod_is_passed_over(cluster: Any) -> None:
    async with following(cluster) as seen:
        await seen.until_synced()
        cluster.send(PODS, b'{"type": "ADDED", "object": {"metadata": {"name": 7}}}\n')
        cluster.put(PODS, pod("cart"))
        await until(lambda: seen.names == ["cart"])


async def test_a_pod_that_cannot_be_read_is_left_out_until_it_can_be(cluster: Any) -> None:
    unreadable = pod("cart")
    unreadable["spec"]["containers"][0]["ports"] = [{"containerPort": "web"}]
    cluster.put(PODS, unreadable)
    cluster.put(PODS, pod("vault"))
    async with following(cluster) as seen:
        await until(lambda: seen.names == ["vault"])
        cluster.put(PODS, pod("cart"))
        await until(lambda: seen.names == ["cart", "vault"])
        cluster.put(PODS, unreadable)
        await until(lambda: seen.names == ["vault"])
    assert seen.relisted == []


async def test_a_pod_whose_address_is_none_is_no_target_yet(cluster: Any) -> None:
    odd = pod("cart")
    odd["status"] = {"podIP": "not-an-ip", "podIPs": [{"ip": "10.0.0.1/24"}]}
    cluster.put(PODS, odd)
    async with following(cluster) as seen:
        await seen.until_synced()
        assert seen.names == []
        cluster.put(PODS, pod("cart"))
        await until(lambda: seen.names == ["cart"])


async def test_each_trouble_is_logged_once_and_its_end_too(
    cluster: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "exporter.discovery")
    cluster.put(PODS, pod("cart"))
    async with following(cluster) as seen:
        await seen.until_synced()
        cluster.refused_paths = {PODS: 403}
        cluster.end_watches(PODS)
        await until(lambda: len(cluster.asked(PODS, watch=True)) > 4)
        assert seen.names == ["cart"]
        cluster.refused_paths = {}
        await until(lambda: bool(seen.synced["pods"]))
    lines = [record.getMessage() for record in caplog.records if PODS in record.getMessage()]
    assert len([line for line in lines if "status=403" in line]) == 1
    assert lines[-1] == "kubernetes watch works again path=/api/v1/pods"


SERVICES = "/api/v1/services"
GATEWAY_API = {"gateway.networking.k8s.io/gateway-name": "web"}


def gateway(name: str) -> dict[str, Any]:
    document = pod(name, labels=GATEWAY_API)
    document["spec"]["containers"][0]["args"] = ["proxy", "router"]
    return document


def service(*ports: int) -> dict[str, Any]:
    rows = [{"port": port, "targetPort": port} for port in ports]
    metadata = {"name": "web", "namespace": "shop"}
    return {"metadata": metadata, "spec": {"selector": GATEWAY_API, "ports": rows}}


async def test_services_are_not_read_unless_that_was_chosen(cluster: Any) -> None:
    cluster.put(PODS, gateway("web-1"))
    cluster.put(SERVICES, service(8443))
    async with following(cluster) as seen:
        await seen.until_synced()
        assert seen.target("web-1").settings.server_ports == ()
    assert not cluster.asked(SERVICES, watch=False)


async def test_the_ports_that_services_ask_of_a_gateway_follow_them(cluster: Any) -> None:
    cluster.put(PODS, gateway("web-1"))
    cluster.put(SERVICES, service(8443))
    async with following(cluster, config_of(services=True)) as seen:
        await until(lambda: "web-1" in seen.names)
        await until(lambda: seen.target("web-1").settings.server_ports == (8443,))
        cluster.put(SERVICES, service(8443, 9443))
        await until(lambda: seen.target("web-1").settings.server_ports == (8443, 9443))
        cluster.delete(SERVICES, service())
        await until(lambda: seen.target("web-1").settings.server_ports == ())
    assert "drop web-1" not in seen.log


async def test_services_are_listed_in_the_chosen_namespaces_only(cluster: Any) -> None:
    paths = [f"/api/v1/namespaces/shop/{kind}" for kind in ("pods", "services")]
    cluster.put(paths[0], gateway("web-1"))
    cluster.put(paths[1], service(8443))
    async with following(cluster, config_of(services=True, namespaces=("shop",))) as seen:
        await until(lambda: "web-1" in seen.names)
        await until(lambda: seen.target("web-1").settings.server_ports == (8443,))
    assert not cluster.asked(SERVICES, watch=False)


async def test_services_that_are_not_read_any_more_ask_for_nothing(cluster: Any) -> None:
    seen = Followed()
    cluster.put(PODS, gateway("web-1"))
    cluster.put(SERVICES, service(8443))
    async with seen.running(cluster, config_of(services=True)):
        await until(lambda: "web-1" in seen.names)
        await until(lambda: seen.target("web-1").settings.server_ports == (8443,))
    async with seen.running(cluster, Config()):
        await until(lambda: seen.target("web-1").settings.server_ports == ())
