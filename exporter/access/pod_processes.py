"""Which process of this node is which pod's, by the cgroups under the host's /proc.

In: a pod's uid and its proxy container's id. Out: a `PodNamespace`, a process's network namespace
and the processes that may own its sockets. Processes come and go while this reads: what has
vanished is left out, and a process id is never trusted without asking again whose it is.
"""

import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from exporter.access.dialer import NoAccess

_UID = r"[0-9a-f]{8}(?:[-_][0-9a-f]{4}){3}[-_][0-9a-f]{12}|[0-9a-f]{32}"
"""A pod's uid, or of a static pod the hash of its manifest (kubelet's pkg/kubelet/config)."""
_POD = re.compile(rf"pod({_UID})(?:\.slice)?[/:](\S+)")
_CONTAINER = re.compile(r"(?:^|[/:])(?:([a-z][a-z-]*)[-:])?([0-9a-f]{64})(?=$|[./:])")
_CRIO_MONITOR = "conmon"
"""It sits in the pod's cgroup but in the host's network."""


@dataclass(frozen=True, slots=True)
class PodNamespace:
    """A network namespace: its file, and the processes in it; None where they are not known.

    `own`: one in the container that was requested.
    """

    path: str
    processes: tuple[Path, ...] | None = None
    own: Path | None = None


LocateNamespace = Callable[[], PodNamespace]
"""Finds a namespace at the moment of a poll; raises NoAccess where there is none."""


@dataclass(frozen=True, slots=True)
class Member:
    """A process of a pod: the pod's uid, the id of the container that it runs in."""

    uid: str
    container: str


def member_of(cgroup: str) -> Member | None:
    """Whose process this is, by the text of its /proc/<pid>/cgroup; None for nobody's.

    The last parts are alike in every layout: cgroup v1 and v2, the cgroupfs and systemd drivers,
    with kubelet's own prefix or seen from another cgroup namespace. Sources: kubelet's
    pkg/kubelet/cm/cgroup_manager_linux.go; containerd's, CRI-O's and cri-dockerd's scopes.
    """
    for line in cgroup.splitlines():
        if pod := _POD.search(line):
            container = _CONTAINER.search(pod[2])
            if container and _CRIO_MONITOR not in (container[1] or ""):
                return Member(pod[1].replace("_", "-"), container[2])
    return None


class PodProcesses:
    """The processes of this node's pods. Its methods may be called from any thread.

    All of /proc is read again where what was read is older than `fresh_seconds`, for an agent
    starts Envoy and applications fork; and for a container that is not found, at most once in
    `rescan_seconds`.
    """

    def __init__(
        self, proc: Path, rescan_seconds: float = 2.0, fresh_seconds: float = 10.0
    ) -> None:
        self._proc = proc
        self._rescan_seconds = rescan_seconds
        self._fresh_seconds = fresh_seconds
        self._lock = threading.Lock()
        self._members: dict[str, dict[int, str]] = {}
        self._static: dict[str, str] = {}
        """The uid of each static pod's containers; the API's uid of the pod is its mirror's."""
        self._scanned = float("-inf")

    def locate(self, uid: str, container: str) -> PodNamespace:
        """The network namespace of a pod, by a process of this container or of any other.

        A static pod is found by the container alone.

        Raises:
            NoAccess: no process of the pod is here.
        """
        with self._lock:
            found = self._living(self._static.get(container, uid))
            limit = self._fresh_seconds if container in found.values() else self._rescan_seconds
            if time.monotonic() - self._scanned >= limit:
                self._scan()
                found = self._living(self._static.get(container, uid))
        if not found:
            message = (
                f"No process of the pod is under {self._proc}: it ended, or is on another node."
            )
            raise NoAccess(message)
        pid = min(found, key=lambda pid: (found[pid] != container, pid))
        processes = tuple(self._proc / str(pid) for pid in found)
        own = self._proc / str(pid) if found[pid] == container else None
        return PodNamespace(f"{self._proc}/{pid}/ns/net", processes, own)

    def _living(self, uid: str) -> dict[int, str]:
        """The pod's processes that are still its own."""
        known = self._members.get(uid, {})
        members = {pid: self._read(pid) for pid in known}
        living = {pid: known[pid] for pid, one in members.items() if one and one.uid == uid}
        self._members[uid] = living
        return living

    def _scan(self) -> None:
        self._members, self._static = {}, {}
        for pid in self._pids():
            if member := self._read(pid):
                self._members.setdefault(member.uid, {})[pid] = member.container
                if "-" not in member.uid:
                    self._static[member.container] = member.uid
        self._scanned = time.monotonic()

    def _pids(self) -> Iterator[int]:
        try:
            for entry in self._proc.iterdir():
                if entry.name.isdigit():
                    yield int(entry.name)
        except OSError as error:
            reason = error.strerror or str(error)
            message = f"The host's processes under {self._proc} cannot be read: {reason}."
            raise NoAccess(message) from None

    def _read(self, pid: int) -> Member | None:
        try:
            return member_of((self._proc / str(pid) / "cgroup").read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError):  # it has ended: ENOENT, or ESRCH while it is read
            return None


@cache
def processes_under(proc: str) -> PodProcesses:
    """The one reader of this /proc, so that all targets share what it found."""
    return PodProcesses(Path(proc))
