"""Between the exporter and the real API server everything goes wrong that can."""

from pathlib import Path

import pytest

from exporter.config import Config, DiscoveryConfig, KubernetesConfig
from exporter.kube.watch_options import WatchOptions
from tests.real.kubernetes import pods
from tests.real.kubernetes.client import Admin, Document
from tests.real.kubernetes.control_plane import ControlPlane
from tests.real.kubernetes.fault_proxy import FaultProxy
from tests.real.kubernetes.follower import PACE, Follower, following
from tests.real.kubernetes.install import install, token_of
from tests.real.kubernetes.kubeconfig import write_kubeconfig
from tests.until import until

pytestmark = pytest.mark.kubernetes

QUIET = WatchOptions(page_size=5, idle_timeout=60.0, initial_backoff=0.05, max_backoff=0.5)
"""Patient with silence, where silence is not what is tested."""


@pytest.fixture
async def path(
    control_plane: ControlPlane, admin: Admin, corner: str, faults: FaultProxy, tmp_path: Path
) -> Path:
    """A kubeconfig that leads through the proxy; its corner has six pods."""
    token = await token_of(admin, await install(admin, corner))
    for number in range(6):
        await admin.create(web(corner, number))
    root = control_plane.authority.root
    return write_kubeconfig(tmp_path / "config", faults.url, root, token=token)


def web(corner: str, number: int) -> Document:
    address = f"10.2.0.{number + 1}"
    return pods.sidecar_pod(corner, f"web-{number}", node="node-a", address=address)


def only(corner: str) -> Config:
    return Config(discovery=DiscoveryConfig(kubernetes=KubernetesConfig(namespaces=(corner,))))


def pods_path(corner: str) -> str:
    return f"/api/v1/namespaces/{corner}/pods"


async def still_follows(seen: Follower, admin: Admin, corner: str) -> None:
    """A pod that comes now is found, one that goes now is dropped."""
    late = web(corner, 99)
    await admin.create(late)
    await until(lambda: "web-99" in seen.names, "an added pod")
    await admin.delete(late)
    await until(lambda: "web-99" not in seen.names, "a deleted pod")


async def test_answers_in_small_pieces_are_put_together(
    admin: Admin, corner: str, faults: FaultProxy, path: Path
) -> None:
    faults.piece = 7
    async with following(path, only(corner), QUIET) as seen:
        await seen.until_synced()
        assert len(seen.names) == 6
        await still_follows(seen, admin, corner)
    assert seen.relisted == []


async def test_no_request_is_sent_before_retry_after_has_passed(
    admin: Admin, corner: str, faults: FaultProxy, path: Path
) -> None:
    refusal = faults.refuse(429, headers={"Retry-After": "2"}, path=pods_path(corner))
    async with following(path, only(corner), QUIET) as seen:
        await until(lambda: refusal.times == 0, "refused")
        requested = len(faults.queries(pods_path(corner), watch=False))
        await until(lambda: bool(seen.synced.get("nodes")), "others are followed meanwhile")
        assert len(faults.queries(pods_path(corner), watch=False)) == requested == 1
        await seen.until_synced()
        await still_follows(seen, admin, corner)
    assert seen.lists("429") == 1


@pytest.mark.parametrize("status", [500, 502, 503, 504])
@pytest.mark.parametrize("watch", [False, True], ids=["list", "watch"])
async def test_a_failing_server_loses_no_target(
    admin: Admin, corner: str, faults: FaultProxy, path: Path, status: int, *, watch: bool
) -> None:
    async with following(path, only(corner), QUIET) as seen:
        await seen.until_synced()
        refusal = faults.refuse(status, body=b"<html>oops</html>", times=3, watch=watch)
        if not watch:
            faults.refuse(410, times=1, watch=True, path=pods_path(corner))
        await faults.drop()
        await until(lambda: refusal.times == 0, "refused")
        assert len(seen.names) == 6
        await seen.until_synced()
        await still_follows(seen, admin, corner)
    assert seen.dropped == ["web-99"]


@pytest.mark.slow
async def test_a_watch_that_falls_silent_is_found_out(
    admin: Admin, corner: str, faults: FaultProxy, path: Path
) -> None:
    async with following(path, only(corner), PACE) as seen:
        await seen.until_synced()
        faults.silence()
        await admin.create(web(corner, 50))
        await until(lambda: not seen.synced["pods"], "silence is a failure", 60)
        assert len(seen.names) == 6
        faults.speak()
        await until(lambda: "web-50" in seen.names, "what the silence hid")
    assert "pods" in seen.relisted


async def test_dropped_connections_are_taken_up_where_they_broke(
    admin: Admin, corner: str, faults: FaultProxy, path: Path
) -> None:
    async with following(path, only(corner), QUIET) as seen:
        await seen.until_synced()
        for number in range(10, 15):
            await faults.drop()
            await admin.create(web(corner, number))
            await until(lambda n=number: f"web-{n}" in seen.names, "a pod of the broken watch")  # type: ignore[misc]
    assert seen.dropped == []
    assert seen.relisted == []
    assert seen.watches() >= 6


async def test_an_outage_removes_nothing_and_is_caught_up(
    admin: Admin, corner: str, faults: FaultProxy, path: Path
) -> None:
    async with following(path, only(corner), QUIET) as seen:
        await seen.until_synced()
        await faults.down()
        await admin.delete(web(corner, 0))
        await admin.create(web(corner, 20))
        await until(lambda: seen.watches("error") > 4, "an outage of many waits")
        assert len(seen.names) == 6
        assert "web-0" in seen.names
        await faults.up()
        await until(lambda: "web-20" in seen.names and "web-0" not in seen.names, "caught up")
        await seen.until_synced()
    assert seen.dropped == ["web-0"]
