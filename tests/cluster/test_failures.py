"""What breaks a pod from inside: each is named, and only what is the proxy's own is a fault.

An exporter with the chart's defaults polls every five seconds.
"""

import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.cluster import node_config
from tests.cluster.cluster import Cluster, Stopwatch
from tests.cluster.images import DEBIAN
from tests.cluster.product import Exporter, states, watched
from tests.cluster.workloads import await_ready, pod
from tests.real.kubernetes.client import Admin, Document, RefusedError

NAMED_SECONDS = 180.0
"""The longest is a pod that has been deleted for a minute."""
ABSENT = "localhost/absent:1"
HUNGRY = ("python3", "-c", "import time; time.sleep(3); bytearray(10**9)")


def _container(name: str, *command: str, image: str = DEBIAN.reference, **more: Any) -> Document:
    return {"name": name, "image": image, "command": list(command), **more}


@dataclass(frozen=True, slots=True)
class Broken:
    """A pod that breaks, and the causes one of which is named in the end."""

    causes: tuple[tuple[str, str], ...]
    annotations: Mapping[str, str] = field(default_factory=dict)
    spec: Mapping[str, Any] = field(default_factory=dict)


BROKEN = {
    "the proxy has too little memory": Broken(
        (("crash_looping", "fault"), ("proxy_not_running", "fault")),
        annotations={
            "sidecar.istio.io/proxyMemory": "20Mi",
            "sidecar.istio.io/proxyMemoryLimit": "20Mi",
        },
    ),
    "the proxy's image cannot be pulled": Broken(
        (("redirection_setup_failing", "fault"),),
        annotations={"sidecar.istio.io/proxyImage": ABSENT},
    ),
    "an init container fails": Broken(
        (("init_container_failing", "application"),),
        spec={"initContainers": [_container("migrate", "python3", "-c", "raise SystemExit(3)")]},
    ),
    "an init container runs": Broken(
        (("init_container_running", "transition"),),
        spec={"initContainers": [_container("migrate", "sleep", "infinity")]},
    ),
}


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
async def test_a_pod_that_breaks_is_named(
    cluster: Cluster, admin: Admin, mesh: str, direct: Exporter, broken: Broken
) -> None:
    classic = {"sidecar.istio.io/nativeSidecar": "false", **broken.annotations}
    await admin.apply(pod(mesh, "web", annotations=classic, **broken.spec))
    found: dict[str, tuple[str, str]] = {}
    clock = Stopwatch(cluster.log)

    async def is_named() -> bool:
        nonlocal found
        found = await direct.causes(mesh)
        return found.get("web") in broken.causes

    try:
        await cluster.wait_for(is_named, "the cause", NAMED_SECONDS)
    except AssertionError as error:
        error.add_note(f"the last diagnosis: {found}")
        raise
    clock.lap(f"{found['web'][0]} after the pod was created")


async def test_why_an_image_is_not_pulled_stays_named_while_the_kubelet_restarts(
    cluster: Cluster, admin: Admin, mesh: str, direct: Exporter
) -> None:
    """It forgets the reason for some seconds, and the alert's wait would start anew."""
    annotations = {"sidecar.istio.io/nativeSidecar": "false", "sidecar.istio.io/proxyImage": ABSENT}
    await admin.apply(pod(mesh, "web", annotations=annotations))
    named = {"web": ("redirection_setup_failing", "fault")}

    async def is_named() -> bool:
        return await direct.causes(mesh) == named

    await cluster.wait_for(is_named, "the cause", NAMED_SECONDS)
    async with watched(direct, mesh) as seen:
        await cluster.restart_kubelet(admin)
    assert {(name, (cause, kind)) for name, cause, kind in seen} == set(named.items())


async def test_an_application_out_of_memory_is_no_fault_of_its_proxy(
    cluster: Cluster, admin: Admin, mesh: str, direct: Exporter
) -> None:
    hungry = pod(mesh, "hungry", HUNGRY)
    hungry["spec"]["containers"][0]["resources"] = {"limits": {"memory": "32Mi"}}
    await admin.apply(hungry)
    seen: set[tuple[str, str]] = set()

    async def is_killed() -> bool:
        seen.update((await direct.causes(mesh)).values())
        path = f"/api/v1/namespaces/{mesh}/pods/hungry"
        rows = (await admin.get(path))["status"].get("containerStatuses", ())
        ended = [row["lastState"].get("terminated", {}) for row in rows if row["name"] == "app"]
        return any(row.get("reason") == "OOMKilled" for row in ended)

    await cluster.wait_for(is_killed, "the application to be killed")
    assert {cause for cause, kind in seen if kind == "fault"} == set()


async def test_a_finalizer_that_holds_a_deleted_pod_is_named(
    cluster: Cluster, admin: Admin, mesh: str, direct: Exporter
) -> None:
    held = pod(mesh, "held")
    held["metadata"]["finalizers"] = ["example.org/held"]
    await admin.apply(held)
    await await_ready(cluster, admin, mesh, 1)
    try:
        await admin.delete(held)
        clock = Stopwatch(cluster.log)
        seen: list[tuple[str, str]] = []

        async def is_named() -> bool:
            seen.extend((await direct.causes(mesh)).values())
            return ("deletion_stuck", "fault") in seen

        await cluster.wait_for(is_named, "deletion_stuck", NAMED_SECONDS)
        clock.lap("deletion_stuck after the deletion")
        assert {cause for cause, kind in seen if kind == "fault"} == {"deletion_stuck"}
    finally:
        with contextlib.suppress(RefusedError):
            await admin.patch(held, {"metadata": {"finalizers": None}})


async def test_pods_of_every_quality_of_service_are_seen_from_inside(
    cluster: Cluster, admin: Admin, mesh: str, netns: Exporter
) -> None:
    small = {"cpu": "10m", "memory": "64Mi"}
    proxy = {
        f"sidecar.istio.io/proxy{resource}": amount
        for resource, amount in (("CPU", "10m"), ("Memory", "64Mi"))
    }
    limits = {f"{name}Limit": amount for name, amount in proxy.items()}
    guaranteed = pod(mesh, "guaranteed", annotations={**proxy, **limits})
    guaranteed["spec"]["containers"][0]["resources"] = {"limits": small}
    nothing = dict.fromkeys(proxy, "0")
    await admin.apply(
        guaranteed,
        pod(mesh, "burstable", annotations=proxy),
        pod(mesh, "best-effort", annotations=nothing),
    )
    found = await await_ready(cluster, admin, mesh, 3)
    classes = {row["metadata"]["name"]: row["status"]["qosClass"] for row in found}
    assert classes == {
        "guaranteed": "Guaranteed",
        "burstable": "Burstable",
        "best-effort": "BestEffort",
    }

    async def are_healthy() -> bool:
        return list(states(await netns.targets(mesh)).values()) == ["healthy"] * 3

    await cluster.wait_for(are_healthy, "all to be judged healthy")
    rows = await netns.targets(mesh)
    assert {port["up"] for row in rows for port in row["ports"]} == {True}


async def test_a_static_pod_is_seen_from_inside(
    cluster: Cluster, admin: Admin, corner: str, netns: Exporter
) -> None:
    """No webhook completes one, and it can mount no identity: its empty namespace is judged."""
    static = pod(corner, "static", annotations={"sidecar.istio.io/status": "{}"})
    proxy = _container("istio-proxy", "sleep", "infinity")
    static["spec"]["containers"].append(proxy)
    first = cluster.nodes[0]
    path = f"{node_config.STATIC_PODS}/static.json"
    first.machine.execute("tee", path, text=json.dumps(static))
    try:
        await await_ready(cluster, admin, corner, 1)

        async def is_judged() -> bool:
            rows = await netns.targets(corner)
            ports = {port["port"]: port["up"] for row in rows for port in row["ports"]}
            return ports.get(15000) is False

        await cluster.wait_for(is_judged, "its admin port to be judged")
    finally:
        first.machine.execute("rm", path)
