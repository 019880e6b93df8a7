"""Finding targets on the real API server, with nothing but a service account's rights."""

from functools import partial
from pathlib import Path

import pytest

from exporter.config import Config, DiscoveryConfig, KubernetesConfig
from exporter.kube.credentials import load_service_account
from exporter.kube.watch_options import WatchOptions
from exporter.model import Role
from tests.charts.render import of_kind, rbac
from tests.real.kubernetes import pods
from tests.real.kubernetes.client import Admin, Document
from tests.real.kubernetes.control_plane import ControlPlane
from tests.real.kubernetes.fault_proxy import FaultProxy
from tests.real.kubernetes.follower import Follower, following
from tests.real.kubernetes.install import granted, install, token_of
from tests.real.kubernetes.kubeconfig import rotate, write_kubeconfig, write_service_account
from tests.until import until

pytestmark = pytest.mark.kubernetes

SHORT = WatchOptions(page_size=5, server_timeout=1.0, initial_backoff=0.05, max_backoff=0.5)
IGNORE = "istio-port-exporter/ignore"


@pytest.fixture
async def account(control_plane: ControlPlane, admin: Admin, corner: str, tmp_path: Path) -> Path:
    """The kubeconfig of the default install's service account."""
    token = await token_of(admin, await install(admin, corner))
    root = control_plane.authority.root
    return write_kubeconfig(tmp_path / "config", control_plane.url, root, token=token)


def config(*namespaces: str, **chosen: object) -> Config:
    kubernetes = KubernetesConfig(namespaces=namespaces, **chosen)  # type: ignore[arg-type]
    return Config(discovery=DiscoveryConfig(kubernetes=kubernetes))


def web(namespace: str, name: str, **given: object) -> Document:
    address = f"10.1.{len(name)}.{sum(name.encode()) % 250}"
    return pods.sidecar_pod(namespace, name, node="node-a", address=address, **given)  # type: ignore[arg-type]


async def test_pages_then_changes_are_followed(admin: Admin, corner: str, account: Path) -> None:
    for number in range(12):
        await admin.create(web(corner, f"web-{number:02}"))
    async with following(account, config(corner)) as seen:
        await seen.until_synced()
        assert seen.names == [f"web-{number:02}" for number in range(12)]
        assert seen.lists() == 3
        await admin.create(web(corner, "late"))
        await until(lambda: "late" in seen.names, "an added pod")
        await admin.patch(web(corner, "late"), {"metadata": {"annotations": {IGNORE: "15090"}}})
        target = next(iter(seen.targets.values()))
        await until(
            lambda: any(t.ignored_ports == (15090,) for t in seen.targets.values()), "a change"
        )
        await admin.delete(web(corner, "late"))
        await until(lambda: "late" not in seen.names, "a deleted pod")
    assert target.role is Role.SIDECAR
    assert seen.relisted == []


async def test_a_quiet_watch_goes_on_from_its_last_bookmark(
    control_plane: ControlPlane, admin: Admin, corner: str, faults: FaultProxy, tmp_path: Path
) -> None:
    token = await token_of(admin, await install(admin, corner))
    root = control_plane.authority.root
    path = write_kubeconfig(tmp_path / "config", faults.url, root, token=token)
    watched = f"/api/v1/namespaces/{corner}/pods"
    # The API server sends a bookmark two seconds before it ends a watch.
    async with following(
        path, config(corner), WatchOptions(server_timeout=4.0, idle_timeout=30.0)
    ) as seen:
        await seen.until_synced()
        other_shards = await admin.create(web("default", f"other-{corner}"))
        version = int(other_shards["metadata"]["resourceVersion"])
        await until(lambda: len(faults.queries(watched, watch=True)) > 1, "another watch")
        await admin.delete(other_shards)
    first, second, *_ = (
        int(row.query["resourceVersion"]) for row in faults.queries(watched, watch=True)
    )
    assert first < version <= second
    assert seen.relisted == []


async def test_a_pod_without_an_address_becomes_a_target_when_it_has_one(
    admin: Admin, corner: str, account: Path
) -> None:
    pod = await admin.create(pods.sidecar_pod(corner, "web", node="node-a"))
    async with following(account, config(corner)) as seen:
        await seen.until_synced()
        assert seen.names == []
        await admin.patch_status(pod, pods.running_status("10.1.1.1"))
        await until(lambda: seen.names == ["web"], "a target")
        done = {"phase": "Succeeded"}
        await admin.patch_status(pod, done)
        await until(lambda: seen.names == [], "the end of the pod")


async def test_the_server_leaves_out_what_was_not_chosen(
    admin: Admin, corner: str, account: Path
) -> None:
    await admin.create(web(corner, "here", labels={"tier": "front"}))
    await admin.create(web(corner, "there", labels={"tier": "back"}))
    chosen = {
        "label": config(corner, label_selector="tier=front"),
        "node": config(corner, node="node-b"),
        "excluded": config(excluded_namespaces=(corner,)),
        "role": config(corner, roles=(Role.ISTIOD,)),
    }
    expected = {"label": ["here"], "node": [], "excluded": [], "role": []}
    for name, choice in chosen.items():
        async with following(account, choice) as seen:
            await seen.until_synced()
            mine = [key.pod for key in seen.targets if key.namespace == corner]
            assert mine == expected[name], name


async def test_who_opts_out_is_counted(admin: Admin, corner: str, account: Path) -> None:
    await admin.create(web(corner, "web"))
    await admin.create(web(corner, "quiet", annotations={IGNORE: "true"}))
    async with following(account, config(corner)) as seen:
        await seen.until_synced()
        assert (seen.names, seen.source.ignored) == (["web"], 1)
        space = pods.namespace(corner)
        await admin.patch(space, {"metadata": {"annotations": {IGNORE: "true"}}})
        await until(lambda: seen.source.ignored == 2, "the namespace's word")
        assert seen.names == []
        await admin.patch(space, {"metadata": {"annotations": {IGNORE: None}}})
        await until(lambda: seen.names == ["web"], "the namespace's other word")


async def test_a_lost_node_changes_its_pods(admin: Admin, corner: str, account: Path) -> None:
    name = f"node-of-{corner}"
    node = await admin.create(pods.node(name))
    pod = pods.sidecar_pod(corner, "web", node=name, address="10.1.1.1")
    await admin.create(pod)

    def ready() -> bool | None:
        return next(iter(seen.targets.values())).lifecycle.node_ready

    async with following(account, config(corner)) as seen:
        await seen.until_synced()
        assert ready() is True
        await admin.patch_status(node, pods.node(name, ready=False)["status"])
        await until(lambda: ready() is False, "the node is not ready")
        await admin.patch_status(node, pods.node(name)["status"])
        await until(lambda: ready() is True, "the node is ready")
        await admin.delete(node)
        await until(lambda: ready() is False, "the node is gone")


async def test_a_missing_right_is_reported_and_its_grant_takes_effect(
    control_plane: ControlPlane, admin: Admin, corner: str, tmp_path: Path
) -> None:
    (account,) = of_kind(rbac({}, corner), "ServiceAccount")
    token = await admin.service_account_token(corner, account["metadata"]["name"])
    root = control_plane.authority.root
    path = write_kubeconfig(tmp_path / "config", control_plane.url, root, token=token)
    await admin.create(web(corner, "web"))
    async with following(path, config(corner)) as seen:
        await until(lambda: seen.lists("403") > 1, "refused")
        assert seen.synced["pods"] is False
        await install(admin, corner)
        await until(lambda: seen.names == ["web"], "granted")


async def test_a_token_that_ended_is_401_until_its_file_is_rotated(
    control_plane: ControlPlane, admin: Admin, corner: str, tmp_path: Path
) -> None:
    user = await install(admin, corner)
    await admin.create(web(corner, "web"))
    first = await token_of(admin, user, seconds=3)
    write_service_account(tmp_path, control_plane.authority.root, corner, first)
    environ = {
        "KUBERNETES_SERVICE_HOST": "127.0.0.1",
        "KUBERNETES_SERVICE_PORT": str(control_plane.port),
    }
    load = partial(load_service_account, tmp_path, environ)
    # A watch outlives its token, so these watches are short.
    async with Follower(SHORT).running(load, config(corner)) as seen:
        await seen.until_synced()
        # The API server trusts what it has checked for ten seconds more.
        await until(lambda: seen.watches("401") > 0, "refused")
        rotate(tmp_path, await token_of(admin, user))
        await seen.until_synced()
        await admin.create(web(corner, "late"))
        await until(lambda: seen.names == ["late", "web"], "followed again")
    assert seen.dropped == []


@pytest.mark.parametrize("scope", ["the cluster", "a namespace"])
async def test_every_right_used_is_granted_and_each_is_used(
    control_plane: ControlPlane,
    admin: Admin,
    corner: str,
    tmp_path: Path,
    scope: str,
) -> None:
    values = {"namespaces": [corner]} if scope == "a namespace" else {}
    user = await install(admin, corner, values)
    token = await token_of(admin, user)
    root = control_plane.authority.root
    path = write_kubeconfig(tmp_path / "config", control_plane.url, root, token=token)
    await admin.create(web(corner, "web"))
    async with following(path, config(*values.get("namespaces", ()))) as seen:
        await seen.until_synced()
    rows = control_plane.accesses(user)
    assert {row.code for row in rows} == {200}
    used = {(row.resource, row.verb) for row in rows}
    assert granted(rbac(values, corner)) == used
