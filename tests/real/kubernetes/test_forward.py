"""Port-forwards through a real API server, into pods in network namespaces."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path

import pytest

from exporter.access.portforward import PortForwards
from exporter.config import Config
from exporter.kube.client import KubernetesClient
from exporter.kube.credentials import load_kubeconfig
from exporter.kube.websocket import PortForwardWebSocket
from exporter.model import EVERY_CADENCE, Memory, Outcome, Role, Target, TargetKey, TargetRecord
from exporter.poll.plan import PodViewFactory, no_pod_view, plan_of, pod_only
from exporter.poll.poll_target import PollResult, poll_target
from tests.real.kubernetes.client import Admin, Document
from tests.real.kubernetes.control_plane import ControlPlane
from tests.real.kubernetes.kubeconfig import write_kubeconfig
from tests.real.kubernetes.kubelet import Kubelet
from tests.real.kubernetes.roles import cluster_role
from tests.real.kubernetes.stage import Staged, staged

pytestmark = [pytest.mark.kubernetes, pytest.mark.real]

CONFIG = Config()
BOTH_VERBS = ("get", "create")


def rules(*verbs: str) -> list[Document]:
    return [{"apiGroups": [""], "resources": ["pods/portforward"], "verbs": list(verbs)}]


@pytest.fixture
async def kubelet(control_plane: ControlPlane, admin: Admin, corner: str) -> AsyncIterator[Kubelet]:
    node = Kubelet(control_plane.authority, f"node-of-{corner}")
    async with node.serving():
        await admin.apply(node.node())
        await admin.patch_status(node.node(), node.node()["status"])
        yield node


class Account:
    """A service account of the test's own; `asked` are the ports of each wire it asked for."""

    def __init__(self, plane: ControlPlane, admin: Admin, corner: str, folder: Path) -> None:
        self.requested: list[Sequence[int]] = []
        self.user = f"system:serviceaccount:{corner}:exporter"
        self._plane, self._admin, self._corner, self._folder = plane, admin, corner, folder

    @contextlib.asynccontextmanager
    async def forwarding(self, *verbs: str) -> AsyncIterator[PodViewFactory]:
        """Its ways into pods, with these verbs on pods/portforward."""
        token = await self._admin.service_account_token(self._corner, "exporter")
        binding = cluster_role(self._corner, rules(*verbs), (self._corner, "exporter"))
        await self._admin.apply(*binding)
        url, root = self._plane.url, self._plane.authority.root
        config = str(write_kubeconfig(self._folder / "config", url, root, token=token))
        async with KubernetesClient(lambda: load_kubeconfig(config)) as api:

            def open_websocket(
                key: TargetKey, ports: Sequence[int]
            ) -> AbstractAsyncContextManager[PortForwardWebSocket]:
                self.requested.append(ports)
                return api.forward(key.namespace, key.pod, ports)

            forwarding = PortForwards(open_websocket, None)
            yield lambda target: forwarding.pod(target.key)


@pytest.fixture
def account(control_plane: ControlPlane, admin: Admin, corner: str, tmp_path: Path) -> Account:
    return Account(control_plane, admin, corner, tmp_path)


def target_of(one: Staged, corner: str) -> Target:
    return replace(one.pod.target, key=TargetKey(corner, one.pod.name))


async def look_inside(target: Target, forward: PodViewFactory) -> PollResult:
    plan = pod_only(plan_of(target, CONFIG, forward))
    return await poll_target(plan, Memory(), EVERY_CADENCE, CONFIG, time.time())


def seen_of(record: TargetRecord) -> dict[int, tuple[bool | None, Outcome]]:
    return {verdict.port: (verdict.up, verdict.outcome) for verdict in record.verdicts}


STATES = (
    "agent-hung",
    "app-holds-15001",
    "dns-capture",
    "draining",
    "envoy-killed",
    "envoy-hung",
    "gateway-healthy",
    "gateway-missing-secret",
    "healthy",
    "listeners-rejected-at-start",
)


@pytest.mark.slow
async def test_a_port_forward_sees_what_the_namespace_shows(
    control_plane: ControlPlane, admin: Admin, corner: str, kubelet: Kubelet, account: Account
) -> None:
    async with (
        staged(admin, kubelet, corner, STATES) as pods,
        account.forwarding(*BOTH_VERBS) as forward,
    ):
        assert sorted(pods) == sorted(STATES)
        for name, one in pods.items():
            target = target_of(one, corner)
            there = (await look_inside(target, no_pod_view)).record
            far = (await look_inside(replace(target, netns=""), forward)).record
            assert seen_of(far) == seen_of(there), name
            causes = [row.diagnosis and row.diagnosis.cause for row in (far, there)]
            assert causes[0] == causes[1], name
    rights = {(row.resource, row.verb, row.code) for row in control_plane.accesses(account.user)}
    assert rights == {("pods/portforward", "get", 101)}
    requested = [list(ports) for ports in account.requested[:3]]
    assert requested == [[15000, 15020, 15021, 15090], [15001], [15006]]


@pytest.mark.parametrize("verb", BOTH_VERBS)
async def test_one_verb_alone_is_no_access_and_requested_once(
    admin: Admin,
    corner: str,
    kubelet: Kubelet,
    account: Account,
    caplog: pytest.LogCaptureFixture,
    verb: str,
) -> None:
    caplog.set_level(logging.INFO)
    async with (
        staged(admin, kubelet, corner, ("healthy",)) as pods,
        account.forwarding(verb) as forward,
    ):
        target = replace(target_of(pods["healthy"], corner), netns="")
        for _ in range(3):
            record = (await look_inside(target, forward)).record
            assert {up for up, _ in seen_of(record).values()} == {None}
            assert "needs the verbs get and create" in record.verdicts[0].detail
    assert (
        len([message for message in caplog.messages if "port-forwards are refused" in message]) == 1
    )
    assert len(account.requested) == 3
    assert kubelet.opened == []


async def test_a_pod_that_nobody_knows_is_gone(corner: str, account: Account) -> None:
    async with account.forwarding(*BOTH_VERBS) as forward:
        target = Target(key=TargetKey(corner, "gone"), role=Role.SIDECAR, addresses=("10.0.0.1",))
        record = (await look_inside(target, forward)).record
    assert {up for up, _ in seen_of(record).values()} == {None}
    assert record.verdicts[0].detail == "No port-forward: the pod is gone."


async def test_a_port_forward_that_is_lost_midway_judges_no_port(
    admin: Admin, corner: str, kubelet: Kubelet, account: Account
) -> None:
    async with (
        staged(admin, kubelet, corner, ("envoy-hung",)) as pods,
        account.forwarding(*BOTH_VERBS) as forward,
    ):
        target = replace(target_of(pods["envoy-hung"], corner), netns="")
        looking = asyncio.create_task(look_inside(target, forward))
        async with asyncio.timeout(10):
            while len(kubelet.connected) < 6:  # noqa: ASYNC110 - it is the kubelet's
                await asyncio.sleep(0.01)
        kubelet.drop()
        looked = await looking
    silent = {o.port: (o.outcome, o.detail) for o in looked.observations}
    for outcome, detail in (silent[port] for port in (15001, 15006, 15021, 15090)):
        assert outcome is Outcome.NO_ACCESS
        assert detail.startswith("The port-forward's connection was lost")
    assert False not in {verdict.up for verdict in looked.record.verdicts}


async def test_a_pod_that_dies_half_way_is_seen_to(
    admin: Admin, corner: str, kubelet: Kubelet, account: Account
) -> None:
    async with account.forwarding(*BOTH_VERBS) as forward:
        async with staged(admin, kubelet, corner, ("envoy-hung",)) as pods:
            target = replace(target_of(pods["envoy-hung"], corner), netns="")
            looking = asyncio.create_task(look_inside(target, forward))
            async with asyncio.timeout(10):
                while len(kubelet.connected) < 6:  # noqa: ASYNC110 - it is the kubelet's
                    await asyncio.sleep(0.01)
        looked = await looking
    ups = {verdict.port: verdict.up for verdict in looked.record.verdicts}
    assert ups[15021] is False
