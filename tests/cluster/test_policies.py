"""NetworkPolicies, which kube-router enforces by rejecting: a policy is no fault of the proxy."""

from tests.cluster.cluster import Cluster
from tests.cluster.helm import Helm
from tests.cluster.product import PORT, Exporter, exporter, install, states
from tests.cluster.requests import fetch, is_rejected
from tests.cluster.workloads import (
    await_phase,
    await_ready,
    deployment,
    isolated,
    new_namespace,
    pods_of,
)
from tests.real.kubernetes.client import Admin


async def test_a_policy_that_rejects_is_named_and_no_fault(
    cluster: Cluster, admin: Admin, mesh: str, direct: Exporter
) -> None:
    await admin.apply(deployment(mesh, "web"))
    (web,) = await await_ready(cluster, admin, mesh, 1)
    name = web["metadata"]["name"]

    async def is_healthy() -> bool:
        return states(await direct.targets(mesh)) == {name: "healthy"}

    await cluster.wait_for(is_healthy, "the pod to be judged healthy")
    policy = isolated(mesh)
    await admin.apply(policy)

    async def has_cause() -> bool:
        return bool(await direct.causes(mesh))

    await cluster.wait_for(has_cause, "a diagnosis")
    assert await direct.causes(mesh) == {name: ("network_blocked", "policy")}
    await admin.delete(policy)
    await cluster.wait_for(is_healthy, "the pod to be healthy again")


async def test_the_charts_policies_admit_the_exporter_to_pods_and_only_whom_it_names_to_it(
    cluster: Cluster, admin: Admin, helm: Helm, mesh: str, corner: str
) -> None:
    await admin.apply(deployment(mesh, "web"), isolated(mesh))
    (web,) = await await_ready(cluster, admin, mesh, 1)
    names = {mesh: web["metadata"]["name"]}
    policy = {"enabled": True, "admit": {"namespaces": [mesh]}}
    config = {"poll": {"interval": "5s"}}
    async with new_namespace(admin, "admitted") as where:
        await install(helm, where, networkPolicy=policy, config=config)
        reporter = await exporter(admin, where)

        async def is_healthy() -> bool:
            return states(await reporter.targets(mesh)) == {names[mesh]: "healthy"}

        await cluster.wait_for(is_healthy, "the isolated pod to be judged healthy")
        prometheus = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": corner}}}
        await install(helm, where, networkPolicy={**policy, "from": [prometheus]}, config=config)
        (pod,) = await pods_of(admin, where)
        address = pod["status"]["podIP"]
        allowed = fetch(corner, "prometheus", f"http://{address}:{PORT}/metrics")
        await admin.apply(allowed)
        await await_phase(cluster, admin, allowed, "Succeeded")
        async with new_namespace(admin, "stranger") as elsewhere:
            denied = is_rejected(elsewhere, "stranger", address, PORT)
            await admin.apply(denied)
            await await_phase(cluster, admin, denied, "Succeeded")
        await helm.uninstall("exporter", where)
