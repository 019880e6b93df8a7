"""The chart with its defaults, by Helm, from the image of the Dockerfile."""

from typing import Any

import pytest

from tests.cluster.cluster import Cluster
from tests.cluster.helm import Helm
from tests.cluster.leftovers import objects
from tests.cluster.product import RESTRICTED, Exporter, install
from tests.cluster.workloads import is_ready, new_namespace, pods_of
from tests.real.kubernetes.client import Admin

EVERYTHING: dict[str, Any] = {
    "dashboards": {"enabled": True},
    "istiod": {
        "debugToken": {"enabled": True},
        "webhookDryRun": {"enabled": True, "namespace": "default"},
    },
    "networkPolicy": {"enabled": True, "admit": {"namespaces": ["default"]}},
    "podDisruptionBudget": {"enabled": True, "maxUnavailable": 1},
    "portForward": {"enabled": True},
    "replicas": 2,
}
RELEASES: dict[str, tuple[dict[str, str], dict[str, Any]]] = {
    "defaults": (RESTRICTED, {}),
    "everything": (RESTRICTED, EVERYTHING),
    "statefulset": (RESTRICTED, {"mode": "statefulset", "replicas": 2}),
    "daemonset": ({}, {"mode": "daemonset"}),
}
"""Each mode, and all switches: the labels of the release's namespace, and the chart's values."""


@pytest.mark.parametrize("release", RELEASES)
async def test_a_release_gets_ready_is_upgraded_rolled_back_and_leaves_nothing(
    cluster: Cluster, admin: Admin, helm: Helm, release: str
) -> None:
    labels, values = RELEASES[release]
    async with new_namespace(admin, release, **labels) as where:
        before = await objects(admin)
        await install(helm, where, **values)
        assert all(map(is_ready, await pods_of(admin, where)))
        await helm.run("test", "exporter", "--namespace", where)
        await install(helm, where, **values, config={"poll": {"interval": "10s"}})
        await helm.run("rollback", "exporter", "1", "--namespace", where, "--wait")
        await helm.uninstall("exporter", where)
        left: set[str] = set()

        async def is_gone() -> bool:
            nonlocal left
            left = await objects(admin) - before
            return not left

        try:
            await cluster.wait_for(is_gone, "the release to be gone", 60)
        except AssertionError as error:
            error.add_note(f"left: {left}")
            raise


async def test_the_defaults_serve_metrics_under_the_restricted_profile(
    admin: Admin, direct: Exporter
) -> None:
    labels = (await admin.get(f"/api/v1/namespaces/{direct.namespace}"))["metadata"]["labels"]
    assert labels.items() >= RESTRICTED.items()
    assert "istio_port_exporter_build_info" in {row.name for row in await direct.samples()}


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
