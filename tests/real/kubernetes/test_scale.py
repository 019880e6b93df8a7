"""Two thousand pods come, change, go and are listed anew: the targets are right at the end."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

import pytest

from tests.real.kubernetes import pods
from tests.real.kubernetes.client import Admin, Document
from tests.real.kubernetes.control_plane import ControlPlane
from tests.real.kubernetes.fault_proxy import FaultProxy
from tests.real.kubernetes.install import install, token_of
from tests.real.kubernetes.kubeconfig import write_kubeconfig
from tests.real.kubernetes.program import Program, serving

pytestmark = pytest.mark.kubernetes

COUNT = 2000
AT_ONCE = 32
LEAK_BYTES = 30e6


def web(corner: str, number: int) -> Document:
    address = f"127.9.{number // 250}.{number % 250 + 1}"
    return pods.sidecar_pod(corner, f"web-{number:04}", node="node-a", address=address)


IGNORED = "istio_port_exporter_targets_ignored"


async def each(numbers: Iterable[int], act: Callable[[int], Awaitable[object]]) -> None:
    """Do it to each, many at once."""
    limit = asyncio.Semaphore(AT_ONCE)

    async def one(number: int) -> None:
        async with limit:
            await act(number)

    await asyncio.gather(*(one(number) for number in numbers))


async def until_pods(program: Program, corner: str, numbers: Iterable[int]) -> None:
    wanted = {f"web-{number:04}" for number in numbers}
    async with asyncio.timeout(90):
        while await program.pods(corner) != wanted:  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.5)


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_two_thousand_pods_through_their_life(
    control_plane: ControlPlane,
    admin: Admin,
    corner: str,
    faults: FaultProxy,
    tmp_path: Path,
    say: Callable[[str], None],
) -> None:
    token = await token_of(admin, await install(admin, corner))
    root = control_plane.authority.root
    path = write_kubeconfig(tmp_path / "config", faults.url, root, token=token)
    config = {
        "discovery": {"kubernetes": {"namespaces": [corner]}},
        "poll": {"interval": "10s", "detail_interval": "1m", "timeout": "1s"},
    }
    everything = range(COUNT)

    async def create(number: int) -> None:
        await admin.create(web(corner, number))

    async def delete(number: int) -> None:
        await admin.delete(web(corner, number))

    async def ignore(number: int) -> None:
        change = {"metadata": {"annotations": {"istio-port-exporter/ignore": "true"}}}
        await admin.patch(web(corner, number), change)

    async with serving(tmp_path, config, KUBECONFIG=str(path)) as program:
        memory = []
        for _ in range(2):
            await each(everything, create)
            await until_pods(program, corner, everything)
            await each(range(0, COUNT, 4), ignore)
            kept = [number for number in everything if number % 4]
            await until_pods(program, corner, kept)
            await faults.down()
            await each(range(1, COUNT, 4), delete)
            faults.refuse(410, watch=True, path=f"/api/v1/namespaces/{corner}/pods")
            await faults.up()
            await until_pods(program, corner, [number for number in kept if number % 4 != 1])
            async with asyncio.timeout(10):
                while await program.value(IGNORED) != COUNT // 4:  # noqa: ASYNC110 - nothing tells
                    await asyncio.sleep(0.2)
            await admin.delete_all(f"/api/v1/namespaces/{corner}/pods")
            await until_pods(program, corner, [])
            memory.append(await program.value("process_resident_memory_bytes"))
        async with asyncio.timeout(10):
            while await program.value("istio_port_exporter_targets", role="sidecar") is not None:  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(0.2)
        relists = "istio_port_exporter_discovery_relists_total"
        assert (await program.value(relists, resource="pods") or 0) >= 2
    first, second = (value or 0.0 for value in memory)
    say(f"memory after {COUNT} pods came and went: {first / 1e6:.0f} MB, {second / 1e6:.0f} MB")
    assert second - first < LEAK_BYTES
