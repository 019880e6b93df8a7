"""The control plane is a real one: it authenticates, authorises, audits and forwards."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import aiohttp
import pytest

from tests.real.kubernetes.client import Admin, RefusedError, list_path, path_of
from tests.real.kubernetes.control_plane import Access, ControlPlane
from tests.real.kubernetes.install import install, token_of
from tests.real.kubernetes.kubelet import Kubelet
from tests.real.kubernetes.pods import sidecar_pod

pytestmark = pytest.mark.kubernetes


async def test_a_token_has_the_rights_of_its_account_and_leaves_its_traces(
    control_plane: ControlPlane, admin: Admin, corner: str
) -> None:
    user = await install(admin, corner)
    token = await token_of(admin, user)
    pod = await admin.create(sidecar_pod(corner, "web", node="node-a", address="10.0.0.1"))
    headers = {"Authorization": f"Bearer {token}"}
    context = control_plane.client_context()
    async with aiohttp.ClientSession(control_plane.url, headers=headers) as session:
        async with session.get(list_path(pod), ssl=context) as answer:
            (listed,) = (await answer.json())["items"]
            assert listed["status"]["podIP"] == "10.0.0.1"
        async with session.delete(path_of(pod), ssl=context) as answer:
            assert answer.status == 403
    assert control_plane.accesses(user) == [
        Access(user, "list", "pods", corner, 200),
        Access(user, "delete", "pods", corner, 403),
    ]


async def test_what_is_deleted_is_gone(admin: Admin, corner: str) -> None:
    pod = await admin.create(sidecar_pod(corner, "web", node="node-a", address="10.0.0.1"))
    await admin.delete(pod)
    with pytest.raises(RefusedError, match="404"):
        await admin.get(path_of(pod))


async def test_a_port_forward_reaches_open_ports_and_reports_closed_ones(
    control_plane: ControlPlane, admin: Admin, corner: str, unused_tcp_port: int
) -> None:
    kubelet = Kubelet(control_plane.authority, f"node-of-{corner}")
    async with kubelet.serving(), echo() as open_port:
        await admin.create(kubelet.node())
        pod = await admin.create(sidecar_pod(corner, "web", node=kubelet.name, address="10.0.0.1"))
        async with admin.forward(pod, open_port, unused_tcp_port) as forward:
            await forward.send_bytes(b"\0hello")
            frames = [await forward.receive_bytes() for _ in range(6)]
    numbers = [port.to_bytes(2, "little") for port in (open_port, unused_tcp_port)]
    starts = [bytes([channel]) + numbers[channel // 2] for channel in range(4)]
    (refusal,) = [frame for frame in frames if frame not in [*starts, b"\0hello"]]
    assert sorted(frames) == sorted([*starts, b"\0hello", refusal])
    assert refusal.startswith(f"\3error forwarding port {unused_tcp_port} to pod web".encode())
    assert b"connection refused" in refusal
    assert kubelet.opened == [(corner, "web", open_port), (corner, "web", unused_tcp_port)]


@contextlib.asynccontextmanager
async def echo() -> AsyncIterator[int]:
    """The port of a server that says what it hears."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.read(100))
        await writer.drain()
        await reader.read()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]
