"""Probes side by side: each is driven from one awaited future to the next, without a task.

A task and a timeout of asyncio's own cost a probe more than its system calls. Here a wave has one
timer, and a probe is only its coroutine. What a prober awaits must be a future or a signal:
whatever needs `asyncio.current_task`, as `asyncio.timeout` and aiohttp do, gets a task of its own
from whoever starts it. This module has the only broad `except`: no target can raise beyond it.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from exporter.model import Observation, Outcome
from exporter.probes.attempt import EXPECTED, Attempt, ProbeResult, failure
from exporter.transport import connection, epoll

log = logging.getLogger(__name__)

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
    """Attempts under way and the one timer that watches their deadlines."""

    __slots__ = ("_ended", "_pending", "_timer")

    def __init__(self) -> None:
        self._pending: set[_Attempt] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def run(self, attempts: Sequence["_Attempt"]) -> None:
        """Start every attempt and wait for the last one's end."""
        self._pending.update(attempts)
        try:
            for attempt in attempts:
                attempt.resume()
            if self._pending:
                self._watch()
                await self._ended
        finally:
            if self._timer is not None:
                self._timer.cancel()
            for attempt in tuple(self._pending):
                attempt.drop()

    def end(self, attempt: "_Attempt") -> None:
        """An attempt ended."""
        self._pending.discard(attempt)
        if not self._pending and not self._ended.done():
            self._ended.set_result(None)

    def _watch(self) -> None:
        """Wake up at the next deadline."""
        first = min([attempt.visit.until for attempt in self._pending])
        wait = max(0.0, first - time.monotonic())
        self._timer = asyncio.get_running_loop().call_later(wait, self._call_late)

    def _call_late(self) -> None:
        """Hand out what has already come: that we are late is not the target's doing."""
        if epoll.AVAILABLE:
            connection.dispatch_pending()
        asyncio.get_running_loop().call_soon(self._expire)

    def _expire(self) -> None:
        now = time.monotonic()
        for attempt in tuple(self._pending):
            if attempt.visit.until <= now:
                attempt.expire()
        if self._pending:
            self._watch()


class _Attempt:
    """One probe: its coroutine, and the future that it awaits."""

    __slots__ = ("_answer", "_coroutine", "_ended", "_started", "_waiting", "_wave", "visit")

    _answer: ProbeResult

    def __init__(self, prober: Prober, visit: Attempt, wave: _Runner, started: float) -> None:
        self.visit = visit
        self._wave = wave
        self._coroutine = prober(visit)
        self._waiting: asyncio.Future[Any] | None = None
        self._started = self._ended = started
        visit.until = started + visit.timeout

    def resume(self, awaited: object = None) -> None:
        """Go on until the next future, or the end; what was let go of can come too late."""
        if awaited is self._waiting:
            self._advance(self._coroutine.send, None)

    def expire(self) -> None:
        """Its time is up: the prober is told where it waits."""
        self._forget()
        self._advance(self._coroutine.throw, TimeoutError())

    def drop(self) -> None:
        """Nobody waits for it any more."""
        self._forget()
        self._coroutine.close()
        self.visit.close()

    def observed(self) -> Observation:
        """How it ended."""
        visit, answer = self.visit, self._answer
        return Observation(
            visit.port.number,
            visit.dialer.view,
            answer.outcome,
            self._ended - (visit.asked or self._started),
            answer.detail,
            visit.facts if answer.facts is None else answer.facts,
            visit.dialer.address,
            None if answer.outcome is Outcome.NO_ACCESS else visit.connected,
        )

    def _forget(self) -> None:
        """Let go of what is awaited; a task among it is cancelled."""
        if self._waiting is not None:
            self._waiting.remove_done_callback(self.resume)
            self._waiting.cancel()
            self._waiting = None

    def _advance(self, go_on: Callable[[Any], Any], value: object) -> None:
        try:
            waiting = go_on(value)
        except StopIteration as end:
            self._end(end.value, self.visit.answered() if self.visit.asked else time.monotonic())
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - failures become outcomes here
            self._end(_failed(error, self.visit), time.monotonic())
        else:
            if waiting is None:  # a bare yield: asyncio.sleep(0)
                waiting = asyncio.get_running_loop().create_future()
                waiting.set_result(None)
            self._waiting = waiting
            waiting.add_done_callback(self.resume)

    def _end(self, answer: ProbeResult, at: float) -> None:
        self._answer = answer
        self._ended = self.visit.settled or at
        self.visit.close()
        self._wave.end(self)


def _failed(error: BaseException, visit: Attempt) -> ProbeResult:
    """The outcome of a failure; one that no target can cause is a bug of ours and is logged."""
    if not isinstance(error, EXPECTED):
        log.error("probe failed port=%d", visit.port.number, exc_info=error)
    error.__traceback__ = None  # its frames know the future that keeps it: garbage in a circle
    return failure(error, visit)
