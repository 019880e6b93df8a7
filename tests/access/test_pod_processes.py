"""Finding a pod's processes by their cgroups: every layout, and processes that come and go."""

import asyncio
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from exporter.access.dialer import NoAccess
from exporter.access.netns import Netns
from exporter.access.pod_processes import Member, PodProcesses, member_of

UID = "603de7be-a11f-4793-8b8d-0f1e2d3c4b5a"
UNDERSCORED = UID.replace("-", "_")
PROXY, APP, PAUSE = "a" * 64, "b" * 64, "c" * 64
POD_SLICE = f"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{UNDERSCORED}.slice"
KIND = f"/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod{UNDERSCORED}.slice"
V1 = "12:pids:{0}\n11:memory:{0}\n1:name=systemd:{0}\n0::/system.slice/containerd.service\n"
V2 = "0::{0}\n"

LAYOUTS = {
    "v2 systemd containerd": (V2, f"{POD_SLICE}/cri-containerd-{{}}.scope"),
    "v2 systemd cri-o": (V2, f"{POD_SLICE}/crio-{{}}.scope"),
    "v2 systemd cri-o with a group below": (V2, f"{POD_SLICE}/crio-{{}}.scope/container"),
    "v2 systemd docker": (V2, f"{POD_SLICE}/docker-{{}}.scope"),
    "v2 systemd guaranteed": (
        V2,
        f"/kubepods.slice/kubepods-pod{UNDERSCORED}.slice/cri-containerd-{{}}.scope",
    ),
    "v2 kubelet's own root": (V2, f"{KIND}/cri-containerd-{{}}.scope"),
    "v2 cgroupfs containerd": (V2, f"/kubepods/burstable/pod{UID}/{{}}"),
    "v2 cgroupfs cri-o": (V2, f"/kubepods/besteffort/pod{UID}/crio-{{}}"),
    "v2 from another cgroup namespace": (
        V2,
        f"/../../kubepods-besteffort-pod{UNDERSCORED}.slice/cri-containerd-{{}}.scope",
    ),
    "v2 systemd inside the container": (V2, f"/kubepods/pod{UID}/{{}}/init.scope"),
    "v1 systemd containerd": (V1, f"{POD_SLICE}/cri-containerd-{{}}.scope"),
    "v1 systemd docker": (V1, f"{POD_SLICE}/docker-{{}}.scope"),
    "v1 systemd with containerd's colons": (
        V1,
        f"/system.slice/containerd.service/kubepods-pod{UNDERSCORED}.slice:cri-containerd:{{}}",
    ),
    "v1 cgroupfs": (V1, f"/kubepods/burstable/pod{UID}/{{}}"),
    "v1 cgroupfs guaranteed": (V1, f"/kubepods/pod{UID}/{{}}"),
    "v1 cgroupfs cri-o": (V1, f"/kubepods/burstable/pod{UID}/crio-{{}}"),
}


@pytest.mark.parametrize(("table", "path"), LAYOUTS.values(), ids=LAYOUTS)
def test_a_cgroup_names_pod_and_container(table: str, path: str) -> None:
    assert member_of(table.format(path.format(PROXY))) == Member(UID, PROXY)


NOBODYS = {
    "nothing": "",
    "the root": "0::/\n",
    "a service": "0::/system.slice/containerd.service\n",
    "a login": "0::/user.slice/user-1000.slice/session-3.scope\n",
    "the pod's slice itself": f"0::{POD_SLICE}\n",
    "CRI-O's monitor in a scope": f"0::{POD_SLICE}/crio-conmon-{PROXY}.scope\n",
    "CRI-O's monitor in a folder": f"0::/kubepods/burstable/pod{UID}/crio-conmon-{PROXY}\n",
    "a container without a pod": f"0::/docker/{PROXY}\n",
    "a name that is no uid": f"0::/kubepods/podcast/{PROXY}\n",
    "a short id": f"0::/kubepods/burstable/pod{UID}/abc123\n",
}


@pytest.mark.parametrize("cgroup", NOBODYS.values(), ids=NOBODYS)
def test_a_cgroup_is_nobodys(cgroup: str) -> None:
    assert member_of(cgroup) is None


class Node:
    """A folder like /proc with the processes of a node."""

    def __init__(self, proc: Path, table: str, path: str) -> None:
        self.proc, self.table, self.path = proc, table, path
        self.begin(1, "0::/init.scope\n")
        (proc / "meminfo").write_text("")

    def begin(self, pid: int, cgroup: str) -> None:
        (self.proc / str(pid)).mkdir()
        (self.proc / str(pid) / "cgroup").write_text(cgroup)

    def run(self, pid: int, container: str, uid: str = UID) -> None:
        path = self.path.format(container)
        for old, new in ((UID, uid), (UNDERSCORED, uid.replace("-", "_"))):
            path = path.replace(old, new)
        self.begin(pid, self.table.format(path))

    def end(self, pid: int) -> None:
        (self.proc / str(pid) / "cgroup").unlink()
        (self.proc / str(pid)).rmdir()


@pytest.fixture(params=LAYOUTS.values(), ids=LAYOUTS)
def node(request: pytest.FixtureRequest, tmp_path: Path) -> Node:
    return Node(tmp_path, *request.param)


@pytest.fixture
def plain(tmp_path: Path) -> Node:
    return Node(tmp_path, *LAYOUTS["v2 systemd containerd"])


def test_prefers_the_proxys_container(node: Node) -> None:
    for pid, container in ((7, PAUSE), (9, APP), (12, PROXY), (15, PROXY)):
        node.run(pid, container)
    node.run(3, PROXY, uid="11111111-2222-3333-4444-555555555555")
    place = PodProcesses(node.proc).locate(UID, PROXY)
    assert place.path == f"{node.proc}/12/ns/net"
    assert place.own == node.proc / "12"
    assert place.processes is not None
    assert sorted(int(process.name) for process in place.processes) == [7, 9, 12, 15]


def test_takes_any_process_of_the_pod_while_the_proxy_is_down(node: Node) -> None:
    node.run(9, APP)
    node.run(7, PAUSE)
    place = PodProcesses(node.proc).locate(UID, PROXY)
    assert place.path == f"{node.proc}/7/ns/net"
    assert place.own is None


def test_finds_a_static_pod_by_its_container(node: Node) -> None:
    for pid, container in ((7, PAUSE), (12, PROXY)):
        node.run(pid, container, uid="0123456789abcdef" * 2)
    node.run(3, APP, uid="11111111-2222-3333-4444-555555555555")
    place = PodProcesses(node.proc).locate("the uid of its mirror", PROXY)
    assert place.path == f"{node.proc}/12/ns/net"
    assert {process.name for process in place.processes or ()} == {"7", "12"}


def test_follows_a_container_that_restarts(plain: Node) -> None:
    plain.run(12, PROXY)
    found = PodProcesses(plain.proc, rescan_seconds=0)
    assert found.locate(UID, PROXY).path.endswith("/12/ns/net")
    plain.end(12)
    plain.run(20, PROXY)
    assert found.locate(UID, PROXY).path.endswith("/20/ns/net")


LATER = {
    "the proxy's container restarts": ((PAUSE, PROXY), PROXY),
    "the agent starts Envoy": ((PROXY,), PROXY),
    "an application forks": ((PROXY, APP), APP),
    "another container starts": ((PAUSE, PROXY), APP),
}


@pytest.mark.parametrize(("first", "later"), LATER.values(), ids=LATER)
def test_finds_processes_that_began_after_it_had_read_proc(
    plain: Node, first: tuple[str, ...], later: str
) -> None:
    for pid, container in enumerate(first, start=7):
        plain.run(pid, container)
    found = PodProcesses(plain.proc, rescan_seconds=0, fresh_seconds=0)
    found.locate(UID, PROXY)
    plain.run(20, later)
    place = found.locate(UID, PROXY)
    assert plain.proc / "20" in (place.processes or ())


def test_a_new_container_of_a_pod_whose_pause_lives_on_is_found(plain: Node) -> None:
    plain.run(7, PAUSE)
    plain.run(12, PROXY)
    found = PodProcesses(plain.proc, rescan_seconds=0, fresh_seconds=3600)
    found.locate(UID, PROXY)
    plain.end(12)
    restarted = "d" * 64
    plain.run(20, restarted)
    assert found.locate(UID, restarted).own == plain.proc / "20"


def test_what_was_just_read_is_not_read_again(plain: Node) -> None:
    plain.run(12, PROXY)
    found = PodProcesses(plain.proc)
    found.locate(UID, PROXY)
    plain.run(20, PROXY)
    place = found.locate(UID, PROXY)
    assert place.processes == (plain.proc / "12",)


def test_does_not_take_a_process_id_that_is_now_another_pods(plain: Node) -> None:
    plain.run(12, PROXY)
    found = PodProcesses(plain.proc, rescan_seconds=0)
    found.locate(UID, PROXY)
    plain.end(12)
    plain.run(12, PROXY, uid="11111111-2222-3333-4444-555555555555")
    with pytest.raises(NoAccess):
        found.locate(UID, PROXY)


def test_a_pod_that_is_not_here_is_said_to_be_elsewhere(plain: Node) -> None:
    with pytest.raises(NoAccess, match="it ended, or is on another node"):
        PodProcesses(plain.proc).locate(UID, PROXY)


def test_a_missing_pod_does_not_make_proc_be_read_at_every_look(plain: Node) -> None:
    found = PodProcesses(plain.proc)
    with pytest.raises(NoAccess):
        found.locate(UID, PROXY)
    plain.run(12, PROXY)
    with pytest.raises(NoAccess):
        found.locate(UID, PROXY)


def test_a_process_that_ends_while_it_is_read_is_left_out(plain: Node) -> None:
    plain.run(7, PAUSE)
    (plain.proc / "12").mkdir()
    (plain.proc / "13").mkdir()
    (plain.proc / "13" / "cgroup").mkdir()
    assert PodProcesses(plain.proc).locate(UID, PROXY).path.endswith("/7/ns/net")


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(NoAccess, match=r"cannot be read: No such file or directory"):
        PodProcesses(tmp_path / "host").locate(UID, PROXY)


async def test_a_pod_that_has_ended_is_no_access(plain: Node) -> None:
    """The namespace of a process that ends between being found and being entered."""
    plain.run(12, PROXY)
    dialer = Netns(lambda: PodProcesses(plain.proc).locate(UID, PROXY), "10.0.0.7")
    with pytest.raises(NoAccess, match="cannot be entered: No such file"):
        await dialer.sockets()


class Quiet(asyncio.Protocol):
    def connection_made(self, transport: Any) -> None:
        self.transport = transport


SERVER = """
import socket
both = socket.create_server(("127.0.0.1", 15021)), socket.create_server(("127.0.0.1", 15000))
print("up", flush=True)
input()
"""


def _made_cgroup() -> Path | None:
    """A cgroup as the cgroupfs driver makes one for a container; None where none can be made."""
    for root in ("/sys/fs/cgroup", "/sys/fs/cgroup/unified", "/sys/fs/cgroup/pids"):
        folder = Path(root) / f"kubepods-{os.getpid()}" / f"pod{uuid.uuid4()}" / PROXY
        if not (Path(root) / "cgroup.procs").exists():
            continue
        try:
            folder.mkdir(parents=True)
        except OSError:
            continue
        return folder
    return None


@dataclass
class RealPod:
    """A process in a network namespace of its own that /proc shows as a pod's."""

    proc: Path
    uid: str
    process: subprocess.Popen[bytes]


@pytest.fixture
def real_pod(tmp_path: Path) -> Iterator[RealPod]:
    """In a real cgroup; where cgroups are read-only, in a /proc of links with that one file."""
    script = 'ip link set lo up; exec "$0" -c "$1"'
    command = ["unshare", "--net", "sh", "-c", script, sys.executable, SERVER]
    cgroup = _made_cgroup()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        if cgroup is not None:
            (cgroup / "cgroup.procs").write_text(str(process.pid))
            yield RealPod(Path("/proc"), cgroup.parent.name.removeprefix("pod"), process)
        else:
            node = Node(tmp_path, *LAYOUTS["v2 cgroupfs containerd"])
            node.run(process.pid, PROXY)
            for part in ("ns", "fd", "comm"):
                (tmp_path / str(process.pid) / part).symlink_to(f"/proc/{process.pid}/{part}")
            yield RealPod(tmp_path, UID, process)
        process.kill()
    if cgroup is not None:
        for made in (cgroup, cgroup.parent, cgroup.parent.parent):
            made.rmdir()


@pytest.mark.real
async def test_enters_the_pod_of_a_real_process(real_pod: RealPod) -> None:
    processes = PodProcesses(real_pod.proc)
    dialer = Netns(lambda: processes.locate(real_pod.uid, PROXY), "10.0.0.7")
    line: Any = await dialer.connect(15000, Quiet)
    assert line.transport._socket.getpeername() == ("127.0.0.1", 15000)
    line.transport.abort()
    table = await dialer.sockets()
    name = Path(sys.executable).name[:15]
    assert {(row.port, row.process) for row in table.listening} == {(15000, name), (15021, name)}
    real_pod.process.kill()
    await asyncio.to_thread(real_pod.process.wait)
    with pytest.raises(NoAccess):
        await dialer.sockets()
