"""What Istio's own webhook makes of workloads, and what the exporter reports of them.

Two installs of the chart poll the same pods: a Deployment with the chart's defaults and a
DaemonSet inside the pods' network namespaces; and so does `check` from this machine, which has no
route to any pod, by port-forward through the real kubelet.
"""

import os
import signal
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.cluster import istio
from tests.cluster.cluster import Cluster
from tests.cluster.command import check
from tests.cluster.helm import Helm
from tests.cluster.processes import AGENT, process_of
from tests.cluster.product import Exporter, Target, faulty, states
from tests.cluster.workloads import (
    await_ready,
    deployment,
    job,
    new_namespace,
    pod,
    pods_of,
    service,
    stateful_set,
)
from tests.real.kubernetes.client import Admin

PODS = 5
KINDS = ("classic", "native")
"""Whose pod is deleted, and whose container restarts."""
DAY = 24 * 3600
SAME_SECONDS = 60
CLASSIC = {"sidecar.istio.io/nativeSidecar": "false"}
NATIVE = {"sidecar.istio.io/nativeSidecar": "true"}
POLLS = 20
JUDGED_SECONDS = 100.0
"""A start and some polls, on a machine that others use."""


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


async def test_certificates_are_those_that_istiod_has_issued(
    cluster: Cluster, shop: str, direct: Exporter
) -> None:
    """The wire shows the same certificate as the agent reports, and whose it is."""
    await healthy(cluster, direct, shop, PODS)
    sidecars: list[Target] = []

    async def are_read() -> bool:
        nonlocal sidecars
        sidecars = [row for row in await direct.targets(shop) if row["role"] == "sidecar"]
        return all(_ends(row).keys() >= {"agent", "wire"} for row in sidecars)

    await cluster.wait_for(are_read, "the agents' pages, which are read every two minutes")
    own = f"spiffe://cluster.local/ns/{shop}/sa/default"
    assert {row["spiffe_id"] for row in sidecars} == {own}
    for ends in map(_ends, sidecars):
        assert 0 < ends["wire"] - time.time() <= DAY
        assert abs(ends["wire"] - ends["agent"]) < SAME_SECONDS


def _ends(row: Target) -> dict[str, float]:
    """When a workload's certificate expires, by where that was read."""
    found = [one for one in row["certificates"] if one["certificate"] == "workload"]
    return {one["source"]: one["not_after"] for one in found}


@pytest.mark.timeout(1200)
async def test_check_by_port_forward_agrees_with_the_netns_whatever_happens_to_others(
    cluster: Cluster, admin: Admin, shop: str, netns: Exporter
) -> None:
    """Twenty polls in a row: a pod is deleted, a container and then the kubelet restart."""
    rows = await healthy(cluster, netns, shop, PODS)
    steady = {row["pod"] for row in rows}
    by_name = {row["metadata"]["name"]: row for row in await pods_of(admin, shop)}
    deleted, restarted = (next(name for name in steady if kind in name) for kind in KINDS)
    for number in range(POLLS):
        if number == 5:
            await admin.delete(pod(shop, deleted))
            steady.discard(deleted)
        if number == 10:
            os.kill(process_of(by_name[restarted], AGENT), signal.SIGKILL)
            steady.discard(restarted)
        if number == 15:
            cluster.nodes[0].machine.end("kubelet")
            cluster.nodes[0].start_kubelet()
        _, forwarded, _ = await check(cluster, "-n", shop)
        inside = verdicts(await netns.targets(shop))
        seen = {pod: row for pod, row in verdicts(forwarded["targets"]).items() if pod in steady}
        assert faults_of(forwarded["targets"], steady) == []
        # Without a kubelet nobody can forward: then nothing is judged, and nothing else.
        assert number >= 15 or seen == {pod: inside[pod] for pod in steady}
        assert contradictions(seen, inside) == []
    await await_agreement(cluster, shop, netns)


async def await_agreement(cluster: Cluster, shop: str, netns: Exporter) -> None:
    """Wait until `check` finds all healthy, as the other one does."""
    both: list[dict[str, Any]] = []

    async def agree() -> bool:
        nonlocal both
        code, forwarded, _ = await check(cluster, "-n", shop)
        both = [verdicts(forwarded["targets"]), verdicts(await netns.targets(shop))]
        return code == 0 and both[0] == both[1]

    try:
        await cluster.wait_for(agree, "check to agree with the netns")
    except AssertionError as error:
        error.add_note(str(both))
        raise


def verdicts(rows: list[Any]) -> dict[str, Any]:
    """Each pod's state, and whether each of its ports is up."""
    return {
        row["pod"]: (row["state"], {port["port"]: port["up"] for port in row["ports"]})
        for row in rows
    }


def contradictions(seen: dict[str, Any], inside: dict[str, Any]) -> list[tuple[str, int]]:
    """Ports that one calls up and the other down."""
    return [
        (pod, port)
        for pod, (_, ports) in seen.items()
        for port, up in ports.items()
        if {up, inside[pod][1][port]} == {True, False}
    ]


def faults_of(rows: list[Any], steady: set[str]) -> list[Any]:
    """What is diagnosed of pods to which nothing happened, and called their fault."""
    found = [row for row in rows if row["pod"] in steady and row["diagnosis"]]
    return [row for row in faulty(found) if row[1]["class"] == "fault"]
