"""How much is done in one turn of the event loop: long work and the work of many share one budget.

Whoever goes through something as long as the list of targets calls `maybe_yield` for each row, or
looks at them by `in_slices`, or for a few by `some_of`, as a look costs a tenth of that. Many
tasks, or timers, that each do a little in the same turn call `wait`, or are called by `call`.
"""

import asyncio
import heapq
import itertools
import math
import time
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Future
from functools import partial
from typing import TypeVar
from weakref import WeakKeyDictionary

T = TypeVar("T")

TICK_SECONDS = 0.5
"""What may wait a little wakes up together: what is awake and cached then serves it all."""

_AFTER_TICK_SECONDS = 0.002
"""A timer may fire a millisecond early."""

_BUDGET_SECONDS = 0.001
_ROWS_AT_ONCE = 256
_AT_ONCE = 8
"""So many of those that wait are woken in one turn; where it is over before, some wait on."""


class Turn:
    """The present turn of one event loop. Where it is over, the others wait in line.

    In the order in which they came: what goes on for long is behind all others each time.
    """

    def __init__(self) -> None:
        self._began = 0.0
        self._is_counting = self._is_waking = False
        self._line: list[tuple[int, Callable[[], object]]] = []
        self._numbers = itertools.count()

    def is_over(self) -> bool:
        """Whether its budget is used up. The time counts from the first that asks."""
        if self._is_counting:
            return time.monotonic() - self._began > _BUDGET_SECONDS
        self._count()
        return False

    async def maybe_yield(self) -> None:
        """Let other tasks run if what has shared this turn so far has lasted long enough."""
        if self.is_over():
            await self._wait_in_line()

    async def wait(self) -> None:
        """Go on in this turn, or in a later one where the others have had enough of this one."""
        if self._line or self.is_over():
            await self._wait_in_line()

    def call(self, callback: Callable[[], object]) -> None:
        """Call it in this turn, or in a later one where the others have had enough of this one."""
        if self._line or self.is_over():
            self._put_call(next(self._numbers), callback)
        else:
            callback()

    async def _wait_in_line(self) -> None:
        number = next(self._numbers)
        is_early = True
        while is_early:
            woken = asyncio.get_running_loop().create_future()
            self._put(number, partial(_wake, woken))
            await woken
            is_early = self.is_over()

    def _call(self, number: int, callback: Callable[[], object]) -> None:
        if self.is_over():
            self._put_call(number, callback)
        else:
            callback()

    def _put_call(self, number: int, callback: Callable[[], object]) -> None:
        call_soon = asyncio.get_running_loop().call_soon
        self._put(number, partial(call_soon, self._call, number, callback))

    def _put(self, number: int, wake: Callable[[], object]) -> None:
        heapq.heappush(self._line, (number, wake))
        if not self._is_waking:
            self._is_waking = True
            asyncio.get_running_loop().call_soon(self._wake_next)

    def _wake_next(self) -> None:
        """Wake those who have waited longest; it is called again after they had their turn."""
        self._count()  # so that the next turn has begun when they look whether it is over
        for _ in range(min(_AT_ONCE, len(self._line))):
            heapq.heappop(self._line)[1]()
        self._is_waking = bool(self._line)
        if self._is_waking:
            asyncio.get_running_loop().call_soon(self._wake_next)

    def _count(self) -> None:
        if not self._is_counting:
            self._began, self._is_counting = time.monotonic(), True
            asyncio.get_running_loop().call_soon(self._end)

    def _end(self) -> None:
        self._is_counting = False


def _wake(woken: "asyncio.Future[None]") -> None:
    if not woken.done():
        woken.set_result(None)


_by_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, Turn] = WeakKeyDictionary()


def current_turn() -> Turn:
    """The turn of the running event loop."""
    loop = asyncio.get_running_loop()
    turn = _by_loop.get(loop)
    if turn is None:
        turn = _by_loop[loop] = Turn()
    return turn


def until_tick(seconds: float = 0.0, tick: float = TICK_SECONDS) -> float:
    """How long to sleep: until the first tick that is at least so many seconds from now."""
    began = time.monotonic()
    return math.ceil((began + seconds) / tick) * tick - began + _AFTER_TICK_SECONDS


async def in_thread(action: Callable[..., T], *arguments: object) -> T:
    """What the action returns, from a thread; here and now where no more can be started.

    It runs once: an executor that fails to start a thread keeps what it was given, and a thread
    that is busy now would run it later.
    """
    result: Future[T] = Future()

    def run() -> None:
        if result.set_running_or_notify_cancel():
            try:
                result.set_result(action(*arguments))
            except BaseException as error:  # noqa: BLE001 - whoever waits gets it
                result.set_exception(error)

    try:
        asyncio.get_running_loop().run_in_executor(None, run)
    except RuntimeError:
        if result.cancel():
            return action(*arguments)
    return await asyncio.wrap_future(result)


async def in_slices(rows: Sequence[T]) -> AsyncIterator[Sequence[T]]:
    """The rows in their order, some at a time; other tasks run meanwhile."""
    turn = current_turn()
    for at in range(0, len(rows), _ROWS_AT_ONCE):
        yield rows[at : at + _ROWS_AT_ONCE]
        await turn.maybe_yield()


async def some_of(rows: Sequence[T], is_wanted: Callable[[T], object]) -> list[T]:
    """The rows that are wanted, in their order; other tasks run meanwhile."""
    found: list[T] = []
    async for some in in_slices(rows):
        found += filter(is_wanted, some)
    return found
