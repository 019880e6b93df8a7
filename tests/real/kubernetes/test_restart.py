"""The control plane forgets: history that is compacted, a restart, data put back or lost."""

from asyncio import to_thread
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from exporter.kube.watch_options import WatchOptions
from tests.real.kubernetes import pods
from tests.real.kubernetes.client import Admin, Document
from tests.real.kubernetes.control_plane import ControlPlane
from tests.real.kubernetes.fault_proxy import FaultProxy, fault_proxy
from tests.real.kubernetes.follower import following
from tests.real.kubernetes.install import install, token_of
from tests.real.kubernetes.kubeconfig import certificate_user, write_kubeconfig
from tests.until import until

pytestmark = pytest.mark.kubernetes

SHOP = "shop"
PACE = WatchOptions(page_size=5, idle_timeout=10.0, initial_backoff=0.05, max_backoff=0.5)


@pytest.fixture
async def proxy(own_control_plane: ControlPlane) -> AsyncIterator[FaultProxy]:
    async with fault_proxy(own_control_plane.authority, own_control_plane.port) as started:
        yield started


@pytest.fixture
async def path(own_control_plane: ControlPlane, tmp_path: Path) -> Path:
    """The kubeconfig of a user with a client certificate, who may read everything."""
    certificate, key = own_control_plane.authority.issue("reader", ["system:masters"])
    user = certificate_user(certificate, key)
    root = own_control_plane.authority.root
    async with own_control_plane.admin() as admin:
        await fill(admin)
    return write_kubeconfig(tmp_path / "config", own_control_plane.url, root, **user)


@pytest.fixture
async def through(own_control_plane: ControlPlane, proxy: FaultProxy, tmp_path: Path) -> Path:
    """A kubeconfig that leads through the proxy, where a client certificate does not get."""
    async with own_control_plane.admin() as admin:
        await fill(admin)
        token = await token_of(admin, await install(admin, SHOP))
    root = own_control_plane.authority.root
    return write_kubeconfig(tmp_path / "through", proxy.url, root, token=token)


async def fill(admin: Admin) -> None:
    await admin.apply(pods.namespace(SHOP))
    for number in range(7):
        await admin.create(web(number))


def web(number: int) -> Document:
    address = f"10.3.0.{number + 1}"
    return pods.sidecar_pod(SHOP, f"web-{number}", node="node-a", address=address)


async def test_a_restart_is_followed_by_a_new_list_without_a_loss(
    own_control_plane: ControlPlane, path: Path
) -> None:
    async with following(path, options=PACE) as seen:
        await seen.until_synced()
        await to_thread(own_control_plane.stop, "kube-apiserver")
        await until(lambda: seen.watches("error") + seen.lists("error") > 2, "an outage")
        assert len(seen.names) == 7
        await to_thread(own_control_plane.start)
        async with own_control_plane.admin() as admin:
            await admin.delete(web(0))
            await until(lambda: seen.names[0] == "web-1", "a change after the restart")
    assert seen.dropped == ["web-0"]


async def test_a_version_that_is_compacted_away_is_410_and_the_list_is_read_anew(
    own_control_plane: ControlPlane,
    proxy: FaultProxy,
    through: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with own_control_plane.admin() as admin, following(through, options=PACE) as seen:
        await seen.until_synced()
        await proxy.down()
        for number in range(20, 40):
            await admin.create(web(number))
        await admin.delete(web(0))
        own_control_plane.compact()
        # Its watch cache still knows what etcd forgot, until it starts anew.
        await to_thread(own_control_plane.restart)
        await proxy.up()
        await until(lambda: "web-39" in seen.names and "web-0" not in seen.names, "caught up")
    assert "status=410 reason='too old resource version" in caplog.text
    assert "pods" in seen.relisted
    assert seen.dropped == ["web-0"]


@pytest.mark.slow
@pytest.mark.parametrize("to", ["an older state", "nothing"])
async def test_a_restored_api_server_is_listed_again(
    own_control_plane: ControlPlane, path: Path, to: str
) -> None:
    backup = own_control_plane.back_up() if to == "an older state" else None
    own_control_plane.start()
    async with own_control_plane.admin() as admin:
        for number in range(50, 90):
            await admin.create(web(number))
    async with following(path, options=PACE) as seen:
        await seen.until_synced()
        assert len(seen.names) == 47
        await to_thread(own_control_plane.restore, backup)
        wanted = [f"web-{number}" for number in range(7)] if backup else []
        await until(lambda: seen.names == wanted, "the older state", seconds=90)
        async with own_control_plane.admin() as admin:
            if not backup:
                await admin.apply(pods.namespace(SHOP))
            await admin.create(web(99))
        await until(lambda: "web-99" in seen.names, "followed again", seconds=60)
