"""Long work in slices, so that it never holds the event loop for long.

Whoever goes through something as long as the list of targets calls `maybe_yield` for each row.
Many tasks that each do a little in the same turn of the event loop share a `TurnLimit`.
"""

import asyncio
import time

_SLICE_SECONDS = 0.002


class Yielder:
    """Measures how long one piece of work has held the event loop."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    async def maybe_yield(self) -> None:
        """Let other tasks run if this slice has lasted long enough."""
        if time.monotonic() - self._began > _SLICE_SECONDS:
            await asyncio.sleep(0)
            self._began = time.monotonic()


class TurnLimit:
    """Bounds what many tasks do in one turn of the event loop together."""

    def __init__(self) -> None:
        self._began = 0.0
        self._is_counting = False

    async def wait(self) -> None:
        """Go on in this turn, or in a later one where the others have had enough of this one."""
        while self._is_reached():  # noqa: ASYNC110 - a turn of the event loop has no event
            await asyncio.sleep(0)

    def _is_reached(self) -> bool:
        now = time.monotonic()
        if self._is_counting:
            return now - self._began > _SLICE_SECONDS
        self._began, self._is_counting = now, True
        asyncio.get_running_loop().call_soon(self._end_turn)
        return False

    def _end_turn(self) -> None:
        """It runs in the next turn, before the tasks that wait."""
        self._is_counting = False
