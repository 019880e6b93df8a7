"""What ordinary pods do from start to end: no diagnosis may call it a fault.

An exporter with the chart's defaults polls every five seconds; every diagnosis of a pod at any
time of a test is collected.
"""

from tests.cluster.cluster import Cluster, Stopwatch
from tests.cluster.product import Exporter, faults, watched
from tests.cluster.workloads import (
    await_pods,
    await_ready,
    deployment,
    job,
    pod,
    pods_of,
)
from tests.real.kubernetes.client import Admin

MANY = 10
"""A node bears 30 (they take 3 GB), but on two cores such a rollout leaves Envoy no CPU for seconds
and lets deletions take longer than a minute, which is diagnosed."""
MANY_SECONDS = 240.0
BRIEF = ("python3", "-c", "import time; time.sleep(5)")


async def test_scaling_up_a_rollout_and_scaling_down_are_no_fault(
    cluster: Cluster, admin: Admin, mesh: str, direct: Exporter
) -> None:
    web, clock = deployment(mesh, "web", 0), Stopwatch(cluster.log)
    await admin.apply(web)

    async def is_rolled_out() -> bool:
        path = f"/apis/apps/v1/namespaces/{mesh}/deployments/web"
        found = await admin.get(path)
        status = found["status"]
        is_current = status.get("observedGeneration") == found["metadata"]["generation"]
        return is_current and status.get("updatedReplicas") == MANY == status.get("replicas")

    async with watched(direct, mesh) as seen:
        await admin.patch(web, {"spec": {"replicas": MANY}})
        await await_ready(cluster, admin, mesh, MANY, MANY_SECONDS)
        clock.lap(f"0 to {MANY} pods")
        change = {"spec": {"template": {"metadata": {"annotations": {"rolled": "out"}}}}}
        await admin.patch(web, change)
        await cluster.wait_for(is_rolled_out, "the rollout", MANY_SECONDS)
        await await_pods(cluster, admin, mesh, MANY)
        clock.lap(f"rollout of {MANY} pods")
        await admin.patch(web, {"spec": {"replicas": 0}})
        await await_pods(cluster, admin, mesh, 0)
        clock.lap(f"{MANY} to 0 pods")
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
