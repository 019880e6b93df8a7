"""Pods merged with nodes, namespaces and annotations, as the source reports them."""

from typing import Any

import pytest

from exporter.model.lifecycle import CANNOT_BE_CREATED, PREPARING
from tests.discovery.cluster_source import (
    IGNORE,
    NAMESPACES,
    NODES,
    PODS,
    Watched,
    bare,
    config_of,
    istiod,
    namespace,
    node,
    pod,
    to,
    watching,
)
from tests.until import until


async def test_a_pod_without_an_address_is_no_target_yet(cluster: Any) -> None:
    early = pod("early")
    early["status"] = {"phase": "Pending"}
    cluster.put(PODS, early)
    async with watching(cluster) as seen:
        await seen.until_synced()
        assert seen.names == []
        cluster.put(PODS, pod("early"))
        await until(lambda: seen.names == ["early"])


async def test_a_deleted_pod_that_has_ended_is_a_target_until_it_is_gone(cluster: Any) -> None:
    held = pod("held")
    held["status"]["phase"] = "Failed"
    held["metadata"]["deletionTimestamp"] = "2026-11-26T10:00:00Z"
    cluster.put(PODS, held)
    async with watching(cluster) as seen:
        await until(lambda: seen.names == ["held"])
        cluster.delete(PODS, held)
        await until(lambda: seen.names == [])


async def test_an_update_that_changes_no_target_is_not_reported(cluster: Any) -> None:
    cluster.put(PODS, pod("cart"))
    async with watching(cluster) as seen:
        await seen.until_synced()
        cluster.put(PODS, pod("cart", annotations={"some": "thing"}))
        cluster.put(PODS, pod("web"))
        await until(lambda: "web" in seen.names)
        assert seen.log == ["put cart", "put web"]


def waiting(name: str, reason: str, uid: str = "1", **status: Any) -> dict[str, Any]:
    """A pod whose proxy waits for this reason."""
    document = pod(name)
    state = {"name": "istio-proxy", "state": {"waiting": {"reason": reason}}, **status}
    document["metadata"]["uid"] = uid
    document["status"] |= {"phase": "Pending", "containerStatuses": [state]}
    return document


@pytest.mark.parametrize("reason", sorted(CANNOT_BE_CREATED))
@pytest.mark.parametrize("forgotten", sorted(PREPARING))
async def test_why_a_container_cannot_be_made_outlives_a_restart_of_its_kubelet(
    cluster: Any, reason: str, forgotten: str
) -> None:
    """The kubelet has that in memory only; for some seconds it reports what a new pod has."""
    cluster.put(PODS, waiting("cart", reason))
    async with watching(cluster) as seen:
        await seen.until_synced()
        cluster.put(PODS, waiting("cart", forgotten))
        cluster.put(PODS, pod("web"))
        await until(lambda: "web" in seen.names)
        assert seen.log == ["put cart", "put web"]
        assert seen.target("cart").lifecycle.trouble.startswith(reason)


CHANGED = {
    "another reason": waiting("cart", "CrashLoopBackOff"),
    "a further run": waiting("cart", "ContainerCreating", restartCount=1),
    "it runs": waiting("cart", "", state={"running": {}}),
    "another pod of the name": waiting("cart", "ContainerCreating", uid="2"),
}


@pytest.mark.parametrize("after", CHANGED.values(), ids=CHANGED)
async def test_why_a_container_could_not_be_made_is_over_with_whatever_comes_of_it(
    cluster: Any, after: dict[str, Any]
) -> None:
    cluster.put(PODS, waiting("cart", "ImagePullBackOff"))
    async with watching(cluster) as seen:
        await until(lambda: seen.names == ["cart"])
        cluster.put(PODS, after)
        await until(lambda: "ImagePullBackOff" not in seen.target("cart").lifecycle.trouble)
        (proxy,) = seen.target("cart").lifecycle.containers
        assert proxy.reason != "ImagePullBackOff"


async def test_a_node_that_becomes_unready_changes_its_pods(cluster: Any) -> None:
    cluster.put(NODES, node("node-1", "True"))
    cluster.put(PODS, pod("cart"))
    async with watching(cluster) as seen:
        await seen.until_synced()
        assert seen.target("cart").lifecycle.node_ready is True
        cluster.put(NODES, node("node-1", "Unknown"))
        await until(lambda: seen.target("cart").lifecycle.node_ready is False)
        cluster.put(NODES, node("node-1", "True"))
        await until(lambda: seen.target("cart").lifecycle.node_ready is True)
        cluster.delete(NODES, node("node-1", "True"))
        await until(lambda: seen.target("cart").lifecycle.node_ready is False)
    assert seen.log.count("drop cart") == 0


async def test_nodes_and_namespaces_are_forgotten_once_they_are_not_to_be_read(
    cluster: Any,
) -> None:
    cluster.put(NODES, node("node-1", "Unknown"))
    cluster.put(NAMESPACES, namespace("bank", annotations={IGNORE: "true"}))
    cluster.put(PODS, pod("cart"))
    cluster.put(PODS, pod("vault", "bank"))
    seen = Watched()
    async with seen.running(to(cluster), config_of()):
        await seen.until_synced()
        assert seen.names == ["cart"]
        await until(lambda: seen.target("cart").lifecycle.node_ready is False)
    cluster.refused_paths = {NODES: 403, NAMESPACES: 403}
    async with seen.running(to(cluster), config_of(cluster_scoped=False)):
        await until(lambda: seen.names == ["cart", "vault"])
        await until(lambda: seen.target("cart").lifecycle.node_ready is None)
        await until(lambda: bool(seen.synced["pods"]))
    assert (seen.synced["nodes"], seen.synced["namespaces"]) == (None, None)
    assert not [one for one in seen.requested if one[2] == "403"]


async def test_readiness_is_unknown_where_nodes_may_not_be_listed(cluster: Any) -> None:
    cluster.refused_paths = {NODES: 403}
    cluster.put(PODS, pod("cart"))
    async with watching(cluster) as seen:
        await until(lambda: seen.names == ["cart"])
        assert seen.target("cart").lifecycle.node_ready is None
        await until(lambda: bool(seen.synced["pods"]))
        assert seen.synced["nodes"] is False
    assert ("list", "nodes", "403") in seen.requested


@pytest.mark.parametrize("where", ["pod", "namespace"])
async def test_an_ignored_pod_is_never_a_target_and_is_counted(cluster: Any, where: str) -> None:
    annotations = {IGNORE: "true"}
    cluster.put(NAMESPACES, namespace("shop", annotations=annotations if where != "pod" else {}))
    cluster.put(PODS, pod("cart", annotations=annotations if where == "pod" else {}))
    cluster.put(PODS, bare("job", "shop", annotations=annotations))
    async with watching(cluster) as seen:
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
    async with watching(cluster) as seen:
        await seen.until_synced()
        assert seen.target("cart").ignored_ports == (15090, 15021)
        cluster.put(NAMESPACES, namespace("shop"))
        await until(lambda: seen.target("cart").ignored_ports == (15021, 15090))


async def test_a_new_pod_of_the_same_name_is_another_target(cluster: Any) -> None:
    cluster.put(PODS, pod("web-0"))
    async with watching(cluster) as seen:
        await seen.until_synced()
        cluster.put(PODS, pod("web-0", uid="another"))
        await until(lambda: seen.log == ["put web-0", "drop web-0", "put web-0"])


async def test_an_ignored_istiod_is_reported(cluster: Any) -> None:
    cluster.put(PODS, pod("cart", annotations={IGNORE: "true"}))
    async with watching(cluster) as seen:
        await seen.until_synced()
        assert (seen.source.ignored, seen.source.ignores_istiods) == (1, False)
        hidden = istiod("istiod-a")
        hidden["metadata"]["annotations"] = {IGNORE: "true"}
        cluster.put(PODS, hidden)
        await until(lambda: seen.source.ignored == 2)
        assert not seen.source.ignores_istiods, "anybody may make a pod that looks like one"
        hidden["spec"]["serviceAccountName"] = "istiod"
        cluster.put(PODS, hidden)
        await until(lambda: seen.source.ignores_istiods)


async def test_a_pod_without_a_valid_address_is_no_target_yet(cluster: Any) -> None:
    odd = pod("cart")
    odd["status"] = {"podIP": "not-an-ip", "podIPs": [{"ip": "10.0.0.1/24"}]}
    cluster.put(PODS, odd)
    async with watching(cluster) as seen:
        await seen.until_synced()
        assert seen.names == []
        cluster.put(PODS, pod("cart"))
        await until(lambda: seen.names == ["cart"])
