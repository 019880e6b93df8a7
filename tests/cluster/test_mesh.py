"""What Istio's own webhook makes of workloads, and what the exporter reports of them.

Two installs of the chart poll the same pods: a Deployment with the chart's defaults and a
DaemonSet inside the pods' network namespaces; and so does `check` from this machine, which has no
route to any pod, by port-forward through the real kubelet.
"""

from collections.abc import AsyncIterator
from typing import Any

import pytest_asyncio

from tests.cluster import istio
from tests.cluster.cluster import Cluster
from tests.cluster.command import check
from tests.cluster.helm import Helm
from tests.cluster.product import Exporter, Target, faulty, states
from tests.cluster.workloads import (
    await_ready,
    deployment,
    job,
    new_namespace,
    service,
    stateful_set,
)
from tests.real.kubernetes.client import Admin

PODS = 5
CLASSIC = {"sidecar.istio.io/nativeSidecar": "false"}
NATIVE = {"sidecar.istio.io/nativeSidecar": "true"}
POLLS = 3
JUDGED_SECONDS = 100.0
"""Three polls of an exporter with the default interval, the first in a start."""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def shop(cluster: Cluster, admin: Admin, helm: Helm) -> AsyncIterator[str]:
    """A namespace with one workload of each kind, all ready."""
    async with new_namespace(admin, "shop", **{"istio-injection": "enabled"}) as name:
        await admin.apply(
            deployment(name, "classic", **CLASSIC),
            deployment(name, "native", **NATIVE),
            stateful_set(name, "stateful"),
            job(name, "work"),
            service(name, "stateful"),
        )
        await istio.install_gateway(helm, "gateway", name)
        await admin.apply(istio.servers("gateway", name))
        await await_ready(cluster, admin, name, PODS)
        yield name
        await helm.uninstall("gateway", name)


async def healthy(cluster: Cluster, reporter: Exporter, where: str, count: int) -> list[Target]:
    """What an exporter reports of a namespace, once so many pods are healthy there."""
    found: list[Target] = []

    async def are_healthy() -> bool:
        nonlocal found
        found = await reporter.targets(where)
        return list(states(found).values()) == ["healthy"] * count

    try:
        await cluster.wait_for(are_healthy, f"{count} healthy pods in {where}", JUDGED_SECONDS)
    except AssertionError as error:
        error.add_note(f"not healthy: {faulty(found)}")
        raise
    return found


async def test_every_workload_is_healthy_over_the_network(
    cluster: Cluster, shop: str, direct: Exporter
) -> None:
    await healthy(cluster, direct, shop, PODS)


async def test_every_workload_is_healthy_from_inside_its_namespace(
    cluster: Cluster, shop: str, netns: Exporter
) -> None:
    rows = await healthy(cluster, netns, shop, PODS)
    assert {port["up"] for row in rows for port in row["ports"]} == {True}


async def test_the_control_plane_is_healthy(cluster: Cluster, direct: Exporter) -> None:
    await healthy(cluster, direct, istio.NAMESPACE, 1)


async def test_check_by_port_forward_agrees_with_the_netns(
    cluster: Cluster, shop: str, netns: Exporter
) -> None:
    for _ in range(POLLS):
        code, forwarded, errors = await check(cluster, "-n", shop)
        assert (code, errors) == (0, "")
        inside = await healthy(cluster, netns, shop, PODS)
        assert verdicts(forwarded["targets"]) == verdicts(inside)


def verdicts(rows: list[Any]) -> dict[str, Any]:
    """Each pod's state, and whether each of its ports is up."""
    return {
        row["pod"]: (row["state"], {port["port"]: port["up"] for port in row["ports"]})
        for row in rows
    }


async def test_check_accuses_nobody_while_the_kubelet_restarts(
    cluster: Cluster, shop: str, netns: Exporter
) -> None:
    before = verdicts(await healthy(cluster, netns, shop, PODS))
    first = cluster.nodes[0]
    first.machine.end("kubelet")
    first.start_kubelet()
    after: dict[str, Any] = {}

    async def is_judged() -> bool:
        nonlocal after
        code, forwarded, _ = await check(cluster, "-n", shop)
        # Without a kubelet nothing can be judged, which is another exit code.
        assert code in (0, 3), faulty(forwarded["targets"])
        after = verdicts(forwarded["targets"])
        return code == 0

    await cluster.wait_for(is_judged, "check to judge the pods again")
    assert after == before
