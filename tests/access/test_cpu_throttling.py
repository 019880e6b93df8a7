"""A container's throttling, read through one of its processes, and nothing else that is there."""

import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from exporter.access.cpu_throttling import cpu_cgroup_in, read_throttling, throttling_in
from exporter.access.netns import Netns
from exporter.access.pod_processes import PodNamespace
from exporter.model import CpuThrottling

ROOT = "25 1 0:40 / / rw,relatime - overlay overlay rw\n"
V2 = "31 25 0:28 / /sys/fs/cgroup ro,nosuid,relatime shared:9 - cgroup2 cgroup ro,nsdelegate\n"
TMPFS = "31 25 0:28 / /sys/fs/cgroup ro,nosuid - tmpfs tmpfs rw,mode=755\n"
CPU = "/sys/fs/cgroup/cpu,cpuacct"
V1 = (
    TMPFS
    + "32 31 0:29 /kubepods/pod1/a /sys/fs/cgroup/systemd ro - cgroup cgroup rw,name=systemd\n"
    + f"33 31 0:30 /kubepods/pod1/a {CPU} ro - cgroup cgroup rw,cpu,cpuacct\n"
    + "34 31 0:31 /kubepods/pod1/a /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n"
)
OVER = "40 25 8:1 /volume {} rw,relatime - ext4 /dev/sda1 rw\n"

MOUNTS = {
    "v2": (ROOT + V2, "/sys/fs/cgroup"),
    "v1": (ROOT + V1, CPU),
    "hybrid": (ROOT + V1 + "38 31 0:9 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n", CPU),
    "v1 without the cpu controller": (ROOT + V1.replace("rw,cpu,cpuacct", "rw,cpuset"), ""),
    "none": (ROOT, ""),
    "a volume in its place": (ROOT + OVER.format("/sys/fs/cgroup"), ""),
    "a volume over v2": (ROOT + V2 + OVER.format("/sys/fs/cgroup"), ""),
    "a volume over v1": (ROOT + V1 + OVER.format(CPU), ""),
    "a volume over what is above": (ROOT + V1 + OVER.format("/sys"), ""),
    "a volume's file over v2": (ROOT + V2 + OVER.format("/sys/fs/cgroup/cpu.stat"), ""),
    "a volume's file over v1": (ROOT + V1 + OVER.format(f"{CPU}/cpu.stat"), ""),
    "a volume over other counts": (
        ROOT + V2 + OVER.format("/sys/fs/cgroup/cpu.stat.local"),
        "/sys/fs/cgroup",
    ),
    "a new root": (ROOT + V2 + OVER.format("/"), ""),
    "a volume beside it": (ROOT + V2 + OVER.format("/sys/fs/cgroup2"), "/sys/fs/cgroup"),
    "a cgroup elsewhere": (ROOT + V2.replace("/sys/fs/cgroup", "/mnt"), ""),
    "cut short": (ROOT + V2[:30], ""),
}


@pytest.mark.parametrize(("mountinfo", "point"), MOUNTS.values(), ids=MOUNTS)
def test_only_a_cgroup_that_nothing_covers_is_read(mountinfo: str, point: str) -> None:
    assert cpu_cgroup_in(mountinfo) == point


COUNTS = {
    "v2": "usage_usec 9\nnr_periods 830\nnr_throttled 812\nthrottled_usec 80500000\nnr_bursts 0\n",
    "v1": "nr_periods 830\nnr_throttled 812\nthrottled_time 80500000000\n",
}


@pytest.mark.parametrize("text", COUNTS.values(), ids=COUNTS)
def test_both_versions_count_the_same(text: str) -> None:
    assert throttling_in(text) == CpuThrottling(periods=830, throttled=812, seconds=80.5)


@pytest.mark.parametrize(
    "text", ["", "usage_usec 9\n", "nr_periods 0\nnr_throttled 0\n", "nr_periods many\n", "\n \n"]
)
def test_without_a_limit_there_is_no_throttling(text: str) -> None:
    assert throttling_in(text) is None


@pytest.mark.parametrize("mounts", [ROOT, ROOT + V2 + OVER.format("/x") * 5000, None])
def test_nothing_is_opened_where_the_mounts_do_not_show_a_cgroup(
    tmp_path: Path, mounts: str | None
) -> None:
    stat = tmp_path / "root/sys/fs/cgroup/cpu.stat"
    stat.parent.mkdir(parents=True)
    os.mkfifo(stat)  # opening it would wait for ever
    if mounts is not None:
        (tmp_path / "mountinfo").write_text(mounts)
    assert read_throttling(tmp_path) is None


@pytest.mark.parametrize("text", [*COUNTS.values(), "", "\xff"], ids=[*COUNTS, "empty", "no text"])
@pytest.mark.parametrize(("mounts", "point"), [(ROOT + V2, "/sys/fs/cgroup"), (ROOT + V1, CPU)])
def test_it_is_read_where_the_runtime_mounted_it(
    tmp_path: Path, mounts: str, point: str, text: str
) -> None:
    stat = Path(f"{tmp_path}/root{point}/cpu.stat")
    stat.parent.mkdir(parents=True)
    stat.write_text(text, encoding="latin-1")
    (tmp_path / "mountinfo").write_text(mounts)
    found = read_throttling(tmp_path)
    assert (found.throttled if found else None) == (812 if text in COUNTS.values() else None)


def _a_pipe(path: Path) -> None:
    os.mkfifo(path)


def _a_terabyte(path: Path) -> None:
    path.touch()
    os.truncate(path, 2**40)


def _a_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


@pytest.mark.parametrize("place", [_a_pipe, _a_terabyte, _a_device, Path.mkdir])
def test_what_a_pod_puts_there_meanwhile_neither_blocks_nor_fills_memory(
    tmp_path: Path, place: Callable[[Path], None]
) -> None:
    stat = tmp_path / "root/sys/fs/cgroup/cpu.stat"
    stat.parent.mkdir(parents=True)
    place(stat)
    (tmp_path / "mountinfo").write_text(ROOT + V2)
    assert read_throttling(tmp_path) is None


BUSY = "end = __import__('time').monotonic() + 30\nwhile __import__('time').monotonic() < end: pass"
V1_CPU = Path("/sys/fs/cgroup/cpu")


@pytest.fixture
def throttled() -> Iterator[Path]:
    """A busy process with a hundredth of a CPU, in a cgroup that is mounted as a runtime does."""
    group = V1_CPU / f"istio-port-exporter-{uuid.uuid4()}"
    group.mkdir()
    (group / "cpu.cfs_quota_us").write_text("1000")
    mount = f'mount --bind {group} {V1_CPU} && exec "$0" -c "$1"'
    command = ["unshare", "--mount", "sh", "-c", mount, sys.executable, BUSY]
    process = subprocess.Popen(command)
    try:
        (group / "cgroup.procs").write_text(str(process.pid))
        yield Path(f"/proc/{process.pid}")
    finally:
        (V1_CPU / "cgroup.procs").write_text(str(process.pid))
        process.kill()
        process.wait()
        group.rmdir()


@pytest.mark.real("unshare")
async def test_the_table_of_a_throttled_container_counts_it(throttled: Path) -> None:
    place = PodNamespace(f"{throttled}/ns/net", (throttled,), throttled)
    netns = Netns(lambda: place, "10.0.0.7")
    end = time.monotonic() + 10
    while (found := (await netns.sockets()).throttling) is None or not found.seconds:
        assert time.monotonic() < end, found
    assert 0 < found.throttled <= found.periods
