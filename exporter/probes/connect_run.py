"""Bare connects over the network under way: what `probe_connect` does, for less.

A poll of a workload in ambient is two of these; coroutines and protocols were an eighth of it, and
its task, its timer and the coroutines of a poll as much as all system calls.
"""

import asyncio
import time
from collections.abc import Callable, Sequence

from exporter.access.direct import Direct
from exporter.bounds import SENTENCE, cut_text
from exporter.model import Observation, Outcome
from exporter.probes.attempt import Attempt, ProbeResult, failure
from exporter.probes.pending_runs import PendingRuns
from exporter.transport.protocols import BareConnect

ACCEPTS = ProbeResult(Outcome.OK)


class ConnectRun:
    """One half-open connect; `ended` is called with it once, unless it is cancelled."""

    __slots__ = (
        "_connect",
        "_dialer",
        "_ended",
        "_started",
        "attempt",
        "probe",
        "result",
        "seconds",
    )

    def __init__(
        self,
        dialer: Direct,
        attempt: Attempt,
        ended: Callable[["ConnectRun"], None],
        started: float,
    ) -> None:
        self.attempt = attempt
        self.probe = attempt.probe
        self._dialer = dialer
        self._ended = ended
        self._started = started
        self.seconds = 0.0
        self.result: ProbeResult | None = None
        self._connect: BareConnect | None = None
        attempt.connected = False
        attempt.until = started + attempt.timeout

    def step(self) -> None:
        """Start it."""
        try:
            self._connect = self._dialer.bare_connect(self.probe.port, self._connected)
        except OSError as error:
            self._end(failure(error, self.attempt))

    def time_out(self) -> None:
        """It has not ended by its deadline."""
        self._abort()
        self._end(failure(TimeoutError(), self.attempt))

    def cancel(self) -> None:
        """Nobody waits for it any more."""
        self._abort()

    def observation(self) -> Observation:
        """How it ended."""
        result: ProbeResult = self.result  # type: ignore[assignment] # it has
        detail = result.detail and cut_text(result.detail, SENTENCE)
        connected = self.attempt.connected
        return Observation(self.probe, result.outcome, self.seconds, detail, None, connected)

    def _abort(self) -> None:
        if self._connect is not None:
            self._connect.abort()
            self._connect = None

    def _connected(self, error: OSError | None) -> None:
        self._connect = None  # which knows this: garbage in a circle
        self.attempt.connected = error is None
        self._end(ACCEPTS if error is None else failure(error, self.attempt))

    def _end(self, result: ProbeResult) -> None:
        self.result = result
        self.seconds = time.monotonic() - self._started
        self._ended(self)


class Connects(PendingRuns):
    """Half-open connects of many polls: no task, and one timer for all that are under way."""

    __slots__ = ("_nobody_left",)

    def __init__(self) -> None:
        super().__init__(asyncio.get_running_loop())
        self._nobody_left = asyncio.Event()

    def begin(
        self,
        attempts: Sequence[tuple[Direct, Attempt]],
        started: float,
        ended: Callable[[list[ConnectRun]], None],
    ) -> None:
        """Start those of one poll; `ended` is called with all of them, in their order."""
        poll = _Poll(self, attempts[0][1], ended)
        runs = [ConnectRun(dialer, one, poll.ended, started) for dialer, one in attempts]
        poll.runs, poll.left = runs, len(runs)
        self._pending.add(poll)
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
    """The connects of one poll, whose deadline is that of any `attempt` of them."""

    __slots__ = ("_all", "_ended", "attempt", "left", "runs")

    def __init__(
        self, connects: Connects, attempt: Attempt, ended: Callable[[list[ConnectRun]], None]
    ) -> None:
        self._all = connects
        self._ended = ended
        self.attempt = attempt
        self.left = 0
        self.runs: list[ConnectRun] = []

    def ended(self, _run: ConnectRun) -> None:
        """One has ended; with the last one the poll has."""
        self.left -= 1
        if not self.left:
            self._all.remove(self)
            runs, self.runs = self.runs, []  # they know this: garbage in a circle
            self._ended(runs)

    def time_out(self) -> None:
        """Those that are left have not ended by their deadline."""
        for run in self.runs:
            if run.result is None:
                run.time_out()

    def cancel(self) -> None:
        """Nobody waits for them any more."""
        runs, self.runs = self.runs, []
        for run in runs:
            run.cancel()
