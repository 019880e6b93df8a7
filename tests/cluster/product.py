"""The exporter in the cluster: its own image and chart, and what it serves."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from tests.cluster.cluster import PRODUCT
from tests.cluster.helm import Helm
from tests.cluster.images import ROOT
from tests.cluster.workloads import pods_of
from tests.real.kubernetes.client import Admin

CHART = ROOT / "charts" / "istio-port-exporter"
PORT = 10520
LABEL = "app.kubernetes.io/name=istio-port-exporter"
RESTRICTED = {
    f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn", "audit")
}
Target = dict[str, Any]
Seen = Counter[tuple[str, str, str]]
"""How often a pod had a cause of a class."""
_STARVED = frozenset(
    {"admin_slow", "agent_stats_slow", "agent_stuck", "container_starved", "envoy_stuck"}
)
"""What a machine that has no CPU for its pods rightly gets; no alert fires before it lasts."""
_MOMENT = 30


def values(**more: Any) -> dict[str, Any]:
    """The chart's values that name the image built here; everything else is the chart's default."""
    repository, _, tag = PRODUCT.rpartition(":")
    return {"image": {"repository": repository, "tag": tag}, **more}


async def install(helm: Helm, where: str, **more: Any) -> str:
    """Install the chart and wait until it is ready; its notes."""
    return await helm.install("exporter", CHART, where, values(**more))


async def exporter(admin: Admin, where: str) -> "Exporter":
    """The pod of a release that polls proxies; a DaemonSet has another one for istiod."""
    labels = f"{LABEL},app.kubernetes.io/component=exporter"
    (found,) = await pods_of(admin, where, labelSelector=labels)
    return Exporter(admin, where, found["metadata"]["name"])


class Exporter:
    """An exporter's pod, read through the API server, which reaches every pod."""

    def __init__(self, admin: Admin, where: str, name: str) -> None:
        self._admin = admin
        self.namespace, self.name = where, name
        self.path = f"/api/v1/namespaces/{where}/pods/{name}:{PORT}/proxy"

    async def samples(self, *families: str) -> list[Sample]:
        """Everything on /metrics, or some families of it."""
        query = "&".join(f"name[]={name}" for name in families)
        text = await self._admin.text(f"{self.path}/metrics?{query}")
        return [row for family in text_string_to_metric_families(text) for row in family.samples]

    async def targets(self, where: str) -> list[Target]:
        """What it reports of a namespace's pods."""
        path = f"{self.path}/api/v1/targets"
        return list((await self._admin.get(path, namespace=where, limit="500"))["targets"])

    async def polled(self, where: str, pod: str) -> float:
        """When it last polled a pod; 0.0 before."""
        rows = [row for row in await self.targets(where) if row["pod"] == pod]
        return max((row["polled"].get("fast", 0.0) for row in rows), default=0.0)

    async def causes(self, where: str) -> dict[str, tuple[str, str]]:
        """Cause and class of each pod that has a diagnosis."""
        rows = [
            row.labels
            for row in await self.samples("istio_target_diagnosis")
            if row.labels["namespace"] == where
        ]
        return {row["pod"]: (row["cause"], row["class"]) for row in rows}


def states(rows: list[Target]) -> dict[str, str]:
    """Each pod's state."""
    return {row["pod"]: row["state"] for row in rows}


def faulty(rows: list[Target]) -> list[tuple[str, Any, Any]]:
    """The pods that are not healthy: name, diagnosis and ports that are not up."""
    return [
        (
            row["pod"],
            row["diagnosis"],
            [port for port in row["ports"] if not port["up"]],
        )
        for row in rows
        if row["state"] != "healthy"
    ]


@contextlib.asynccontextmanager
async def watched(reporter: Exporter, where: str) -> AsyncIterator[Seen]:
    """Every diagnosis of a namespace's pods until the block ends, looked at once a second."""
    seen: Seen = Counter()

    async def collect() -> None:
        while True:
            seen.update((pod, *one) for pod, one in (await reporter.causes(where)).items())
            await asyncio.sleep(1)

    async with asyncio.TaskGroup() as group:
        task = group.create_task(collect())
        yield seen
        # Two more polls: what is wrong at the end is seen, too.
        await asyncio.sleep(11)
        task.cancel()


def faults(seen: Seen) -> set[str]:
    """The causes that call a pod broken, but for pods that had no CPU for a moment."""
    return {
        cause
        for (_, cause, kind), looks in seen.items()
        if kind == "fault" and (cause not in _STARVED or looks > _MOMENT)
    }
