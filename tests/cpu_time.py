"""The CPU time of a turn, on a machine that is at times half as fast as at others.

What takes too long is compared with a loop that is run beside it.
"""

import time
from collections.abc import Callable
from statistics import median

LIMIT = 0.020
"""The most seconds that the event loop may be held."""

Action = Callable[[], object]


def seconds(action: Action) -> float:
    """The shortest of some runs."""
    took: list[float] = []
    while len(took) < RUNS or (min(took) >= LIMIT and len(took) < MOST_RUNS):
        began = time.thread_time()
        action()
        took.append(compared(time.thread_time() - began))
        if took[-1] < LIMIT / 2:
            break
    return min(took)


RUNS, MOST_RUNS = 4, 20
"""A machine's slow moments last up to a second: what takes too long is run until they are over."""


def compared(took: float) -> float:
    """What a turn took; had it been too long, what it would have taken at the usual speed."""
    return took if took < LIMIT else took / slowness()


USUAL_SECONDS = 0.0048
"""What the loop below takes on a machine that has nothing else to do."""


def slowness() -> float:
    """How many times as long as usual this machine takes at the moment; at least 1."""
    took = []
    for _ in range(10):
        total, began = 0, time.thread_time()
        for number in range(100_000):
            total += number % 7
        took.append(time.thread_time() - began)
    return max(1.0, median(took) / USUAL_SECONDS)
