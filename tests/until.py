"""Waiting for what has no event of its own."""

import asyncio
from collections.abc import Callable


async def until(
    condition: Callable[[], object], what: str = "what was waited for", seconds: float = 30.0
) -> None:
    """Wait until it is so."""
    end = asyncio.get_running_loop().time() + seconds
    while not condition():
        assert asyncio.get_running_loop().time() < end, f"did not happen: {what}"
        await asyncio.sleep(0.005)
