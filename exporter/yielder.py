"""Long work in short turns, so that it never holds the event loop for long."""

import asyncio
import time

_TURN_SECONDS = 0.005


class Yielder:
    """Counts one piece of work's time on the event loop; let others have theirs in between."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    async def over(self) -> None:
        """Give the event loop back if this turn has lasted long enough."""
        if time.monotonic() - self._began > _TURN_SECONDS:
            await asyncio.sleep(0)
            self._began = time.monotonic()
