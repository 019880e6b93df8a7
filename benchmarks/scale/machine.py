"""What the machine did meanwhile: limits of its kernel that were hit, and who else was busy."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from benchmarks.scale.mesh import Mesh

_SESSION = Path("/proc/self/autogroup")
_PRIORITY = -15
_TICKS = os.sysconf("SC_CLK_TCK")

_STARVED, _CROWDED = 0.1, 0.8
"""Shares of the time, and cores of two single-threaded proxies, above which it is said."""


def _read_busy() -> tuple[float, float]:
    """Seconds of all cores: busy, and in all."""
    row = Path("/proc/stat").read_text().splitlines()[0].split()[1:9]
    ticks = [int(value) for value in row]
    return (sum(ticks) - ticks[3] - ticks[4]) / _TICKS, sum(ticks) / _TICKS


@contextlib.contextmanager
def ahead_of_others() -> Iterator[None]:
    """Go before what else the machine does, which would be measured otherwise.

    Where the kernel shares the cores among sessions (sched(7), autogroup), a process's own
    priority says nothing to other sessions.
    """
    before = os.getpriority(os.PRIO_PROCESS, 0)
    session = _session_priority()
    _prefer(_PRIORITY, None if session is None else _PRIORITY)
    try:
        yield
    finally:
        _prefer(before, session)


def _prefer(process: int, session: int | None) -> None:
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, process)
        if session is not None:
            _SESSION.write_text(str(session))


def _session_priority() -> int | None:
    """None where the kernel knows none; the file reads `/autogroup-7 nice 0`."""
    try:
        return int(_SESSION.read_text().split()[-1])
    except (OSError, ValueError, IndexError):
        return None


class Machine:
    """Counted from when it is made."""

    def __init__(self, mesh: Mesh) -> None:
        self._mesh = mesh
        self._before = mesh.counters()
        self._busy, self._all = _read_busy()
        self._tracked = (0, 0)

    def note_tracked(self) -> None:
        """Look how full the connection tracking is."""
        self._tracked = self._mesh.tracked()

    def counted(self) -> dict[str, float]:
        """The counters by name, and how busy the whole machine was, as cores."""
        grown = {name: now - self._before[name] for name, now in self._mesh.counters().items()}
        busy, total = _read_busy()
        cores = os.cpu_count() or 1
        return {
            **grown,
            "conntrack_count": self._tracked[0],
            "conntrack_max": self._tracked[1],
            "busy_cores": (busy - self._busy) / (total - self._all) * cores,
        }


def notes(counted: dict[str, float], mesh_core: float, starved: float) -> list[str]:
    """A sentence for each limit that was hit and that is not the exporter's."""
    said = {
        "ListenOverflows": "connections found a proxy's accept queue full (net.core.somaxconn)",
        "TCPReqQFullDrop": "SYNs found the SYN queue full (net.ipv4.tcp_max_syn_backlog)",
        "conntrack_insert_failed": "connections clashed in conntrack",
        "conntrack_drop": "packets were dropped, conntrack full (nf_conntrack_max)",
        "conntrack_early_drop": "connections were forgotten early (nf_conntrack_max)",
    }
    found = [f"{counted[name]:.0f} {text}" for name, text in said.items() if counted[name]]
    if mesh_core > _CROWDED:
        found.append(f"the proxies themselves used {mesh_core:.2f} cores: they may be slow")
    if starved > _STARVED:
        found.append(
            f"others had the exporter's core for {starved:.0%} of the time: what is measured on a "
            "clock (lateness, answers, polls lost) says more of them than of it"
        )
    return found
