"""A second node: pods there are judged like any others, and a node that dies is a fault."""

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.cluster.cluster import Cluster, Stopwatch
from tests.cluster.node import Node
from tests.cluster.product import Exporter, faults, states, watched
from tests.cluster.workloads import await_ready, deployment, pod, pods_of
from tests.real.kubernetes.client import Admin, Document

SILENT_SECONDS = 150.0
"""The controller manager's grace period for a kubelet, 50 s, and some polls."""
EVICTED_AFTER = 10


@pytest_asyncio.fixture(loop_scope="session")
async def second(cluster: Cluster, admin: Admin) -> AsyncIterator[Node]:
    """A node for this test alone."""
    added = await cluster.add_node(admin)
    yield added
    await cluster.remove_node(admin, added)


def _tolerations() -> list[Document]:
    """How long a pod stays on a node that is gone; Kubernetes' default is five minutes."""
    return [
        {
            "key": f"node.kubernetes.io/{taint}",
            "operator": "Exists",
            "effect": "NoExecute",
            "tolerationSeconds": EVICTED_AFTER,
        }
        for taint in ("not-ready", "unreachable")
    ]


async def test_a_dead_node_stays_a_fault_after_its_pods_were_evicted(
    cluster: Cluster, admin: Admin, mesh: str, direct: Exporter, second: Node
) -> None:
    there = {"kubernetes.io/hostname": second.name}
    await admin.apply(pod(mesh, "web", nodeSelector=there, tolerations=_tolerations()))
    await await_ready(cluster, admin, mesh, 1)

    async def is_healthy() -> bool:
        return states(await direct.targets(mesh)) == {"web": "healthy"}

    await cluster.wait_for(is_healthy, "the pod to be judged healthy")
    second.machine.stop()
    clock = Stopwatch(cluster.log)

    async def is_named() -> bool:
        return await direct.causes(mesh) == {"web": ("node_unreachable", "fault")}

    await cluster.wait_for(is_named, "node_unreachable", SILENT_SECONDS)
    clock.lap("node_unreachable after the node's end")

    async def is_evicted() -> bool:
        (web,) = await pods_of(admin, mesh)
        return "deletionTimestamp" in web["metadata"]

    await cluster.wait_for(is_evicted, "the pod's eviction")
    first = await direct.polled(mesh, "web")

    async def is_polled_again() -> bool:
        return await direct.polled(mesh, "web") > first + 10

    await cluster.wait_for(is_polled_again, "two further polls")
    assert await direct.causes(mesh) == {"web": ("node_unreachable", "fault")}


async def test_a_drained_node_is_no_fault(
    cluster: Cluster, admin: Admin, mesh: str, direct: Exporter, second: Node
) -> None:
    await admin.apply(deployment(mesh, "web", 4))
    drained = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": second.name}}
    found = await await_ready(cluster, admin, mesh, 4)
    there = [row for row in found if row["spec"]["nodeName"] == second.name]
    assert there
    async with watched(direct, mesh) as seen:
        await admin.patch(drained, {"spec": {"unschedulable": True}})
        for row in there:
            await admin.evict({"apiVersion": "v1", "kind": "Pod", "metadata": row["metadata"]})

        async def is_drained() -> bool:
            rows = await pods_of(admin, mesh)
            return all(row["spec"].get("nodeName") != second.name for row in rows)

        await cluster.wait_for(is_drained, "the node to be empty")
        await await_ready(cluster, admin, mesh, 4)
    assert faults(seen) == set()
