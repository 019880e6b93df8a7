"""How far its CPU limit has held a container back, by the cpu.stat of its own cgroup.

The file is read through a process of the container, in whose root the runtime has mounted that
cgroup, v1 or v2: no mount of the host's is needed. What else is mounted there is up to the pod, and
opening it might never end, so that the kernel's list of mounts is asked first.
"""

import os
from pathlib import Path

from exporter.model import CpuThrottling
from exporter.parsing import parse_number

_CGROUP = "/sys/fs/cgroup"
_COUNTS = "/cpu.stat"
_MOST_CHARACTERS = 65_536
"""Of a list of mounts: a container has some thirty. A longer one is not read to its end."""

_UNITS = (("throttled_usec", 1e6), ("throttled_time", 1e9))
"""What the throttled time is called, in cgroup v2 and v1, and how many of its units a second has.

Source: Linux, kernel/sched/core.c (cpu_extra_stat_show, cpu_cfs_stat_show).
"""


def read_throttling(process: Path) -> CpuThrottling | None:
    """What is counted for the container of this folder in /proc; None where nothing can be read."""
    try:
        with (process / "mountinfo").open(encoding="utf-8", errors="replace") as file:
            mounts = file.read(_MOST_CHARACTERS)
        point = cpu_cgroup_in(mounts) if len(mounts) < _MOST_CHARACTERS else ""
        text = _read_at_once(f"{process}/root{point}{_COUNTS}") if point else ""
    except (OSError, UnicodeDecodeError):  # it has ended, or is not ours to look into
        return None
    return throttling_in(text)


def _read_at_once(path: str) -> str:
    """The start of a file, should the pod have put another in its place by now: a pipe, too."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        return os.read(descriptor, _MOST_CHARACTERS).decode("ascii")
    finally:
        os.close(descriptor)


def cpu_cgroup_in(mountinfo: str) -> str:
    """Where the container's cgroup is mounted; empty where it is not, or something lies over it.

    Later mounts cover earlier ones. The format: proc_pid_mountinfo(5).
    """
    found = ""
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        fields, kinds = before.split(" "), after.split(" ")
        if len(fields) < 6 or len(kinds) < 3:  # noqa: PLR2004 - the fields that are always there
            continue
        point, kind, options = fields[4], kinds[0], kinds[2].split(",")
        is_v1 = kind == "cgroup" and "cpu" in options and point.startswith(f"{_CGROUP}/")
        if is_v1 or (kind == "cgroup2" and point == _CGROUP):
            found = point
        elif f"{found}{_COUNTS}/".startswith(f"{point.rstrip('/')}/"):
            found = ""
    return found


def throttling_in(cpu_stat: str) -> CpuThrottling | None:
    """The counts of a cpu.stat; None without a limit, for which no period is counted."""
    rows = (line.partition(" ") for line in cpu_stat.splitlines())
    counts = {name: parse_number(value) or 0 for name, _, value in rows}
    if not counts.get("nr_periods"):
        return None
    seconds = next((counts[name] / size for name, size in _UNITS if name in counts), 0.0)
    return CpuThrottling(
        periods=counts["nr_periods"], throttled=counts.get("nr_throttled", 0), seconds=seconds
    )
