"""Probes side by side: each is driven from one awaited future to the next, without a task.

A task and a timeout of asyncio's own cost a probe more than its system calls. Here a wave has one
timer, and a probe is only its coroutine. What a prober awaits must be a future of this event loop
or a signal. No task is current where a prober runs, so that nothing in it can cancel the poll:
whatever needs `asyncio.current_task`, as `asyncio.timeout` and aiohttp do, raises, and gets a task
of its own from whoever starts it. Whatever a prober raises, its attempt ends with an outcome; only
KeyboardInterrupt and SystemExit go on from there.
"""

import asyncio
import logging
import math
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from exporter.model import Observation, Outcome
from exporter.probes.attempt import EXPECTED, Attempt, ProbeResult, failure
from exporter.transport import connection, epoll
from exporter.transport.waiter import Waiter

log = logging.getLogger(__name__)

_STRANGE = "a prober waits for a future of its own event loop, or for a Signal"

Prober = Callable[[Attempt], Coroutine[Any, Any, ProbeResult]]


async def probe_all(asked: Sequence[tuple[Prober, Attempt]]) -> list[Observation]:
    """Make one attempt each and say how they ended, in their order. Only cancellation raises.

    An HTTP probe's seconds count from its first request, so that a lost SYN is not taken for a
    slow answer; all others count from the start.
    """
    if not asked:
        return []
    wave = _Runner()
    started = time.monotonic()
    attempts = [_Attempt(prober, visit, wave, started) for prober, visit in asked]
    await wave.run(attempts)
    return [attempt.observed() for attempt in attempts]


class _Runner:
    """Attempts under way and the one timer that watches their deadlines.

    `_alarm` is when it goes off, in seconds of the monotonic clock.
    """

    __slots__ = ("_alarm", "_ended", "_pending", "_timer")

    def __init__(self) -> None:
        self._pending: set[_Attempt] = set()
        self._timer: asyncio.Handle | None = None
        self._alarm = -math.inf
        self._ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def run(self, attempts: Sequence["_Attempt"]) -> None:
        """Start every attempt and wait for the last one's end."""
        self._pending.update(attempts)
        try:
            with _no_task():
                for attempt in attempts:
                    attempt.begin()
            if self._pending:
                self._watch()
                await self._ended
        finally:
            if self._timer is not None:
                self._timer.cancel()
            with _no_task():
                while self._pending:
                    self._pending.pop().drop()

    def end(self, attempt: "_Attempt") -> None:
        """An attempt ended."""
        self._pending.discard(attempt)
        if not self._pending and not self._ended.done():
            self._ended.set_result(None)

    def hurry(self, until: float) -> None:
        """A deadline was set that may come before the one that the timer waits for."""
        if until < self._alarm:
            self._watch()

    def _watch(self) -> None:
        """Wake up at the next deadline."""
        if self._timer is not None:
            self._timer.cancel()
        self._alarm = min([attempt.visit.until for attempt in self._pending])
        loop, wait = asyncio.get_running_loop(), self._alarm - time.monotonic()
        self._timer = None
        if wait < math.inf:
            self._timer = loop.call_later(max(0.0, wait), self._call_late)

    def _call_late(self) -> None:
        """Hand out what has already come: that we are late is not the target's doing."""
        self._alarm = -math.inf
        if epoll.AVAILABLE:
            connection.dispatch_pending()
        self._timer = asyncio.get_running_loop().call_soon(self._expire)

    def _expire(self) -> None:
        now = time.monotonic()
        for attempt in tuple(self._pending):
            if attempt in self._pending and attempt.visit.until <= now:
                attempt.expire()
        if self._pending:
            self._watch()


class _Attempt:
    """One probe: its coroutine, and the future that it awaits."""

    __slots__ = (
        "_answer",
        "_coroutine",
        "_ended",
        "_expired",
        "_prober",
        "_started",
        "_waiting",
        "_wave",
        "visit",
    )

    _answer: ProbeResult

    def __init__(self, prober: Prober, visit: Attempt, wave: _Runner, started: float) -> None:
        self.visit = visit
        self._wave = wave
        self._prober = prober
        self._waiting: asyncio.Future[Any] | None = None
        self._started = self._ended = started
        self._expired = -math.inf
        self._coroutine: Any = None
        visit.until = started + visit.timeout

    def begin(self) -> None:
        """Take the first step."""
        self._advance(self._first_step, None)

    def resume(self, awaited: object) -> None:
        """Go on until the next future, or the end; what was let go of can come too late."""
        if awaited is self._waiting:
            self._advance(self._coroutine.send, None)

    def expire(self) -> None:
        """Its time is up: the prober is told where it waits, and closed if it waits on.

        One that catches this and allows itself more time goes on.
        """
        self._forget()
        if self.visit.until == self._expired:
            self._close()
            self._end(failure(TimeoutError(), self.visit), time.monotonic())
            return
        self._expired = self.visit.until
        self._advance(self._coroutine.throw, TimeoutError())

    def drop(self) -> None:
        """Nobody waits for it any more."""
        self._forget()
        self._close()
        self.visit.close()

    def observed(self) -> Observation:
        """How it ended."""
        visit, answer = self.visit, self._answer
        return Observation(
            visit.probe,
            answer.outcome,
            self._ended - (visit.asked or self._started),
            answer.detail,
            visit.facts if answer.facts is None else answer.facts,
            None if answer.outcome is Outcome.NO_ACCESS else visit.connected,
        )

    def _forget(self) -> None:
        """Let go of what is awaited; a task among it is cancelled."""
        if self._waiting is not None:
            self._waiting.remove_done_callback(self.resume)
            self._waiting.cancel()
            self._waiting = None

    def _first_step(self, _value: None) -> Any:  # noqa: ANN401 - as `send`
        self._coroutine = self._prober(self.visit)
        return self._coroutine.send(None)

    def _advance(self, go_on: Callable[[Any], Any], value: object) -> None:
        try:
            waiting = go_on(value)
            if not (type(waiting) is Waiter or _is_ours(waiting)):
                waiting = self._correct()
        except StopIteration as end:
            self._end(end.value, self.visit.answered() if self.visit.asked else time.monotonic())
        except BaseException as error:
            self._end(_failed(error, self.visit), time.monotonic())
            if isinstance(error, KeyboardInterrupt | SystemExit):
                raise
        else:
            if waiting is None:  # a bare yield: asyncio.sleep(0)
                waiting = asyncio.get_running_loop().create_future()
                waiting.set_result(None)
            self._waiting = waiting
            waiting.add_done_callback(self.resume)
            self._wave.hurry(self.visit.until)

    def _correct(self) -> Any:  # noqa: ANN401 - as `throw`
        """Tell the prober once that it waits for something that nobody here can wait for."""
        waiting = self._coroutine.throw(RuntimeError(_STRANGE))
        if type(waiting) is Waiter or _is_ours(waiting):
            return waiting
        self._close()
        raise RuntimeError(_STRANGE)

    def _close(self) -> None:
        """End the coroutine where it waits; whatever its own clean-up raises is a bug of ours."""
        if self._coroutine is None:
            return
        try:
            self._coroutine.close()
        except BaseException as error:
            _failed(error, self.visit)
            if isinstance(error, KeyboardInterrupt | SystemExit):
                raise

    def _end(self, answer: ProbeResult, at: float) -> None:
        self._answer = answer
        self._ended = self.visit.settled or at
        self.visit.close()
        self._wave.end(self)


@contextmanager
def _no_task() -> Iterator[None]:
    """Hide the poll's task: what asks for the current one is not to get hold of it."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    if task is None:
        yield
        return
    asyncio.tasks._leave_task(loop, task)  # noqa: SLF001 - documented in asyncio's "Extending"
    try:
        yield
    finally:
        asyncio.tasks._enter_task(loop, task)  # noqa: SLF001 - as above


def _is_ours(waiting: object) -> bool:
    """Whether a prober may wait for this: a future of this event loop, or a bare yield."""
    if waiting is None:
        return True
    return asyncio.isfuture(waiting) and waiting.get_loop() is asyncio.get_running_loop()


def _failed(error: BaseException, visit: Attempt) -> ProbeResult:
    """The outcome of a failure; one that no target can cause is a bug of ours.

    A bug is logged once for a target's port and its kind: it may come back with every poll.
    """
    bug = visit.probe.port, type(error)
    if not isinstance(error, EXPECTED) and bug not in visit.options.bugs:
        visit.options.bugs.add(bug)
        log.error(
            "probe failed target=%s port=%d", visit.target.key, visit.probe.port, exc_info=error
        )
    error.__traceback__ = None  # its frames know the future that keeps it: garbage in a circle
    return failure(error, visit)
