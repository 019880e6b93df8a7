"""NetworkPolicies, which kube-router enforces by rejecting: a policy is no fault of the proxy."""

from tests.cluster.cluster import Cluster
from tests.cluster.product import Exporter, states
from tests.cluster.workloads import await_ready, deployment
from tests.real.kubernetes.client import Admin, Document


def _isolated(where: str) -> Document:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"namespace": where, "name": "isolated"},
        "spec": {"podSelector": {}, "policyTypes": ["Ingress"]},
    }


async def test_a_policy_that_rejects_is_named_and_no_fault(
    cluster: Cluster, admin: Admin, mesh: str, direct: Exporter
) -> None:
    await admin.apply(deployment(mesh, "web"))
    (web,) = await await_ready(cluster, admin, mesh, 1)
    name = web["metadata"]["name"]

    async def is_healthy() -> bool:
        return states(await direct.targets(mesh)) == {name: "healthy"}

    await cluster.wait_for(is_healthy, "the pod to be judged healthy")
    policy = _isolated(mesh)
    await admin.apply(policy)

    async def has_cause() -> bool:
        return bool(await direct.causes(mesh))

    await cluster.wait_for(has_cause, "a diagnosis")
    assert await direct.causes(mesh) == {name: ("network_blocked", "policy")}
    await admin.delete(policy)
    await cluster.wait_for(is_healthy, "the pod to be healthy again")
