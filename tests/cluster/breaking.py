"""Everything of `breaks.py` broken at the same time, in a mesh that a Prometheus watches.

What fails in one mesh at the same time is one outage, so the rules are told that each of them is a
mesh of its own.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

from tests.cluster import istio
from tests.cluster.breaks import CASES, NAMESPACE, UNLABELLED, Case
from tests.cluster.cluster import Cluster
from tests.cluster.helm import Helm
from tests.cluster.product import Exporter, exporter, install, states
from tests.cluster.prometheus import Prometheus, scraping_pod
from tests.cluster.times import Times
from tests.cluster.workloads import await_ready, new_namespace, pod
from tests.real.kubernetes.client import Admin, Document, RefusedError

READY_SECONDS = 300.0
_WELL = pod(NAMESPACE, "well")
"""A sidecar that stays healthy: a proxy of the mesh whose istiod is broken later."""
_SCRAPED_SECONDS = 40.0
"""Prometheus has then seen all of them healthy."""


@dataclass(frozen=True)
class Broken:
    """What was broken, and the Prometheus that sees it."""

    prometheus: Prometheus
    times: list[Times]


@contextlib.asynccontextmanager
async def broken_pods(cluster: Cluster, admin: Admin, helm: Helm) -> AsyncIterator[Broken]:
    """Make them, wait until an exporter with the chart's defaults finds them healthy, break."""
    alone = {case.name: case.pods for case in CASES}
    injected = new_namespace(admin, NAMESPACE, **{"istio-injection": "enabled"})
    plain = new_namespace(admin, UNLABELLED)
    async with injected, plain, new_namespace(admin, "usual") as usual:
        await install(helm, usual)
        reporter = await exporter(admin, usual)
        with scraping_pod(cluster.folder / "scraped", cluster.plane, reporter, alone) as prometheus:
            found = await _make(cluster, admin, helm, reporter)
            await asyncio.sleep(_SCRAPED_SECONDS)
            yield Broken(prometheus, [await _break(case, admin, found) for case in CASES])
        await helm.uninstall("exporter", usual)


async def _make(
    cluster: Cluster, admin: Admin, helm: Helm, reporter: Exporter
) -> Mapping[str, Document]:
    """The pods of the cases that begin healthy, by their label `app`."""
    begins = [case for case in CASES if case.act]
    await admin.apply(_WELL, *(case.document for case in begins))
    for case in begins:
        if case.is_gateway:
            await istio.install_gateway(helm, case.name, NAMESPACE)
    count = len(begins) + 1
    rows = await await_ready(cluster, admin, NAMESPACE, count, READY_SECONDS)

    async def are_healthy() -> bool:
        return list(states(await reporter.targets(NAMESPACE)).values()) == ["healthy"] * count

    await cluster.wait_for(are_healthy, "all to be judged healthy", READY_SECONDS)
    return {row["metadata"]["labels"]["app"]: row for row in rows}


async def _break(case: Case, admin: Admin, found: Mapping[str, Document]) -> Times:
    later = 0.0
    if case.act:
        later = await case.act(admin, found[case.name])
    else:
        await admin.apply(*case.objects, case.document)
    return Times(case.what, f'cluster="{case.name}"', time.time() + later)


async def _release(admin: Admin) -> None:
    """Let the pods go that are held: their namespace could not be removed."""
    for case in CASES:
        if case.document["metadata"].get("finalizers"):
            with contextlib.suppress(RefusedError):
                await admin.patch(case.document, {"metadata": {"finalizers": None}})
    await admin.delete_all(f"/api/v1/namespaces/{NAMESPACE}/pods", gracePeriodSeconds="0")


class Breaking:
    """Everything broken by a task of its own while other tests run."""

    def __init__(self, cluster: Cluster, admin: Admin, helm: Helm) -> None:
        self._broken: asyncio.Future[Broken] = asyncio.get_running_loop().create_future()
        self._end = asyncio.Event()
        self._admin = admin
        self._task = asyncio.create_task(self._run(cluster, admin, helm))

    async def broken(self) -> Broken:
        """Wait until everything is; raises what went wrong."""
        await asyncio.wait([self._broken, self._task], return_when=asyncio.FIRST_COMPLETED)
        return self._broken.result() if self._broken.done() else await self._task

    async def close(self) -> None:
        """Remove all of it."""
        self._end.set()
        await _release(self._admin)
        if not self._broken.done():
            self._task.cancel()
        await asyncio.wait([self._task])

    async def _run(self, cluster: Cluster, admin: Admin, helm: Helm) -> Broken:
        async with broken_pods(cluster, admin, helm) as broken:
            self._broken.set_result(broken)
            await self._end.wait()
        return broken
