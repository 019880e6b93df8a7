"""Runs probes concurrently on one timer, without a task per probe.

A task and a timeout of asyncio's own cost a probe more than its system calls. Here a probe is only
its coroutine, stepped from one future to the next, and a bare connect or a single GET over the
network not even that. The rules for probers are enforced:

- What a prober awaits is a `Waiter` or a future of this event loop; else it gets a RuntimeError.
- No task is current in any of its steps, so that nothing in it can cancel the poll: whatever needs
  `asyncio.current_task`, as `asyncio.timeout` and aiohttp do, raises, and gets a task of its own
  from whoever starts it.
- It ends at its deadline: one that then allows itself no more time is closed.
- Whatever it raises, its attempt ends with an outcome; only KeyboardInterrupt and SystemExit go on.
"""

import asyncio
import math
import time
from collections.abc import Sequence
from typing import Any, Protocol

from exporter.model import Observation
from exporter.probes.attempt import Attempt, Prober, ProbeResult, failed, failure
from exporter.probes.direct_runs import direct_run, is_direct
from exporter.probes.pending_runs import PendingRuns, Run
from exporter.transport.protocols import ENDS_PROCESS
from exporter.transport.waiter import Waiter
from exporter.turn import current_turn

_STARTS_IN_A_ROW = 64
"""So many probes start before others have their turn: some 2 ms of connects."""

_AWAITS = "a prober awaits futures of its own event loop, or a Waiter"


class _Run(Run, Protocol):
    """A probe that has not begun."""

    def step(self) -> None:
        """Start it."""

    def observation(self) -> Observation:
        """How it ended."""


async def probe_all(probes: Sequence[tuple[Prober, Attempt]]) -> list[Observation]:
    """Make one attempt each; returns how they ended, in their order. Only cancellation raises.

    An HTTP probe's seconds count from its first request, so that a lost SYN is not taken for a
    slow answer; all others count from the start.
    """
    if not probes:
        return []
    await current_turn().wait()
    runner, started = _Runner(), time.monotonic()
    runs = [_run_of(prober, attempt, runner, started) for prober, attempt in probes]
    await runner.run(runs)
    return [run.observation() for run in runs]


def _run_of(prober: Prober, attempt: Attempt, runner: "_Runner", started: float) -> _Run:
    if is_direct(prober, attempt):
        return direct_run(prober, attempt, runner.remove, started)
    return _ProbeRun(prober, attempt, runner, started)


class _Runner(PendingRuns):
    """The probes of one poll that are under way."""

    __slots__ = ("_ended", "no_task")

    def __init__(self) -> None:
        super().__init__(asyncio.get_running_loop())
        self.no_task = _NoTask(self.loop)
        self._ended: asyncio.Future[None] = self.loop.create_future()

    async def run(self, runs: Sequence[_Run]) -> None:
        """Start every probe and wait until the last one has ended."""
        self.add(runs)
        try:
            for at in range(0, len(runs), _STARTS_IN_A_ROW):
                if at:
                    await asyncio.sleep(0)
                with self.no_task:
                    for run in runs[at : at + _STARTS_IN_A_ROW]:
                        run.step()
            if self._pending:
                self.set_timer()
                await self._ended
        finally:
            self.stop_timer()
            if self._pending:
                with self.no_task:
                    self.cancel()

    def all_ended(self) -> None:
        """Go on where `run` waits."""
        if not self._ended.done():
            self._ended.set_result(None)


class _ProbeRun:
    """One probe under way: its coroutine, and the future that it awaits."""

    __slots__ = (
        *("_awaited", "_coroutine", "_ended", "_prober", "_result", "_runner", "_started"),
        *("_timed_out", "attempt"),
    )

    _result: ProbeResult

    def __init__(self, prober: Prober, attempt: Attempt, runner: _Runner, started: float) -> None:
        self.attempt = attempt
        self._runner = runner
        self._prober = prober
        self._awaited: asyncio.Future[Any] | None = None
        self._started = self._ended = started
        self._timed_out = -math.inf
        self._coroutine: Any = None
        attempt.until = started + attempt.timeout

    def step(self, thrown: TimeoutError | None = None) -> None:
        """Run the prober until it awaits something, or to its end."""
        try:
            if self._coroutine is None:
                self._coroutine = self._prober(self.attempt)
            coroutine = self._coroutine
            awaited = coroutine.send(None) if thrown is None else coroutine.throw(thrown)
            if not (isinstance(awaited, Waiter) or _may_await(awaited)):
                coroutine.throw(RuntimeError(_AWAITS))
                self._close()
                raise RuntimeError(_AWAITS)  # noqa: TRY301 - it caught the first
        except StopIteration as end:
            attempt = self.attempt
            self._end(end.value, attempt.answered() if attempt.asked else time.monotonic())
        except BaseException as error:
            self._end(failed(error, self.attempt), time.monotonic())
            if isinstance(error, ENDS_PROCESS):
                raise
        else:
            if awaited is None:  # a bare yield: asyncio.sleep(0)
                awaited = asyncio.get_running_loop().create_future()
                awaited.set_result(None)
            self._awaited = awaited
            awaited.add_done_callback(self._resume)
            self._runner.wake_by(self.attempt.until)

    def time_out(self) -> None:
        """Raise TimeoutError where the prober waits, and close it if it waits on.

        One that catches this and allows itself more time goes on.
        """
        self._forget_awaited()
        if self.attempt.until == self._timed_out:
            self._close()
            self._end(failure(TimeoutError(), self.attempt), time.monotonic())
            return
        self._timed_out = self.attempt.until
        self.step(TimeoutError())

    def cancel(self) -> None:
        """Nobody waits for it any more."""
        self._forget_awaited()
        self._close()
        self.attempt.close()

    def observation(self) -> Observation:
        """How it ended."""
        attempt = self.attempt
        return attempt.observation(self._result, attempt.took(self._started, self._ended))

    def _resume(self, awaited: object) -> None:
        """Go on with what was awaited; what was cancelled meanwhile can come too late."""
        if awaited is not self._awaited:
            return
        if asyncio.current_task(self._runner.loop) is None:
            self.step()
        else:  # a Waiter that a task has set, as a port-forward's does
            with self._runner.no_task:
                self.step()

    def _forget_awaited(self) -> None:
        """Cancel what is awaited, which may be a task."""
        if self._awaited is not None:
            self._awaited.remove_done_callback(self._resume)
            self._awaited.cancel()
            self._awaited = None

    def _close(self) -> None:
        """End the coroutine where it waits; whatever its own clean-up raises is a bug."""
        if self._coroutine is None:
            return
        try:
            self._coroutine.close()
        except BaseException as error:
            failed(error, self.attempt)
            if isinstance(error, ENDS_PROCESS):
                raise

    def _end(self, result: ProbeResult, at: float) -> None:
        self._result = result
        self._ended = self.attempt.settled or at
        self.attempt.close()
        self._runner.remove(self)


class _NoTask:
    """While entered, whatever searches the event loop's current task finds none."""

    __slots__ = ("_loop", "_task")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._task: asyncio.Task[Any] | None = None

    def __enter__(self) -> None:
        task = self._task = asyncio.current_task(self._loop)
        if task is not None:
            asyncio.tasks._leave_task(self._loop, task)  # noqa: SLF001 - documented in "Extending"

    def __exit__(self, *_raised: object) -> None:
        if self._task is not None:
            asyncio.tasks._enter_task(self._loop, self._task)  # noqa: SLF001 - as above
            self._task = None


def _may_await(awaited: object) -> bool:
    """Whether a prober may await this: a future of this event loop, or a bare yield."""
    if awaited is None:
        return True
    return asyncio.isfuture(awaited) and awaited.get_loop() is asyncio.get_running_loop()
