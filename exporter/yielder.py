"""Long work in slices, so that it never holds the event loop for long.

Whoever goes through something as long as the list of targets calls `maybe_yield` for each row.
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
