"""The targets of one list, without a watch."""

from typing import Any

import pytest

from exporter.config import Config
from exporter.discovery.list_targets import TargetListing, list_targets
from exporter.kube.api_errors import ForbiddenError
from exporter.kube.client import KubernetesClient
from exporter.kube.credentials import Credentials
from tests.discovery.cluster_source import (
    IGNORE,
    NAMESPACES,
    NODES,
    PODS,
    bare,
    config_of,
    namespace,
    node,
    pod,
)


async def listed(cluster: Any, config: Config | None = None) -> TargetListing:
    async def load() -> Credentials:
        return Credentials(cluster.address)

    async with KubernetesClient(load) as api:
        return await list_targets(api, config or Config())


def names(listing: TargetListing) -> list[str]:
    return sorted(target.key.pod for target in listing.targets)


async def test_targets_have_their_nodes_readiness_and_their_namespaces_annotation(
    cluster: Any,
) -> None:
    cluster.put(NODES, node("node-1", "True"))
    cluster.put(NAMESPACES, namespace("shop", annotations={IGNORE: "15090"}))
    cluster.put(NAMESPACES, namespace("bank", annotations={IGNORE: "true"}))
    cluster.put(PODS, pod("cart"))
    cluster.put(PODS, bare("job", "shop"))
    cluster.put(PODS, pod("vault", "bank"))
    listing = await listed(cluster)
    (target,) = listing.targets
    assert (target.key.pod, target.ignored_ports) == ("cart", (15090,))
    assert target.lifecycle.node_ready is True
    assert listing.unseen == ()


async def test_a_pod_without_a_node_is_on_none_that_is_gone(cluster: Any) -> None:
    cluster.put(NODES, node("node-1", "True"))
    waiting = pod("cart")
    del waiting["spec"]["nodeName"]
    cluster.put(PODS, waiting)
    (target,) = (await listed(cluster)).targets
    assert target.lifecycle.node_ready is None


async def test_without_the_right_to_nodes_and_namespaces_the_targets_are_still_listed(
    cluster: Any,
) -> None:
    cluster.refused_paths = {NODES: 403, NAMESPACES: 403}
    cluster.put(PODS, pod("cart"))
    listing = await listed(cluster)
    assert names(listing) == ["cart"]
    assert listing.targets[0].lifecycle.node_ready is None
    assert [sentence.split(":")[0] for sentence in listing.unseen] == [
        "what nodes say",
        "what namespaces say",
    ]


async def test_nodes_and_namespaces_are_not_asked_for_where_they_are_not_to_be_read(
    cluster: Any,
) -> None:
    cluster.put(NODES, node("node-1", "Unknown"))
    cluster.put(NAMESPACES, namespace("shop", annotations={IGNORE: "true"}))
    cluster.put(PODS, pod("cart"))
    listing = await listed(cluster, config_of(cluster_scoped=False))
    assert names(listing) == ["cart"]
    assert listing.targets[0].lifecycle.node_ready is None
    assert [sentence.split(":")[0] for sentence in listing.unseen] == [
        "what nodes and namespaces say"
    ]
    assert not [path for path in (NODES, NAMESPACES) if cluster.queries(path, watch=False)]


async def test_without_the_right_to_pods_there_is_an_error(cluster: Any) -> None:
    cluster.refused_paths = {PODS: 403}
    with pytest.raises(ForbiddenError):
        await listed(cluster)


async def test_every_chosen_namespace_is_listed_and_an_excluded_one_is_not(cluster: Any) -> None:
    for name in ("shop", "bank", "secret"):
        cluster.put(f"/api/v1/namespaces/{name}/pods", pod(f"{name}-1", name))
    chosen = config_of(namespaces=("shop", "bank", "secret"), excluded_namespaces=("secret",))
    assert names(await listed(cluster, chosen)) == ["bank-1", "shop-1"]


async def test_a_malformed_pod_costs_no_other_target(cluster: Any) -> None:
    malformed = pod("cart")
    malformed["spec"]["containers"][0]["ports"] = [{"containerPort": "web"}]
    cluster.put(PODS, malformed)
    cluster.put(PODS, pod("vault"))
    assert names(await listed(cluster)) == ["vault"]
