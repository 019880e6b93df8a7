"""Targets from a cluster: what appears and is dropped, and what never drops a target."""

import asyncio
from typing import Any

from exporter.config import Config
from tests.discovery.cluster_source import (
    IGNORE,
    NAMESPACES,
    NODES,
    PODS,
    SERVICES,
    Watched,
    bare,
    config_of,
    gateway,
    namespace,
    pod,
    service,
    to,
    watching,
)
from tests.until import until


async def test_pods_become_targets_and_are_dropped_with_their_pods(cluster: Any) -> None:
    cart = pod("cart")
    cluster.put(PODS, cart)
    cluster.put(PODS, bare("job", "shop"))
    async with watching(cluster) as seen:
        await seen.until_synced()
        assert seen.names == ["cart"]
        cluster.put(PODS, pod("web"))
        await until(lambda: seen.names == ["cart", "web"])
        cluster.delete(PODS, cart)
        await until(lambda: seen.names == ["web"])
    assert ("list", "pods", "200") in seen.requested
    assert ("watch", "pods", "200") in seen.requested


async def test_a_pod_that_ends_is_a_target_no_longer(cluster: Any) -> None:
    cluster.put(PODS, pod("job"))
    async with watching(cluster) as seen:
        await until(lambda: seen.names == ["job"])
        ended = pod("job")
        ended["status"]["phase"] = "Succeeded"
        cluster.put(PODS, ended)
        await until(lambda: seen.names == [])


async def test_an_outage_drops_no_target_and_the_next_list_catches_up(cluster: Any) -> None:
    gone, stays = pod("gone"), pod("stays")
    cluster.put(PODS, gone)
    cluster.put(PODS, stays)
    async with watching(cluster) as seen:
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


async def test_the_list_of_one_namespace_drops_no_pods_of_another(cluster: Any) -> None:
    shop, bank = (f"/api/v1/namespaces/{name}/pods" for name in ("shop", "bank"))
    cluster.put(shop, pod("cart"))
    cluster.put(bank, pod("vault", "bank"))
    async with watching(cluster, config_of(namespaces=("shop", "bank"))) as seen:
        await until(lambda: seen.names == ["cart", "vault"])
        await seen.until_synced()
        cluster.forget(shop, pod("cart"))
        cluster.expire(shop)
        await until(lambda: seen.names == ["vault"])


async def test_another_configuration_keeps_the_targets_that_it_still_chooses(cluster: Any) -> None:
    seen = Watched()
    cluster.put(PODS, pod("cart"))
    cluster.put(PODS, pod("vault", "bank"))
    cluster.put("/api/v1/namespaces/shop/pods", pod("cart"))
    async with seen.running(to(cluster), Config()):
        await until(lambda: seen.names == ["cart", "vault"])
    async with seen.running(to(cluster), config_of(namespaces=("shop",))):
        await until(lambda: seen.names == ["cart"])
        await seen.until_synced()
        assert seen.log == ["put cart", "put vault", "drop vault"]
    await seen.source.clear()
    assert seen.names == []
    assert set(seen.synced.values()) == {None}


async def test_an_object_that_is_no_pod_is_skipped(cluster: Any) -> None:
    async with watching(cluster) as seen:
        await seen.until_synced()
        cluster.send(PODS, b'{"type": "ADDED", "object": {"metadata": {"name": 7}}}\n')
        cluster.put(PODS, pod("cart"))
        await until(lambda: seen.names == ["cart"])


async def test_a_malformed_pod_is_no_target_until_it_is_corrected(cluster: Any) -> None:
    unreadable = pod("cart")
    unreadable["spec"]["containers"][0]["ports"] = [{"containerPort": "web"}]
    cluster.put(PODS, unreadable)
    cluster.put(PODS, pod("vault"))
    async with watching(cluster) as seen:
        await until(lambda: seen.names == ["vault"])
        cluster.put(PODS, pod("cart"))
        await until(lambda: seen.names == ["cart", "vault"])
        cluster.put(PODS, unreadable)
        await until(lambda: seen.names == ["vault"])
    assert seen.relisted == []
    assert set(seen.refused) == {"pods"}


async def test_services_are_not_listed_unless_that_was_chosen(cluster: Any) -> None:
    cluster.put(PODS, gateway("web-1"))
    cluster.put(SERVICES, service(8443))
    async with watching(cluster) as seen:
        await seen.until_synced()
        assert seen.target("web-1").settings.server_ports == ()
    assert not cluster.queries(SERVICES, watch=False)


async def test_a_gateway_has_the_ports_of_its_services_as_they_change(cluster: Any) -> None:
    cluster.put(PODS, gateway("web-1"))
    cluster.put(SERVICES, service(8443))
    async with watching(cluster, config_of(services=True)) as seen:
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
    async with watching(cluster, config_of(services=True, namespaces=("shop",))) as seen:
        await until(lambda: "web-1" in seen.names)
        await until(lambda: seen.target("web-1").settings.server_ports == (8443,))
    assert not cluster.queries(SERVICES, watch=False)


async def test_a_gateway_loses_the_ports_of_services_that_are_listed_no_more(cluster: Any) -> None:
    seen = Watched()
    cluster.put(PODS, gateway("web-1"))
    cluster.put(SERVICES, service(8443))
    async with seen.running(to(cluster), config_of(services=True)):
        await until(lambda: "web-1" in seen.names)
        await until(lambda: seen.target("web-1").settings.server_ports == (8443,))
    async with seen.running(to(cluster), Config()):
        await until(lambda: seen.target("web-1").settings.server_ports == ())


async def test_a_reload_while_pods_are_merged_anew_leaves_none_as_it_was(cluster: Any) -> None:
    seen, number = Watched(), 600
    cluster.put(NAMESPACES, namespace("shop"))
    for one in range(number):
        cluster.put(PODS, pod(f"web-{one}"))
    async with seen.running(to(cluster), Config()):
        await until(lambda: len(seen.targets) == number)
        cluster.put(NAMESPACES, namespace("shop", annotations={IGNORE: "true"}))
        while len(seen.targets) == number:  # noqa: ASYNC110 - the first of many turns
            await asyncio.sleep(0)
    assert seen.targets, "some are left for the watches that start now"
    async with seen.running(to(cluster), config_of(excluded_namespaces=("other",))):
        await until(lambda: not seen.targets)


async def test_a_service_concerns_the_gateways_of_its_namespace_alone(cluster: Any) -> None:
    cluster.put(PODS, gateway("web-1"))
    cluster.put(PODS, pod("cart"))
    cluster.put(PODS, pod("other", "bank"))
    async with watching(cluster, config_of(services=True)) as seen:
        await seen.until_synced(("pods", "services"))
        await until(lambda: len(seen.names) == 3)
        stale = seen.source._stale
        await until(lambda: not stale)
        seen.source._service_changed("shop/web")
        assert {key.pod for key in stale} == {"web-1"}
