"""From a pod in a network namespace to its samples, without a hand on the exporter.

Real Envoys behind real redirection, registered in the real API server as the injector would have
made them; `serve` finds them with the chart's rights and follows what becomes of them.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.real.kubernetes import pods
from tests.real.kubernetes.client import Admin, Document
from tests.real.kubernetes.control_plane import ControlPlane
from tests.real.kubernetes.install import install, token_of
from tests.real.kubernetes.kubeconfig import write_kubeconfig
from tests.real.kubernetes.program import Program, serving
from tests.real.network import sweep
from tests.real.pod import Pod, Shape, running

pytestmark = [pytest.mark.real, pytest.mark.kubernetes]

NAMES = ("broken", "blocked", "lost", "drained")
INTERVAL = 4.0


@pytest.fixture(scope="module")
def mesh() -> Iterator[dict[str, Pod]]:
    sweep()
    with running(dict.fromkeys(NAMES, Shape())) as started:
        yield started


class Watcher:
    """What /metrics returns of one pod, awaited for two intervals at most."""

    def __init__(self, program: Program, namespace: str, say: Callable[[str], None]) -> None:
        self._program = program
        self._namespace = namespace
        self._say = say

    async def follows(self, what: str, condition: Callable[[], Awaitable[bool]]) -> None:
        began = time.monotonic()
        while not await condition():
            elapsed = time.monotonic() - began
            assert elapsed < 2 * INTERVAL, f"not within two intervals: {what}: {await self.seen()}"
            await asyncio.sleep(0.1)
        self._say(f"{what}: {time.monotonic() - began:.1f} s, interval {INTERVAL:g} s")

    async def is_up(self, pod: str) -> float | None:
        labels = {"namespace": self._namespace, "pod": pod, "port": "15021"}
        return await self._program.value("istio_port_up", **labels)

    async def causes(self, pod: str) -> set[str]:
        return {
            row.labels["cause"]
            for row in await self._program.samples()
            if row.name == "istio_target_diagnosis" and row.labels["pod"] == pod and row.value
        }

    async def seen(self) -> list[str]:
        """What a failure shows."""
        names = ("istio_port_up", "istio_target_diagnosis")
        return [str(row) for row in await self._program.samples() if row.name in names]


@pytest.mark.timeout(240)
async def test_samples_follow_the_life_of_pods(
    control_plane: ControlPlane,
    admin: Admin,
    corner: str,
    mesh: dict[str, Pod],
    tmp_path: Path,
    say: Callable[[str], None],
) -> None:
    token = await token_of(admin, await install(admin, corner))
    root = control_plane.authority.root
    path = write_kubeconfig(tmp_path / "config", control_plane.url, root, token=token)
    config = {
        "discovery": {"kubernetes": {"namespaces": [corner]}, "start_grace": "1s"},
        "poll": {"interval": f"{INTERVAL:g}s", "timeout": "500ms"},
    }
    nodes = {name: await admin.create(pods.node(f"{corner}-{name}")) for name in NAMES}
    registered: dict[str, Document] = {}
    async with serving(tmp_path, config, KUBECONFIG=str(path)) as program:
        watcher = Watcher(program, corner, say)
        for name, pod in mesh.items():
            node = nodes[name]["metadata"]["name"]
            document = pods.sidecar_pod(corner, name, node=node, address=pod.address)
            registered[name] = await admin.create(document)
        for name in NAMES:
            await watcher.follows(f"{name} is found", _is(watcher.is_up, name, 1))

        mesh["broken"].kill("envoy")
        await watcher.follows("broken is down", _is(watcher.is_up, "broken", 0))

        mesh["blocked"].network.drop()
        await watcher.follows(
            "blocked is silent", _is(watcher.causes, "blocked", {"network_blocked"})
        )

        mesh["lost"].network.drop()
        await admin.delete(nodes["lost"])
        await watcher.follows("lost has no node", _is(watcher.causes, "lost", {"node_unreachable"}))

        await admin.delete(registered["drained"], gracePeriodSeconds="30")
        mesh["drained"].kill("envoy")
        await watcher.follows("drained ends", _is(watcher.causes, "drained", {"draining"}))

        for name in NAMES:
            await admin.delete(registered[name])

        async def is_empty() -> bool:
            return not await program.pods(corner)

        await watcher.follows("all are deleted", is_empty)
    assert token not in program.log.read_text()


def _is(
    ask: Callable[[str], Awaitable[Any]], pod: str, wanted: Any
) -> Callable[[], Awaitable[bool]]:
    async def is_so() -> bool:
        return await ask(pod) == wanted

    return is_so
