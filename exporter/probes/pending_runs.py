"""Probes that are under way together, and the one timer for their deadlines."""

import asyncio
import math
import time
from collections.abc import Iterable
from functools import partial
from typing import Protocol

from exporter.probes.attempt import Attempt
from exporter.turn import current_turn


class Run(Protocol):
    """A probe under way; `attempt.until` is its deadline."""

    attempt: Attempt

    def time_out(self) -> None:
        """Its time is up."""

    def cancel(self) -> None:
        """Nobody waits for it any more."""


class PendingRuns:
    """What has not ended yet. `_wakes_at` is when the timer fires, by the monotonic clock."""

    __slots__ = ("_pending", "_timer", "_wakes_at", "loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._pending: set[Run] = set()
        self._timer: asyncio.Handle | None = None
        self._wakes_at = -math.inf

    def add(self, runs: Iterable[Run]) -> None:
        """These begin."""
        self._pending.update(runs)

    def remove(self, run: Run) -> None:
        """A probe has ended."""
        self._pending.discard(run)
        if not self._pending:
            self.all_ended()

    def all_ended(self) -> None:
        """The last one has ended."""
        self.stop_timer()

    def wake_by(self, deadline: float) -> None:
        """A deadline was set that may come before the one that the timer waits for."""
        if deadline < self._wakes_at:
            self.set_timer()

    def set_timer(self) -> None:
        """Wake at the next deadline."""
        self.stop_timer()
        self._wakes_at = min([run.attempt.until for run in self._pending])
        seconds = self._wakes_at - time.monotonic()
        if seconds < math.inf:
            self._timer = self.loop.call_later(max(0.0, seconds), self._let_loop_run, 2)

    def stop_timer(self) -> None:
        """Wake no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def cancel(self) -> None:
        """Nobody waits for any of them any more."""
        self.stop_timer()
        while self._pending:
            self._pending.pop().cancel()

    def _let_loop_run(self, steps: int) -> None:
        """Let the event loop receive what has arrived first: our own stall is no timeout."""
        self._wakes_at = -math.inf
        step = self._wait_for_turn if steps == 1 else self._let_loop_run
        self._timer = self.loop.call_soon(step, steps - 1)

    def _wait_for_turn(self, _steps: int = 0) -> None:
        current_turn().call(partial(self._time_out, self._timer))

    def _time_out(self, timer: asyncio.Handle | None) -> None:
        """End what is due: some of it, and the rest in the next turn of the event loop."""
        if timer is not self._timer:
            return
        turn, now = current_turn(), time.monotonic()
        for run in tuple(self._pending):
            if run not in self._pending or run.attempt.until > now:
                continue
            run.time_out()
            if turn.is_over():
                self._timer = self.loop.call_soon(self._wait_for_turn)
                return
        self._timer = None
        if self._pending:
            self.set_timer()
