"""The chart's switches do what its notes say: port-forward, the token for istiod, the dry run.

All that the exporter can request is requested here, and often, so what polls leave in the logs of
agent and istiod would be seen.
"""

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.cluster import istio
from tests.cluster.cluster import Cluster
from tests.cluster.helm import Helm
from tests.cluster.logs import logs, often_in
from tests.cluster.product import Exporter, Target, exporter, install, states
from tests.cluster.rights import assert_each_right_is_used_and_none_missed
from tests.cluster.workloads import await_ready, deployment
from tests.real.kubernetes.client import Admin

POLLS = 20
INTERVALS = {
    "interval": "5s",
    "detail_interval": "10s",
    "page_interval": "10s",
    "identity_interval": "20s",
}
LOOPBACK = {15000, 15001}
DRY_RUN = "Process sidecar injection request"
"""What istiod logs of each dry run, which is no poll."""


@pytest_asyncio.fixture(loop_scope="session")
async def switched(admin: Admin, helm: Helm, mesh: str) -> AsyncIterator[Exporter]:
    """Every switch on, in istiod's namespace, from where it takes tokens."""
    istiod = {
        "debugToken": {"enabled": True},
        "webhookDryRun": {"enabled": True, "namespace": mesh},
    }
    values = {"portForward": {"enabled": True}, "config": {"poll": INTERVALS}}
    await install(helm, istio.NAMESPACE, istiod=istiod, **values)
    yield await exporter(admin, istio.NAMESPACE)
    await helm.uninstall("exporter", istio.NAMESPACE)


async def test_every_switch_adds_what_the_notes_say_and_leaves_no_line_in_the_logs(
    cluster: Cluster, admin: Admin, mesh: str, switched: Exporter
) -> None:
    await admin.apply(deployment(mesh, "web", 2))
    await await_ready(cluster, admin, mesh, 2)
    seen: dict[str, set[float]] = {}

    async def is_complete() -> bool:
        rows = await switched.targets(mesh)
        seen.clear()
        for row in await switched.samples():
            if row.labels.get("namespace", mesh) == mesh:
                seen.setdefault(row.name, set()).add(row.value)
        return (
            list(states(rows).values()) == ["healthy"] * 2
            and _loopback_ports(rows) == {True}
            and seen.get("istio_proxy_xds_known") == {1.0}
            and seen.get("istio_control_plane_webhook_path_up") == {1.0}
        )

    try:
        await cluster.wait_for(is_complete, "every switch to have an effect", 120)
    except AssertionError as error:
        error.add_note(
            str(
                {
                    name: values
                    for name, values in seen.items()
                    if "xds" in name or "webhook" in name
                }
            )
        )
        raise
    before = await logs(admin, mesh)
    await _stays_judged(cluster, switched, mesh)
    often = often_in(await logs(admin, mesh), before)
    assert [line for line in often if DRY_RUN not in line] == []
    await assert_each_right_is_used_and_none_missed(cluster, admin, switched)


async def _stays_judged(cluster: Cluster, reporter: Exporter, where: str) -> None:
    """For twenty polls in a row no verdict changes, on loopback ports neither."""
    names = list(states(await reporter.targets(where)))
    first = {name: await reporter.polled(where, name) for name in names}

    async def are_polled() -> bool:
        rows = await reporter.targets(where)
        assert set(states(rows).values()) == {"healthy"}
        assert _loopback_ports(rows) == {True}
        return all([await reporter.polled(where, name) > first[name] + 5 * POLLS for name in names])

    await cluster.wait_for(are_polled, f"{POLLS} polls", 5 * POLLS + 60)


def _loopback_ports(rows: list[Target]) -> set[bool | None]:
    """How the ports are judged that nobody but the pod reaches."""
    return {port["up"] for row in rows for port in row["ports"] if port["port"] in LOOPBACK}
