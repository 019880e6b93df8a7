"""One poll of one target: who is seen from inside, and which ports are learnt there."""

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from exporter.config import AccessConfig, Config, NetnsConfig
from exporter.demo import SHIPPED, load_states, mesh
from exporter.model import EVERY_CADENCE, FAST_ONLY, Memory, Outcome, Role, Target, TargetKey, View
from exporter.poll.plan import plan_of
from exporter.poll.poll_target import poll_once

UID = "603de7be-a11f-4793-8b8d-0f1e2d3c4b5a"
CONTAINER = "a" * 64
STATES = {state.name: state for state in load_states(SHIPPED)}


def node_mode(proc: Path = Path("/proc")) -> Config:
    return Config(access=AccessConfig(loopback="netns", netns=NetnsConfig(proc=str(proc))))


def living_with(pid: str) -> Iterator[Path]:
    """The processes of the network namespace that this one is in."""
    wanted = Path(f"/proc/{pid}/ns/net").stat().st_ino
    for process in Path("/proc").iterdir():
        try:
            if process.name.isdigit() and (process / "ns/net").stat().st_ino == wanted:
                yield process
        except OSError:  # it has ended, or is not ours to look at
            continue


def put_into_a_pod(proc: Path, process: Path) -> None:
    """The process as a node's /proc shows it; a test makes no cgroups, only that file."""
    (proc / process.name).mkdir()
    for part in ("ns", "fd", "comm"):
        (proc / process.name / part).symlink_to(process / part)
    (proc / process.name / "cgroup").write_text(f"0::/kubepods/burstable/pod{UID}/{CONTAINER}\n")


@pytest.mark.real
async def test_a_pod_of_this_node_has_a_pod_view_until_it_ends(tmp_path: Path) -> None:
    async with mesh([STATES["healthy"]], flat=False, earlier=False) as health:
        (pod,) = health.pods
        for process in living_with(pod.target.netns):
            put_into_a_pod(tmp_path, process)
        target = replace(pod.target, netns="", uid=UID, container_id=CONTAINER)
        config = node_mode(tmp_path)
        seen = await poll_once(target, Memory(), EVERY_CADENCE, config, time.time())
    verdicts = {verdict.port: verdict for verdict in seen.record.verdicts}
    assert (verdicts[15000].up, verdicts[15000].view) == (True, View.POD)
    assert verdicts[15001].up
    assert {(row.port, row.process) for row in seen.record.listening} >= {
        (15000, "envoy"),
        (15020, "pilot-agent"),
    }
    assert seen.record.diagnosis is None
    gone = await poll_once(target, Memory(), EVERY_CADENCE, config, time.time())
    inside = {o.outcome for o in gone.observations if o.view is View.POD}
    assert inside == {Outcome.NO_ACCESS}


@pytest.mark.parametrize(
    ("netns", "container", "config", "is_seen"),
    [
        ("", CONTAINER, node_mode(), True),
        ("", "", node_mode(), False),
        ("", CONTAINER, Config(), False),
        ("cart", "", Config(), True),
    ],
    ids=["a pod's container", "by hand", "no access", "a name by hand"],
)
def test_which_targets_have_a_pod_view(
    netns: str, container: str, config: Config, *, is_seen: bool
) -> None:
    target = Target(
        key=TargetKey("shop", "cart"),
        role=Role.SIDECAR,
        addresses=("10.0.0.7",),
        uid=UID,
        netns=netns,
        container_id=container,
    )
    assert (plan_of(target, config).pod is not None) == is_seen
    assert plan_of(replace(target, addresses=()), config).pod is None


@pytest.mark.real
@pytest.mark.parametrize(
    ("name", "bound"),
    [
        pytest.param("gateway-healthy", {"0.0.0.0_8080": True}, id="bound"),
        pytest.param("gateway-missing-secret", {"0.0.0.0_8443": False}, id="configured only"),
    ],
)
async def test_a_gateways_servers_are_its_envoys_listeners(
    name: str, bound: dict[str, bool]
) -> None:
    async with mesh([STATES[name]], flat=False, earlier=False) as health:
        (pod,) = health.pods
        first = await poll_once(pod.target, Memory(), EVERY_CADENCE, Config(), time.time())
        again = await poll_once(pod.target, first.memory, FAST_ONLY, Config(), time.time())
    for seen in (first, again):
        assert seen.record.proxy.bound == bound
        servers = {v.port: v.up for v in seen.record.verdicts if v.component == "gateway"}
        assert {f"0.0.0.0_{port}": up for port, up in servers.items()} == bound
