"""The exporter in a pod: its service account's token ends, and another takes its place."""

import asyncio
import time
from pathlib import Path

import pytest

from tests.real.kubernetes import pods
from tests.real.kubernetes.client import Admin, Document
from tests.real.kubernetes.control_plane import ControlPlane
from tests.real.kubernetes.fault_proxy import FaultProxy
from tests.real.kubernetes.install import install, token_of
from tests.real.kubernetes.kubeconfig import rotate, write_service_account
from tests.real.kubernetes.program import in_a_pod, serving
from tests.until import until

TOKEN_SECONDS = 20
"""As long as the exporter may take to start and to list on a busy machine."""
REMEMBERED_SECONDS = 10
"""For so long the API server takes a token that it has seen (k8s.io/apiserver, its token cache)."""

pytestmark = [pytest.mark.real, pytest.mark.kubernetes]


def web(corner: str, name: str) -> Document:
    return pods.sidecar_pod(corner, name, node="node-a", address="127.8.0.1")


async def test_a_rotated_token_is_used_and_none_is_exposed(
    control_plane: ControlPlane, admin: Admin, corner: str, faults: FaultProxy, tmp_path: Path
) -> None:
    user = await install(admin, corner)
    await admin.create(web(corner, "early"))
    account = tmp_path / "serviceaccount"
    first = await token_of(admin, user, seconds=TOKEN_SECONDS)
    refused_from = time.monotonic() + TOKEN_SECONDS + REMEMBERED_SECONDS
    second = await token_of(admin, user)
    write_service_account(account, control_plane.authority.root, corner, first)
    config = {"discovery": {"kubernetes": {"namespaces": [corner]}}}
    environ = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": str(faults.port)}
    async with serving(tmp_path, config, *in_a_pod(account), **environ) as program:
        await program.until_targets(1)
        await asyncio.sleep(refused_from - time.monotonic())
        await faults.drop()  # a watch outlives its token; only a new one is refused
        await until(lambda: "status=401" in program.log.read_text())
        rotate(account, second)
        await admin.create(web(corner, "late"))
        await program.until_targets(2)
        assert await program.value("istio_port_exporter_discovery_synced", resource="pods") == 1
        requests = "istio_port_exporter_kubernetes_requests_total"
        assert await program.value(requests, code="401")
    reported = program.log.read_text()
    assert first not in reported
    assert second not in reported
