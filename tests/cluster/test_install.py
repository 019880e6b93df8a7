"""The chart with its defaults, by Helm, from the image of the Dockerfile."""

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.cluster.cluster import Cluster
from tests.cluster.helm import Helm
from tests.cluster.product import RESTRICTED, Exporter, exporter, install
from tests.cluster.workloads import is_ready, new_namespace, pods_of
from tests.real.kubernetes.client import Admin

LISTED = (
    "/apis/apps/v1/namespaces/{}/deployments",
    "/api/v1/namespaces/{}/services",
    "/api/v1/namespaces/{}/serviceaccounts",
    "/api/v1/namespaces/{}/configmaps",
    "/apis/rbac.authorization.k8s.io/v1/namespaces/{}/roles",
    "/apis/rbac.authorization.k8s.io/v1/clusterroles",
    "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
)

EVERYWHERE = ("default", "kube-root-ca.crt", "istio-ca-root-cert", "istio-ca-crl")


@pytest_asyncio.fixture(loop_scope="session")
async def restricted(admin: Admin) -> AsyncIterator[str]:
    """A namespace that enforces the restricted Pod Security profile."""
    async with new_namespace(admin, "restricted", **RESTRICTED) as name:
        yield name


async def _objects(admin: Admin, where: str) -> set[str]:
    """The objects of the kinds that the chart makes, but for what every namespace gets."""
    rows = [(path, (await admin.get(path.format(where)))["items"]) for path in LISTED]
    names = {(path, row["metadata"]["name"]) for path, items in rows for row in items}
    return {f"{path} {name}" for path, name in names if name not in EVERYWHERE}


async def test_the_defaults_get_ready_under_the_restricted_profile_and_leave_nothing(
    cluster: Cluster, admin: Admin, helm: Helm, restricted: str
) -> None:
    before = await _objects(admin, restricted)
    await install(helm, restricted)
    assert all(map(is_ready, await pods_of(admin, restricted)))
    names = {row.name for row in await (await exporter(admin, restricted)).samples()}
    assert "istio_port_exporter_build_info" in names
    await install(helm, restricted, config={"poll": {"interval": "10s"}})
    await helm.run("rollback", "exporter", "1", "--namespace", restricted, "--wait")
    await helm.uninstall("exporter", restricted)

    async def are_gone() -> bool:
        return not await pods_of(admin, restricted)

    await cluster.wait_for(are_gone, "the exporter's pods to go")
    assert await _objects(admin, restricted) == before


async def test_the_image_runs_read_only_without_root_and_within_its_memory(
    admin: Admin, direct: Exporter
) -> None:
    """After all tests before this one: what the kubelet measures is within the chart's limit."""
    found = await admin.get(f"/api/v1/namespaces/{direct.namespace}/pods/{direct.name}")
    (container,) = found["spec"]["containers"]
    context = container["securityContext"]
    assert context["readOnlyRootFilesystem"] is True
    assert (found["spec"]["securityContext"] | context)["runAsNonRoot"] is True
    limit = container["resources"]["limits"]["memory"]
    assert limit.endswith("Mi")
    node = found["spec"]["nodeName"]
    summary = await admin.get(f"/api/v1/nodes/{node}/proxy/stats/summary")
    used = [
        row["memory"]["workingSetBytes"]
        for row in summary["pods"]
        if row["podRef"]["name"] == direct.name
    ]
    assert 0 < used[0] < int(limit.removesuffix("Mi")) * 2**20
    assert {row["restartCount"] for row in found["status"]["containerStatuses"]} == {0}
