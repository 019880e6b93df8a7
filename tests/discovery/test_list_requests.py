"""Which lists are requested from the API server."""

from typing import Any

from exporter.config import KubernetesConfig
from exporter.discovery.list_requests import is_chosen, pods_request, scopes_of
from exporter.kube.watch_options import Resource
from tests.discovery.cluster_source import NODES, PODS, config_of, pod, watching
from tests.until import until


async def test_only_the_chosen_namespaces_labels_and_node_are_requested(cluster: Any) -> None:
    paths = [f"/api/v1/namespaces/{name}/pods" for name in ("shop", "bank")]
    cluster.put(paths[0], pod("cart"))
    cluster.put(paths[1], pod("vault", "bank"))
    config = config_of(namespaces=("shop", "bank"), label_selector="tier=web", node="node-1")
    async with watching(cluster, config) as seen:
        await seen.until_synced()
        await until(lambda: seen.source.is_synced)
        assert seen.names == ["cart", "vault"]
    for path in paths:
        query = cluster.queries(path, watch=False)[0]
        assert query["labelSelector"] == "tier=web"
        assert query["fieldSelector"] == "spec.nodeName=node-1"
    assert cluster.queries(NODES, watch=False)[0]["fieldSelector"] == "metadata.name=node-1"
    assert not cluster.queries(PODS, watch=False)


async def test_an_excluded_namespace_is_not_requested_even_where_it_is_chosen(cluster: Any) -> None:
    cluster.put("/api/v1/namespaces/shop/pods", pod("cart"))
    chosen = config_of(namespaces=("shop", "bank"), excluded_namespaces=("bank",))
    async with watching(cluster, chosen) as seen:
        await until(lambda: seen.source.is_synced)
        assert seen.names == ["cart"]
    assert not cluster.queries("/api/v1/namespaces/bank/pods", watch=False)


def test_one_list_of_all_namespaces_leaves_the_excluded_ones_to_the_server() -> None:
    chosen = KubernetesConfig(excluded_namespaces=("kube-system", "bank"), node="node-1")
    selector = "spec.nodeName=node-1,metadata.namespace!=kube-system,metadata.namespace!=bank"
    assert scopes_of(chosen) == ("",)
    assert pods_request("", chosen) == Resource("pods", "/api/v1/pods", {"fieldSelector": selector})


def test_pods_of_a_namespace_are_chosen_unless_it_is_excluded() -> None:
    chosen = KubernetesConfig(namespaces=("shop", "bank"), excluded_namespaces=("bank",))
    assert [is_chosen(name, chosen) for name in ("shop", "bank", "other")] == [True, False, False]
    assert is_chosen("other", KubernetesConfig())
