"""`check` as a person on a laptop runs it: a kubeconfig, the person's rights, no route to pods."""

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from tests.real.kubernetes.client import Admin, Document
from tests.real.kubernetes.control_plane import ControlPlane
from tests.real.kubernetes.install import install, token_of
from tests.real.kubernetes.kubeconfig import (
    certificate_user,
    write_kubeconfig,
    write_service_account,
)
from tests.real.kubernetes.kubelet import Kubelet
from tests.real.kubernetes.program import in_a_pod
from tests.real.kubernetes.roles import cluster_role
from tests.real.kubernetes.stage import staged

pytestmark = [pytest.mark.kubernetes, pytest.mark.real]

RIGHTS: list[Document] = [
    {"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]},
    {"apiGroups": [""], "resources": ["pods/portforward"], "verbs": ["get", "create"]},
]


@pytest.fixture
async def kubelet(control_plane: ControlPlane, admin: Admin, corner: str) -> AsyncIterator[Kubelet]:
    node = Kubelet(control_plane.authority, f"node-of-{corner}")
    async with node.serving():
        await admin.create(node.node())
        yield node


CHECK = (sys.executable, "-m", "exporter", "check")


async def run(command: tuple[str, ...], **environ: str) -> tuple[int | None, str, str]:
    """Exit code, standard output and standard error."""
    process = await asyncio.create_subprocess_exec(
        *command,
        env={**os.environ, **environ},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        output, errors = await process.communicate()
    assert b"Traceback" not in errors
    return process.returncode, output.decode(), errors.decode()


class Laptop:
    """Somebody with a kubeconfig."""

    def __init__(self, plane: ControlPlane, folder: Path, **user: str) -> None:
        root = plane.authority.root
        self.config = write_kubeconfig(folder / "config", plane.url, root, **user)

    async def check(self, *arguments: str) -> tuple[int | None, str, str]:
        return await run((*CHECK, "--kubeconfig", str(self.config), *arguments))


@pytest.fixture
async def laptop(control_plane: ControlPlane, admin: Admin, corner: str, tmp_path: Path) -> Laptop:
    token = await admin.service_account_token(corner, "me")
    await admin.apply(*cluster_role(corner, RIGHTS, (corner, "me")))
    return Laptop(control_plane, tmp_path, token=token)


async def test_a_laptop_sees_what_is_wrong_inside_the_pods(
    admin: Admin, corner: str, kubelet: Kubelet, laptop: Laptop
) -> None:
    async with staged(admin, kubelet, corner, ("healthy", "envoy-killed")):
        began = time.monotonic()
        code, output, errors = await laptop.check("-n", corner, "-o", "json")
        seconds = time.monotonic() - began
        assert (code, errors) == (1, "")
        report = json.loads(output)
        states = {row["pod"]: row["state"] for row in report["targets"]}
        assert states == {"healthy": "healthy", "envoy-killed": "unhealthy"}
        unseen = "\n".join(report["unseen"])
        assert "from inside the pods, by port-forward" in unseen
        assert "what nodes say: nodes is forbidden" in unseen
        assert seconds < 10
        code, output, _ = await laptop.check(f"{corner}/healthy")
        assert code == 0
        assert "1 target: 1 healthy" in output


async def test_without_the_right_to_port_forward_nothing_is_judged_and_one_sentence_reports_it(
    control_plane: ControlPlane, admin: Admin, corner: str, kubelet: Kubelet, tmp_path: Path
) -> None:
    token = await admin.service_account_token(corner, "lister")
    await admin.apply(*cluster_role(f"{corner}-lists", RIGHTS[:1], (corner, "lister")))
    laptop = Laptop(control_plane, tmp_path, token=token)
    async with staged(admin, kubelet, corner, ("healthy", "envoy-killed")):
        code, output, errors = await laptop.check("-n", corner, "-o", "json")
    assert code == 3
    assert errors.count("port-forwards are refused") == 1
    report = json.loads(output)
    assert {row["state"] for row in report["targets"]} == {"unjudged"}
    assert sum("pods/portforward" in sentence for sentence in report["unseen"]) == 1


async def test_from_the_exporters_own_pod_the_way_is_the_network(
    control_plane: ControlPlane, admin: Admin, corner: str, kubelet: Kubelet, tmp_path: Path
) -> None:
    token = await token_of(admin, await install(admin, corner))
    write_service_account(tmp_path / "me", control_plane.authority.root, corner, token)
    port = str(control_plane.port)
    environ = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": port}
    command = (*in_a_pod(tmp_path / "me"), *CHECK, "-n", corner, "-o", "json")
    async with staged(admin, kubelet, corner, ("healthy", "envoy-killed")):
        code, output, errors = await run(command, KUBECONFIG="", **environ)
    assert (code, errors) == (1, "")
    report = json.loads(output)
    states = {row["pod"]: row["state"] for row in report["targets"]}
    assert states == {"healthy": "healthy", "envoy-killed": "unhealthy"}
    assert not any("from inside the pods" in sentence for sentence in report["unseen"])


async def test_without_targets_the_output_names_the_namespace(corner: str, laptop: Laptop) -> None:
    code, _, errors = await laptop.check("-n", corner)
    assert (code, errors.count("\n")) == (3, 1)
    assert f"no Istio pod in namespace {corner}" in errors


async def test_a_wrong_context_is_reported_in_one_sentence(laptop: Laptop) -> None:
    code, _, errors = await laptop.check("--context", "nowhere")
    assert (code, errors.count("\n")) == (3, 1)
    assert "nowhere" in errors


async def test_an_expired_certificate_is_reported_in_one_sentence(
    control_plane: ControlPlane, tmp_path: Path
) -> None:
    issued = control_plane.authority.issue("late", life=timedelta(hours=-1))
    code, _, errors = await Laptop(control_plane, tmp_path, **certificate_user(*issued)).check()
    assert (code, errors.count("\n")) == (3, 1)
    assert "client certificate expired at" in errors


async def test_a_missing_permission_is_reported_in_one_sentence(
    control_plane: ControlPlane, admin: Admin, corner: str, tmp_path: Path
) -> None:
    token = await admin.service_account_token(corner, "nobody")
    code, _, errors = await Laptop(control_plane, tmp_path, token=token).check("-A")
    assert (code, errors.count("\n")) == (3, 1)
    assert "cannot list resource" in errors
    assert "-n" in errors
    assert token not in errors
