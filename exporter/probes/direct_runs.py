"""Probes over the network that need no coroutine: bare connects, and a GET each.

The runner starts them beside others. Of a poll that is nothing but these they need no task and no
timer of its own either, which were as much as all system calls of a poll in ambient.
"""

import asyncio
from collections.abc import Callable, Sequence

from exporter.access.direct import Direct
from exporter.probes.attempt import Attempt, Prober
from exporter.probes.connect import probe_connect
from exporter.probes.connect_run import ConnectRun
from exporter.probes.pending_runs import PendingRuns
from exporter.probes.single_get import GetRun, SingleGet
from exporter.transport import backend

DirectRun = ConnectRun | GetRun


def is_direct(prober: Prober, attempt: Attempt) -> bool:
    """Whether an attempt needs no coroutine."""
    if not backend.bare_connects or not isinstance(attempt.dialer, Direct):
        return False
    return prober is probe_connect or (isinstance(prober, SingleGet) and prober.is_all(attempt))


def direct_run(
    prober: Prober, attempt: Attempt, ended: Callable[[DirectRun], None], started: float
) -> DirectRun:
    """An attempt that needs none; `ended` is called with it once, unless it is cancelled."""
    if isinstance(prober, SingleGet):
        return GetRun(prober, attempt, ended, started)
    return ConnectRun(attempt, ended, started)


class DirectRuns(PendingRuns):
    """Those of many polls: no task, and one timer for all that are under way."""

    __slots__ = ("_nobody_left",)

    def __init__(self) -> None:
        super().__init__(asyncio.get_running_loop())
        self._nobody_left = asyncio.Event()

    def begin(
        self,
        attempts: Sequence[tuple[Prober, Attempt]],
        started: float,
        ended: Callable[[list[DirectRun]], None],
    ) -> None:
        """Start those of one poll; `ended` is called with all of them, in their order."""
        poll = _Poll(self, ended)
        poll.runs = runs = [direct_run(*one, poll.ended, started) for one in attempts]
        poll.left = len(runs)
        self._pending.update(runs)
        for run in runs:
            run.step()
        if self._timer is None and self._pending:
            self.set_timer()

    def all_ended(self) -> None:
        """The timer goes on, which costs less than a new one: the next deadline is later."""
        self._nobody_left.set()

    async def wait(self) -> None:
        """Until none is under way."""
        while self._pending:
            self._nobody_left.clear()
            await self._nobody_left.wait()
        self.stop_timer()


class _Poll:
    """The probes of one poll."""

    __slots__ = ("_all", "_ended", "left", "runs")

    def __init__(self, every: DirectRuns, ended: Callable[[list[DirectRun]], None]) -> None:
        self._all = every
        self._ended = ended
        self.left = 0
        self.runs: list[DirectRun] = []

    def ended(self, run: DirectRun) -> None:
        """One has ended; with the last one the poll has."""
        self._all.remove(run)
        self.left -= 1
        if not self.left:
            runs, self.runs = self.runs, []  # they know this: garbage in a circle
            self._ended(runs)
