"""How long it takes from a break to the first sample and to its cause, with the chart's defaults.

Everything is broken in its own way, all at the same time; the table is that of docs/diagnosis.md.
"""

import os
import signal
from collections.abc import AsyncIterator, Callable

import pytest_asyncio

from tests.cluster import istio
from tests.cluster.cluster import Cluster
from tests.cluster.helm import Helm
from tests.cluster.processes import AGENT, ENVOY, ISTIOD, process_of, run_inside, stop
from tests.cluster.product import Exporter, exporter, install, states
from tests.cluster.times import Times, now_seconds, reports_of, table
from tests.cluster.workloads import await_ready, new_namespace, pod, pods_of
from tests.real.kubernetes.client import Admin, Document

INTERVAL = 30.0
DETAIL_INTERVAL = 120.0
SAMPLED_SECONDS = 2 * INTERVAL
"""The promise for every break that shows on a port."""
NAMED_SECONDS = 300.0
LATE_SECONDS = 20.0
"""For a busy machine, and for the time between two looks here."""
READY_SECONDS = 180.0
GATEWAY = "edge"
_FLUSH = ("iptables", "--wait", "-t", "nat", "-F")
_CUT = ("iptables", "--wait", "-I", "OUTPUT", "-p", "tcp", "--dport", "15012", "-j", "REJECT")

Broken = tuple[str, str, str, Callable[[Document], None]]
PODS: dict[str, Broken] = {
    "envoy": ("Envoy hangs", "envoy_stuck", "IstioProxyFault", lambda pod: stop(pod, ENVOY)),
    "agent": ("the agent hangs", "agent_stuck", "IstioProxyFault", lambda pod: stop(pod, AGENT)),
    "both": (
        "the proxy gets no CPU",
        "container_starved",
        "IstioProxyFault",
        lambda pod: stop(pod, AGENT, ENVOY),
    ),
    "open": (
        "the redirection is removed",
        "redirection_missing",
        "IstioProxyRedirectionMissing",
        lambda pod: run_inside(pod, *_FLUSH),
    ),
    "cut": (
        "a sidecar's way to istiod is closed",
        "xds_disconnected",
        "IstioProxyWithoutXds",
        lambda pod: run_inside(pod, *_CUT, "--reject-with", "tcp-reset"),
    ),
}
"""Sidecars by name: what breaks, the cause, the alert that is about it, and how it is broken."""
OF_STATISTICS = {"xds_disconnected", "gateway_without_servers"}
"""Causes that rest on what is read at the detail cadence."""


@pytest_asyncio.fixture(loop_scope="session")
async def usual(admin: Admin, helm: Helm) -> AsyncIterator[Exporter]:
    """The chart's defaults and nothing else."""
    async with new_namespace(admin, "usual") as name:
        await install(helm, name)
        yield await exporter(admin, name)
        await helm.uninstall("exporter", name)


@pytest_asyncio.fixture(loop_scope="session")
async def found(
    cluster: Cluster, admin: Admin, helm: Helm, mesh: str, usual: Exporter
) -> AsyncIterator[dict[str, Document]]:
    """Healthy sidecars and a gateway, the latter by its own name."""
    await admin.apply(*(pod(mesh, name) for name in PODS), istio.servers(GATEWAY, mesh))
    await istio.install_gateway(helm, GATEWAY, mesh)
    count = len(PODS) + 1
    rows = await await_ready(cluster, admin, mesh, count, READY_SECONDS)

    async def are_healthy() -> bool:
        return list(states(await usual.targets(mesh)).values()) == ["healthy"] * count

    await cluster.wait_for(are_healthy, "all to be judged healthy", 5 * INTERVAL)
    yield {row["metadata"]["labels"]["app"]: row for row in rows}
    await helm.uninstall(GATEWAY, mesh)


async def test_each_break_is_sampled_and_named_in_time(
    cluster: Cluster,
    admin: Admin,
    mesh: str,
    usual: Exporter,
    found: dict[str, Document],
    say: Callable[[str], None],
) -> None:
    (control_plane,) = await pods_of(admin, istio.NAMESPACE, labelSelector="app=istiod")
    found = {**found, "istiod": control_plane}
    healthy = await reports_of(usual, mesh, istio.NAMESPACE)
    times = await _break_all(admin, mesh, found)
    hung = process_of(control_plane, ISTIOD)
    os.kill(hung, signal.SIGSTOP)
    istiod = times["istiod"] = Times(
        "istiod hangs", "istiod_replica_stuck", "IstioRevisionWithoutControlPlane", now_seconds()
    )

    async def are_named() -> bool:
        now = await reports_of(usual, mesh, istio.NAMESPACE)
        for name, row in times.items():
            full = found[name]["metadata"]["name"]
            row.note(healthy[full], now.get(full, frozenset()))
        if istiod.named is not None:
            os.kill(hung, signal.SIGCONT)
        return all(row.named is not None for row in times.values())

    try:
        await cluster.wait_for(are_named, "every cause", NAMED_SECONDS + LATE_SECONDS)
    finally:
        os.kill(hung, signal.SIGCONT)
        for line in table(list(times.values())):
            say(line)
    late = [row for row in times.values() if (row.sampled or 0.0) > _promised(row)]
    assert late == []


async def _break_all(admin: Admin, mesh: str, found: dict[str, Document]) -> dict[str, Times]:
    await admin.delete(istio.servers(GATEWAY, mesh))
    words = "a gateway's last server is deleted"
    times = {GATEWAY: Times(words, "gateway_without_servers", "IstioProxiesFailing", now_seconds())}
    for name, (broken, cause, alert, breaks) in PODS.items():
        breaks(found[name])
        times[name] = Times(broken, cause, alert, now_seconds())
    return times


def _promised(row: Times) -> float:
    """In how many seconds the first sample has to come."""
    detail = DETAIL_INTERVAL if row.cause in OF_STATISTICS else 0.0
    return detail + SAMPLED_SECONDS + LATE_SECONDS
