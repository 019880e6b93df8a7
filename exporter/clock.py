"""The time by which everything but certificates goes: set once, then never set again.

Seconds since the epoch as the wall clock had them when the process began, carried on by the
monotonic clock. When somebody sets the wall clock, nothing that was read seems older or newer for
it. `step` is how far it was set, for what is the wall clock's own: the dates of certificates, and
moments that are exposed.
"""

import time

from exporter.parsing import parse_time

_BEGAN = time.time() - time.monotonic()

_SMALLEST_STEP_SECONDS = 1.0
"""Less is no step: both clocks are slewed alike, and read one after the other."""


def now() -> float:
    """Seconds since the epoch; it never jumps."""
    return _BEGAN + time.monotonic()


def wall() -> float:
    """Seconds since the epoch by the wall clock, for moments that people compare with theirs."""
    return time.time()


def step() -> float:
    """By how many whole seconds the wall clock has been set since the process began."""
    seconds = time.time() - time.monotonic() - _BEGAN
    return float(round(seconds)) if abs(seconds) >= _SMALLEST_STEP_SECONDS else 0.0


def time_of(text: str | None) -> float | None:
    """A moment that Kubernetes reports, as this clock has it: its wall clock is taken for ours."""
    moment = parse_time(text)
    return None if moment is None else moment - step()
