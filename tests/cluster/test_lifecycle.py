"""What ordinary pods do from start to end: no diagnosis may call it a fault.

An exporter with the chart's defaults polls every five seconds; every diagnosis of a pod at any
time of a test is collected.
"""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.cluster.cluster import Cluster, Stopwatch
from tests.cluster.product import Exporter, faults, watched
from tests.cluster.prometheus import Prometheus, scraping_pod
from tests.cluster.workloads import (
    await_pods,
    await_ready,
    deployment,
    job,
    pod,
    pods_of,
    scale,
)
from tests.real.kubernetes.client import Admin

SCALED = 10
ROLLED = 30
"""Two cores take a minute to start them, and are then too busy for any Envoy to answer in time:
so they start and end ten at a time, and are replaced three at a time."""
STEP, SURGE = 10, 3
MANY_SECONDS = 600.0
SMALL = {"proxy.istio.io/config": "concurrency: 1"}
ALERTED = 'ALERTS{alertstate="firing",alertname=~"Istio(Envoy|Gateway|Prox|Workload).*"}'
"""Those of proxies: istiod may get no CPU for a minute while thirty pods start."""
BRIEF = ("python3", "-c", "import time; time.sleep(5)")


@pytest_asyncio.fixture(scope="module", loop_scope="session", autouse=True)
async def prometheus(cluster: Cluster, direct: Exporter) -> AsyncIterator[Prometheus]:
    """The chart's rules, from the first test of this file on."""
    with scraping_pod(cluster.folder / "ordinary", cluster.plane, direct, {}) as found:
        yield found


async def test_scaling_up_and_down_is_no_fault(
    cluster: Cluster, admin: Admin, mesh: str, direct: Exporter
) -> None:
    web, clock = deployment(mesh, "web", 0), Stopwatch(cluster.log)
    await admin.apply(web)
    async with watched(direct, mesh) as seen:
        await scale(admin, web, SCALED)
        await await_ready(cluster, admin, mesh, SCALED, MANY_SECONDS)
        clock.lap(f"0 to {SCALED} pods")
        await scale(admin, web, 0)
        await await_pods(cluster, admin, mesh, 0)
        clock.lap(f"{SCALED} to 0 pods")
    assert faults(seen) == set()


@pytest.mark.timeout(2400)
async def test_a_rollout_of_thirty_pods_is_no_fault(
    cluster: Cluster, admin: Admin, mesh: str, direct: Exporter
) -> None:
    web, clock = deployment(mesh, "web", 0, **SMALL), Stopwatch(cluster.log)
    web["spec"]["strategy"] = {"rollingUpdate": {"maxSurge": SURGE, "maxUnavailable": 0}}
    await admin.apply(web)

    async def is_rolled_out() -> bool:
        found = await admin.get(f"/apis/apps/v1/namespaces/{mesh}/deployments/web")
        status = found["status"]
        is_current = status.get("observedGeneration") == found["metadata"]["generation"]
        return is_current and status.get("updatedReplicas") == ROLLED == status.get("replicas")

    async with watched(direct, mesh) as seen:
        for replicas in range(STEP, ROLLED + 1, STEP):
            await scale(admin, web, replicas)
            await await_ready(cluster, admin, mesh, replicas, MANY_SECONDS)
        clock.lap(f"{ROLLED} pods ready")
        change = {"spec": {"template": {"metadata": {"annotations": {"rolled": "out"}}}}}
        await admin.patch(web, change)
        await cluster.wait_for(is_rolled_out, "the rollout", MANY_SECONDS)
        await await_ready(cluster, admin, mesh, ROLLED, MANY_SECONDS)
        clock.lap(f"rollout of {ROLLED} pods")
        for replicas in reversed(range(0, ROLLED, STEP)):
            await scale(admin, web, replicas)
            await await_pods(cluster, admin, mesh, replicas)
        clock.lap(f"{ROLLED} to 0 pods")
    assert faults(seen) == set()


async def test_a_job_that_completes_is_no_fault(
    cluster: Cluster, admin: Admin, mesh: str, direct: Exporter
) -> None:
    work = job(mesh, "work", BRIEF)
    async with watched(direct, mesh) as seen:
        await admin.apply(work)

        async def is_complete() -> bool:
            found = await admin.get(f"/apis/batch/v1/namespaces/{mesh}/jobs/work")
            return bool(found["status"].get("succeeded"))

        await cluster.wait_for(is_complete, "the job")
    assert faults(seen) == set()


async def test_an_application_that_crashes_is_no_fault_of_its_proxy(
    cluster: Cluster, admin: Admin, mesh: str, direct: Exporter
) -> None:
    crashing = pod(mesh, "crashing", ("python3", "-c", "raise SystemExit(1)"))
    async with watched(direct, mesh) as seen:
        await admin.apply(crashing)

        async def restarts() -> bool:
            path = f"/api/v1/namespaces/{mesh}/pods/crashing"
            rows = (await admin.get(path))["status"].get("containerStatuses", ())
            return any(row["name"] == "app" and row["restartCount"] > 1 for row in rows)

        await cluster.wait_for(restarts, "the application to restart twice")
    assert faults(seen) == set()


async def test_an_eviction_is_no_fault(
    cluster: Cluster, admin: Admin, mesh: str, direct: Exporter
) -> None:
    await admin.apply(deployment(mesh, "web", 2))
    first, _ = await await_ready(cluster, admin, mesh, 2)
    evicted = {"apiVersion": "v1", "kind": "Pod", "metadata": first["metadata"]}
    async with watched(direct, mesh) as seen:
        await admin.evict(evicted)

        async def is_replaced() -> bool:
            names = {row["metadata"]["name"] for row in await pods_of(admin, mesh)}
            return first["metadata"]["name"] not in names

        await cluster.wait_for(is_replaced, "another pod in its place")
        await await_ready(cluster, admin, mesh, 2)
    assert faults(seen) == set()


async def test_nothing_of_all_that_raised_an_alert(prometheus: Prometheus) -> None:
    """Last of this file; what waits longer than these tests take is no alert of theirs."""
    assert await prometheus.samples("istio_target_info")
    assert [labels for labels, _ in await prometheus.samples(ALERTED)] == []
