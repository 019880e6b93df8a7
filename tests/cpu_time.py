"""The CPU time of a turn, on a machine that is at times half as fast as at others.

What takes too long is compared with work that is done beside it.
"""

import asyncio
import gc
import json
import time
from collections.abc import Callable
from statistics import median
from typing import Any

from exporter.app.process import collect_garbage_rarely

LIMIT = 0.020
"""The most seconds that the event loop may be held."""

Action = Callable[[], object]


def seconds(action: Action, prepare: Action = lambda: None) -> float:
    """The shortest of some runs; what prepares each of them is not counted.

    Garbage is collected as in the exporter: all objects of a whole session of tests, as the
    interpreter's defaults would have it, take 50 ms.
    """
    took: list[float] = []
    defaults = gc.get_threshold()
    collect_garbage_rarely()
    try:
        while len(took) < RUNS or (min(took) >= LIMIT and len(took) < MOST_RUNS):
            prepare()
            began = time.thread_time()
            action()
            took.append(compared(time.thread_time() - began))
            if took[-1] < LIMIT / 2:
                break
    finally:
        gc.set_threshold(*defaults)
    return min(took)


async def longest_turn(running: "asyncio.Future[Any]") -> float:
    """The most CPU time that this thread used between two turns of its event loop, until then."""
    longest, last = 0.0, time.thread_time()
    while not running.done():
        await asyncio.sleep(0)
        now = time.thread_time()
        longest, last = max(longest, now - last), now
    return longest


RUNS, MOST_RUNS = 4, 20
"""A machine's slow moments last up to a second: what takes too long is run until they are over."""


def compared(took: float) -> float:
    """What a turn took; had it been too long, what it would have taken at the usual speed."""
    return took if took < LIMIT else took / slowness()


def slowness() -> float:
    """How many times as long as usual this machine takes at the moment; at least 1."""
    return max(1.0, *(median(_took(work)) / usual for work, usual in _USUAL))


def _count() -> None:
    total = 0
    for number in range(100_000):
        total += number % 7


def _decode() -> None:
    json.loads(_PAGE)


_PAGE = json.dumps([{"a": [1]}] * 20_000)
_USUAL: tuple[tuple[Action, float], ...] = (_count, 0.0048), (_decode, 0.0084)
"""What counts and what makes objects, for memory slows down by itself; and the seconds that each
takes on a machine that has nothing else to do."""


def _took(work: Action) -> list[float]:
    took = []
    for _ in range(10):
        began = time.thread_time()
        work()
        took.append(time.thread_time() - began)
    return took
