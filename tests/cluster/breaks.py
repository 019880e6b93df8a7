"""A dozen pods and gateways, each of which is broken in its own way, all at the same time.

They are broken when the session begins, beside its other tests, so that alerts have fired when its
last one (`test_times.py`) reads from Prometheus when. What fails in one mesh at the same time is
one outage, so the rules are told that each of them is a mesh of its own.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from tests.cluster import istio
from tests.cluster.cluster import Cluster
from tests.cluster.helm import Helm
from tests.cluster.images import DEBIAN
from tests.cluster.processes import AGENT, ENVOY, run_inside, stop
from tests.cluster.product import Exporter, exporter, install, states
from tests.cluster.prometheus import Prometheus, scraping_pod
from tests.cluster.times import Break, Times
from tests.cluster.workloads import await_ready, isolated, new_namespace, pod
from tests.real.kubernetes.client import Admin, Document, RefusedError

NAMESPACE = "broken"
READY_SECONDS = 300.0
_STUCK_SECONDS = 60.0
"""From then on a pod that is still there is a fault."""
_FLUSH = ("iptables", "--wait", "-t", "nat", "-F")
_CUT = ("iptables", "--wait", "-I", "OUTPUT", "-p", "tcp", "--dport", "15012", "-j", "REJECT")
_EDGE = "IstioGatewaysFailing"

PODS: dict[str, tuple[Break, Callable[[Document], None]]] = {
    "envoy": (Break("Envoy hangs", "envoy_stuck"), lambda pod: stop(pod, ENVOY)),
    "agent": (Break("the agent hangs", "agent_stuck"), lambda pod: stop(pod, AGENT)),
    "both": (
        Break("the proxy gets no CPU", "container_starved"),
        lambda pod: stop(pod, AGENT, ENVOY),
    ),
    "open": (
        Break("the redirection is removed", "redirection_missing", "IstioProxyRedirectionMissing"),
        lambda pod: run_inside(pod, *_FLUSH),
    ),
    "cut": (
        Break(
            "a sidecar's way to istiod is closed",
            "xds_disconnected",
            "IstioProxyWithoutXds",
            detail=True,
        ),
        lambda pod: run_inside(pod, *_CUT, "--reject-with", "tcp-reset"),
    ),
    "front": (
        Break("all gateways of a deployment hang", "envoy_stuck", _EDGE),
        lambda pod: stop(pod, ENVOY),
    ),
}
"""What is broken by a process or the network of a healthy pod."""
EMPTY = Break("a gateway's last server is deleted", "gateway_without_servers", _EDGE)
HELD = Break("a finalizer holds a deleted pod, from a minute on", "deletion_stuck")
SHUT = Break("a policy shuts a pod off", "network_blocked", "")
_FAILS = {
    "name": "fails",
    "image": DEBIAN.reference,
    "command": ["python3", "-c", "raise SystemExit(3)"],
}
MADE: dict[str, tuple[Break, dict[str, str], Document]] = {
    "absent": (
        Break("the image of a new pod's proxy is not there", "redirection_setup_failing"),
        {"sidecar.istio.io/proxyImage": "localhost/absent:1"},
        {},
    ),
    "migrate": (
        Break("an init container of a new pod fails", "init_container_failing", ""),
        {},
        {"initContainers": [_FAILS]},
    ),
}
"""Pods that are made broken."""
GATEWAYS = ("edge", "front")
_HEALTHY = ("envoy", "agent", "both", "open", "cut", "held", "shut", "well")
"""Sidecars; the last one stays so, a proxy of the mesh whose istiod ends later."""
ALONE = (*_HEALTHY[:-1], *GATEWAYS, *MADE)


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
    alone = {name: f"{NAMESPACE}/{name}(-.*)?" for name in ALONE}
    injected = new_namespace(admin, NAMESPACE, **{"istio-injection": "enabled"})
    async with injected, new_namespace(admin, "usual") as usual:
        await install(helm, usual)
        reporter = await exporter(admin, usual)
        with scraping_pod(cluster.folder / "scraped", cluster.plane, reporter, alone) as prometheus:
            found = await _make(cluster, admin, helm, reporter)
            await asyncio.sleep(_SCRAPED_SECONDS)
            yield Broken(prometheus, await _break(admin, found))
        await helm.uninstall("exporter", usual)


async def _make(
    cluster: Cluster, admin: Admin, helm: Helm, reporter: Exporter
) -> dict[str, Document]:
    """Healthy sidecars and gateways, by their own names."""
    held = pod(NAMESPACE, "held")
    held["metadata"]["finalizers"] = ["example.org/held"]
    others = (pod(NAMESPACE, name) for name in _HEALTHY if name != "held")
    await admin.apply(held, *others, *(istio.servers(name, NAMESPACE) for name in GATEWAYS))
    for name in GATEWAYS:
        await istio.install_gateway(helm, name, NAMESPACE)
    count = len(_HEALTHY) + len(GATEWAYS)
    rows = await await_ready(cluster, admin, NAMESPACE, count, READY_SECONDS)

    async def are_healthy() -> bool:
        return list(states(await reporter.targets(NAMESPACE)).values()) == ["healthy"] * count

    await cluster.wait_for(are_healthy, "all to be judged healthy", READY_SECONDS)
    return {row["metadata"]["labels"]["app"]: row for row in rows}


async def _break(admin: Admin, found: dict[str, Document]) -> list[Times]:
    times = []

    def note(name: str, what: Break, later: float = 0.0) -> None:
        times.append(Times(what, f'cluster="{name}"', time.time() + later))

    for name, (what, breaks) in PODS.items():
        breaks(found[name])
        note(name, what)
    await admin.delete(istio.servers("edge", NAMESPACE))
    note("edge", EMPTY)
    await admin.delete(pod(NAMESPACE, "held"))
    note("held", HELD, _STUCK_SECONDS)
    await admin.apply(isolated(NAMESPACE, {"app": "shut"}))
    note("shut", SHUT)
    for name, (what, annotations, spec) in MADE.items():
        classic = {"sidecar.istio.io/nativeSidecar": "false", **annotations}
        await admin.apply(pod(NAMESPACE, name, annotations=classic, **spec))
        note(name, what)
    return times


async def _release(admin: Admin) -> None:
    """Let the pod go that a finalizer holds: its namespace could not be removed."""
    with contextlib.suppress(RefusedError):
        await admin.patch(pod(NAMESPACE, "held"), {"metadata": {"finalizers": None}})


class Breaking:
    """Everything of `breaks.py`, broken by a task of its own while other tests run."""

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
