"""Listing 10,000 pods of usual size from a real API server, as the exporter does at its start.

The pods are put into a real kube-apiserver on a real etcd; then fresh processes list them into a
poller while something else wants the event loop every millisecond. `python -m
benchmarks.kubernetes` prints the CPU time and the longest hold, each with its limit.
"""

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import uvloop

from benchmarks.processes import Failed
from exporter.app.process import collect_garbage_rarely
from exporter.config import Config
from exporter.discovery.cluster import ClusterSource
from exporter.exposition import selected
from exporter.kube.client import KubernetesClient
from exporter.kube.credentials import load_kubeconfig
from exporter.scheduler.target_table import TargetTable
from exporter.selfmetrics.registry import SelfMetrics
from exporter.state import State
from tests.real.kubernetes import assets, pods
from tests.real.kubernetes.client import Admin
from tests.real.kubernetes.control_plane import ControlPlane, running
from tests.real.kubernetes.kubeconfig import certificate_user, write_kubeconfig

PODS = 10_000
CPU_LIMIT_SECONDS = 10.0
HOLD_LIMIT_SECONDS = 0.050
_LEAST_BYTES, _MOST_BYTES = 6_000, 10_000
_NAMESPACES = 20
_AT_ONCE = 64
_ROUNDS = 3


@dataclass(frozen=True, slots=True)
class Figures:
    """Medians of the rounds in seconds, and the mean size of a pod's JSON in bytes."""

    cpu_seconds: float
    hold_seconds: float
    seconds: float
    pod_bytes: float


def missing() -> list[str]:
    """The programs that are not there."""
    return assets.missing()


def measure(count: int = PODS) -> Figures:
    """Fill a control plane, list it in a process of its own. Raises Failed."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name, running(Path(name)) as plane:
        size = asyncio.run(_fill(plane, count))
        if not _LEAST_BYTES <= size <= _MOST_BYTES:
            raise Failed(f"a pod has {size:.0f} bytes, which is not usual")
        user = certificate_user(*plane.authority.issue("reader", ["system:masters"]))
        root = plane.authority.root
        path = write_kubeconfig(plane.folder / "config", plane.url, root, **user)
        command = (sys.executable, "-m", "benchmarks.kubernetes", str(path), str(count))
        rounds = [_in_a_process(command) for _ in range(_ROUNDS)]
        # A busy machine can keep a whole process waiting, which is no hold of ours: the median.
        usual = {name: median(found[name] for found in rounds) for name in rounds[0]}
        return Figures(**usual, pod_bytes=size)


def _in_a_process(command: tuple[str, ...]) -> dict[str, float]:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failed(f"the list was not read: {done.stderr[-500:]}")
    found: dict[str, float] = json.loads(done.stdout)
    return found


def report(figures: Figures) -> Iterator[str]:
    """The lines about the promises."""
    for promise, measured, limit in (
        ("kubernetes_list_10k_cpu_seconds", figures.cpu_seconds, CPU_LIMIT_SECONDS),
        ("kubernetes_list_10k_loop_hold_seconds", figures.hold_seconds, HOLD_LIMIT_SECONDS),
    ):
        holds = "holds" if measured <= limit else "short"
        yield f"BENCH {promise} {measured:.3g} {limit:.3g} {holds}"


async def _fill(plane: ControlPlane, count: int) -> float:
    """Create the pods; returns the mean size of one as it is listed."""
    limit = asyncio.Semaphore(_AT_ONCE)
    async with plane.admin() as admin:
        for number in range(_NAMESPACES):
            await admin.apply(pods.namespace(f"team-{number}"))

        async def create(number: int) -> None:
            async with limit:
                await admin.create(_pod(number))

        await asyncio.gather(*(create(number) for number in range(count)))
        return await _size(admin)


async def _size(admin: Admin) -> float:
    page = await admin.get("/api/v1/pods", limit="100")
    sizes = [len(json.dumps(row, separators=(",", ":"))) for row in page["items"]]
    return sum(sizes) / len(sizes)


def _pod(number: int) -> dict[str, Any]:
    """A pod with what an injected one carries beside its ports: variables, mounts, volumes."""
    address = f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"
    pod = pods.sidecar_pod(
        f"team-{number % _NAMESPACES}",
        f"web-{number}",
        node=f"node-{number % 200}",
        address=address,
        labels={
            "pod-template-hash": "5d8f7c9b6",
            "version": "v1",
            "security.istio.io/tlsMode": "istio",
        },
        annotations={
            "prometheus.io/scrape": "true",
            "kubectl.kubernetes.io/default-container": "web",
        },
    )
    (proxy,), (application,) = pod["spec"]["initContainers"], pod["spec"]["containers"]
    names = [f"istio-data-{index}" for index in range(5)]
    for container in (proxy, application):
        container["env"] = [
            *container.get("env", ()),
            *({"name": f"ISTIO_META_SETTING_{n}", "value": f"value of {n}"} for n in range(8)),
        ]
        container["volumeMounts"] = [
            {"name": name, "mountPath": f"/var/run/secrets/{name}"} for name in names
        ]
        container["resources"] = {"requests": {"cpu": "100m", "memory": "128Mi"}}
        container["readinessProbe"] = {"httpGet": {"path": "/healthz/ready", "port": 15021}}
    pod["spec"]["volumes"] = [{"name": name, "emptyDir": {}} for name in names]
    return pod


async def _list(path: str, count: int) -> dict[str, Any]:
    """Follow until every pod is a target; seconds of CPU, of the longest hold, in all."""
    synced = asyncio.Event()
    families = selected("standard")
    table = TargetTable(30.0, State(families), State(families))
    source: ClusterSource

    def changed() -> None:
        if len(source.owned) == count and source.is_synced:
            synced.set()

    source = ClusterSource(table.put, table.drop, changed, SelfMetrics("benchmark"))
    began, used = time.perf_counter(), time.process_time()
    async with KubernetesClient(partial(load_kubeconfig, path)) as api:
        tasks = [asyncio.create_task(source.run(api, Config())), asyncio.create_task(synced.wait())]
        ticking = asyncio.create_task(_longest_hold())
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        figures = {
            "cpu_seconds": time.process_time() - used,
            "seconds": time.perf_counter() - began,
        }
        for task in (*tasks, ticking):
            task.cancel()
        *_, hold = await asyncio.gather(*tasks, ticking, return_exceptions=True)
    return {**figures, "hold_seconds": hold}


async def _longest_hold() -> float:
    """Until cancelled: how long the event loop kept something waiting at most."""
    longest = 0.0
    try:
        while True:
            asked = time.perf_counter()
            await asyncio.sleep(0.001)
            longest = max(longest, time.perf_counter() - asked - 0.001)
    except asyncio.CancelledError:
        return longest


if __name__ == "__main__":
    if sys.argv[1:]:
        collect_garbage_rarely()
        found = uvloop.run(_list(sys.argv[1], int(sys.argv[2])))
        print(json.dumps(found))
    else:
        print("\n".join(report(measure())))
