"""A workload in ambient behind istio-cni's rules, and a TLS server that answers as ztunnel does.

What half-open connects and hellos leave, who judges redirection, and what a filter changes.
"""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from exporter.access.netns import Netns
from exporter.config import Config
from exporter.model import EVERY_CADENCE, FAST_ONLY, Memory, Target, TargetRecord
from exporter.poll.hbone_hellos import HelloRate
from exporter.poll.plan import plan_of
from exporter.poll.poll_target import PollResult, poll_once, poll_target
from tests.real.network import FLUSH, Network, run
from tests.real.workload import IDENTITY, ROOT, RULES, Workload, many_targets, workload

AT_ONCE = 4
"""The kernel withholds the end of a handshake for 0.2 s, so few start at once on a busy machine."""


async def polled(target: Target, *, times: int = 1) -> PollResult:
    memory = Memory()
    for number in range(times):
        due = EVERY_CADENCE if number == 0 else FAST_ONLY
        result = await poll_once(target, memory, due, Config(), time.time() + 30 * number)
        memory = result.memory
    return result


def summary(record: TargetRecord) -> tuple[str, dict[int, bool | None]]:
    cause = record.diagnosis.cause if record.diagnosis else "none"
    return cause, {verdict.port: verdict.up for verdict in record.verdicts}


@pytest.mark.alone
@pytest.mark.usefixtures("machine")
@pytest.mark.parametrize("pods", [100, pytest.param(1000, marks=pytest.mark.slow)])
async def test_many_pods_leave_no_connection_and_no_line_but_the_hellos(
    tmp_path: Path, pods: int
) -> None:
    with workload(tmp_path) as pod:
        targets = many_targets(pod, pods)
        first = []
        for at in range(0, pods, AT_ONCE):
            first += await asyncio.gather(*map(polled, targets[at : at + AT_ONCE]))
        assert {summary(one.record)[0] for one in first} == {"none"}
        assert all(summary(one.record)[1][15008] for one in first)
        logged = await asyncio.to_thread(pod.lines_with, "15008 NoCertificatesPresented", pods)
        assert logged["15008 NoCertificatesPresented"] == pods
        assert {line for line in logged if "accepted" in line or "served" in line} == set()
        now = time.time() + 30
        for at in range(0, pods, AT_ONCE):
            again = await asyncio.gather(
                *(
                    poll_once(one.record.target, one.memory, FAST_ONLY, Config(), now)
                    for one in first[at : at + AT_ONCE]
                )
            )
            assert {summary(one.record)[0] for one in again} == {"none"}
        assert pod.lines() == logged
        assert pod.connections() == []
        ours = run("ss", "-Htan", "dst", f"{targets[0].addresses[0]}/16")
        assert ours == ""


@pytest.mark.usefixtures("machine")
async def test_a_poll_does_not_wait_for_a_hello_that_may_not_go_out_yet(tmp_path: Path) -> None:
    with workload(tmp_path) as pod:
        plan, none = plan_of(pod.target(), Config()), HelloRate(0)
        began = time.monotonic()
        result = await poll_target(
            plan, Memory(), EVERY_CADENCE, Config(), time.time(), hellos=none
        )
        assert time.monotonic() - began < 1
        assert summary(result.record) == (
            "none",
            {15001: None, 15006: None, 15008: None, 15053: None},
        )
        later = await poll_target(plan, result.memory, FAST_ONLY, Config(), time.time() + 30)
        assert summary(later.record)[1][15008] is True


@pytest.mark.usefixtures("machine")
async def test_who_serves_a_pod_is_found_whatever_is_taken_away(tmp_path: Path) -> None:
    with workload(tmp_path) as pod:
        in_pod = pod.target(netns=pod.network.name)
        healthy = await polled(in_pod)
        assert summary(healthy.record) == (
            "none",
            {15001: True, 15006: True, 15008: True, 15053: True},
        )
        assert healthy.record.spiffe_id == f"spiffe://cluster.local{IDENTITY}"
        assert healthy.record.proxy.captured is True
        assert not {"15001 accepted", "15006 accepted", "8080 accepted"} & pod.lines().keys()

        run("ip", "netns", "exec", pod.network.name, "iptables-restore", text=FLUSH)
        missing = await polled(pod.target())
        assert summary(missing.record)[0] == "redirection_missing"
        assert missing.record.proxy.captured is False

        pod.network.reject(15008, 15999)
        assert summary((await polled(pod.target())).record)[0] == "network_blocked"


@pytest.mark.usefixtures("machine")
@pytest.mark.parametrize(
    ("mode", "times", "cause"),
    [("closing", 2, "identity_not_issued"), ("waiting", 1, "workload_unknown")],
)
async def test_a_hello_that_is_closed_is_told_by_when(
    tmp_path: Path, mode: str, times: int, cause: str
) -> None:
    with workload(tmp_path, "--mode", mode, "--application", "8080") as pod:
        record = (await polled(pod.target(), times=times)).record
        assert summary(record) == (cause, {15001: None, 15006: True, 15008: False, 15053: None})


@pytest.mark.usefixtures("machine")
async def test_resets_by_a_policy_are_told_from_a_pod_outside_the_mesh_in_its_namespace(
    tmp_path: Path,
) -> None:
    with workload(tmp_path, rules=RULES + RESETS) as pod:
        blind = (await polled(pod.target())).record
        sighted = (await polled(pod.target(netns=pod.network.name))).record
        assert summary(blind)[0] == "outside_mesh"
        assert summary(sighted)[0] == "network_blocked"
        assert summary(sighted)[1][15008] is None


class CountedWay(Netns):
    """The way into a pod that a port-forward is: for connections alone, and each entry counts."""

    entries = 0

    def entered(
        self, together: Sequence[int], apart: Sequence[int], *, urgent: bool
    ) -> AbstractAsyncContextManager[Netns]:
        self.entries += 1
        return super().entered(together, apart, urgent=urgent)


RESETS = "*filter\n{}\nCOMMIT\n".format(
    "\n".join(
        f"-A INPUT -i eth0 -p tcp -m conntrack --ctorigdstport {port}"
        " -j REJECT --reject-with tcp-reset"
        for port in (15008, 15999)
    )
)


@pytest.mark.usefixtures("machine")
@pytest.mark.parametrize(
    ("mode", "rules", "cause"),
    [("serving", RULES + RESETS, "network_blocked"), ("absent", "", "outside_mesh")],
)
async def test_a_port_forward_is_spent_once_before_a_pod_is_called_outside_the_mesh(
    tmp_path: Path, mode: str, rules: str, cause: str
) -> None:
    with workload(tmp_path, "--mode", mode, "--application", "8080", rules=rules) as pod:
        way = CountedWay(pod.network.name, pod.address)
        memory, causes = Memory(), []
        for number in range(4):
            due = EVERY_CADENCE if number in (0, 3) else FAST_ONLY
            now = time.time() + 30 * number
            result = await poll_once(
                pod.target(), memory, due, Config(), now, forward=lambda _target: way
            )
            memory = result.memory
            causes.append(summary(result.record)[0])
        assert causes == [cause] * 4
        assert way.entries == 2


class BusyWay(CountedWay):
    """The same while no port-forward is free until the poll of this number, from 1 on."""

    free_from = 3

    @asynccontextmanager
    async def entered(
        self, together: Sequence[int], apart: Sequence[int], *, urgent: bool
    ) -> AsyncIterator[Netns | None]:
        async with super().entered(together, apart, urgent=urgent) as way:
            yield way if self.entries >= self.free_from else None


@pytest.mark.usefixtures("machine")
@pytest.mark.parametrize(
    ("free_from", "causes"),
    [
        (3, ["none", "none", "network_blocked", "network_blocked"]),
        (9, ["none", "none", "outside_mesh", "outside_mesh"]),
    ],
)
async def test_a_port_forward_is_awaited_for_two_polls(
    tmp_path: Path, free_from: int, causes: list[str]
) -> None:
    with workload(tmp_path, rules=RULES + RESETS) as pod:
        way = BusyWay(pod.network.name, pod.address)
        way.free_from = free_from
        memory, found = Memory(), []
        for number in range(4):
            now = time.time() + 30 * number
            result = await poll_once(
                pod.target(), memory, FAST_ONLY, Config(), now, forward=lambda _target: way
            )
            memory = result.memory
            found.append(summary(result.record)[0])
        assert found == causes


@pytest.mark.usefixtures("machine")
async def test_a_port_forward_is_not_spent_on_a_workload_that_is_served(tmp_path: Path) -> None:
    with workload(tmp_path) as pod:
        way = CountedWay(pod.network.name, pod.address)
        due = EVERY_CADENCE
        await poll_once(
            pod.target(), Memory(), due, Config(), time.time(), forward=lambda _target: way
        )
        assert way.entries == 0


@pytest.mark.usefixtures("machine")
async def test_an_exporter_in_the_network_of_the_pods_node_judges_no_redirection(
    tmp_path: Path,
) -> None:
    """The node rewrites what its own processes send, which in-pod rules let through: real rules."""
    with workload(tmp_path) as pod, rewritten(pod):
        node = pod.network.gateways[4]
        near = pod.target(host_addresses=(node,))
        record = (await polled(near)).record
        assert summary(record) == ("none", {15001: None, 15006: None, 15008: True, 15053: None})
        assert record.proxy.captured is None
        unaware = (await polled(replace(near, host_addresses=()))).record
        assert summary(unaware)[0] == "redirection_missing"


@pytest.mark.usefixtures("machine")
def test_an_exporter_with_a_network_of_its_own_judges_on_the_pods_node_too(tmp_path: Path) -> None:
    """DaemonSet mode: the same node, and a pod's network."""
    exporter = Network()
    try:
        with workload(tmp_path) as pod, rewritten(pod), forwarding(exporter, pod):
            document = {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {
                    "name": "web",
                    "namespace": "shop",
                    "annotations": {"ambient.istio.io/redirection": "enabled"},
                },
                "spec": {"containers": [{"name": "web", "ports": [{"containerPort": 8080}]}]},
                "status": {"podIP": pod.address, "hostIP": pod.network.gateways[4]},
            }
            assert checked(exporter, document, tmp_path) == ("", True)
            run("ip", "netns", "exec", pod.network.name, "iptables-restore", text=FLUSH)
            assert checked(exporter, document, tmp_path) == ("redirection_missing", None)
    finally:
        exporter.close()


def checked(exporter: Network, document: object, folder: Path) -> tuple[str, bool | None]:
    """The cause and 15006, as `check` in the exporter's own network finds them."""
    (folder / "pod.json").write_text(json.dumps(document))
    config = folder / "exporter.yaml"
    config.write_text("discovery: {static: {targets: [{pod: pod.json}]}}\n")
    command = [*("ip", "netns", "exec", exporter.name, sys.executable, "-m", "exporter")]
    command += ["check", "--config.file", str(config), "-o", "json"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    (target,) = json.loads(done.stdout)["targets"]
    ports = {port["port"]: port["up"] for port in target["ports"]}
    return (target["diagnosis"] or {}).get("cause", ""), ports[15006]


@contextmanager
def rewritten(pod: Workload) -> Iterator[None]:
    """istio-cni's rule of the node: what its processes send to the pod comes from 169.254.7.127."""
    rule = [*("POSTROUTING", "-d", pod.address, "-p", "tcp", "-m", "owner", "--socket-exists")]
    rule += ["-j", "SNAT", "--to-source", "169.254.7.127"]
    run("iptables", "-t", "nat", "-A", *rule)
    run("ip", "-n", pod.network.name, "route", "add", "default", "via", pod.network.gateways[4])
    try:
        yield
    finally:
        run("iptables", "-t", "nat", "-D", *rule)


@contextmanager
def forwarding(exporter: Network, pod: Workload) -> Iterator[None]:
    """The node forwards between its pods."""
    path = Path("/proc/sys/net/ipv4/ip_forward")
    before = path.read_text()
    run("ip", "-n", exporter.name, "route", "add", "default", "via", exporter.gateways[4])
    run("iptables", "-I", "FORWARD", "-d", pod.address, "-j", "ACCEPT")
    run("iptables", "-I", "FORWARD", "-s", pod.address, "-j", "ACCEPT")
    path.write_text("1")
    try:
        yield
    finally:
        path.write_text(before)
        run("iptables", "-D", "FORWARD", "-d", pod.address, "-j", "ACCEPT")
        run("iptables", "-D", "FORWARD", "-s", pod.address, "-j", "ACCEPT")
