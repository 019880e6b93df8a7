"""Exponential backoff with jitter."""

import asyncio
import math
import random
import time

from exporter.kube.api_errors import KubernetesError
from exporter.kube.watch_options import WatchOptions

_LONGEST_RETRY_AFTER = 300.0


class Backoff:
    """The wait before the next retry; doubles with each failure until a success resets it."""

    def __init__(self, options: WatchOptions) -> None:
        self._options = options
        self._failures = 0
        self._opened = math.inf

    def reset(self) -> None:
        """A request succeeded."""
        self._failures = 0

    def note_opened(self) -> None:
        """A stream is open: it counts as a success if it stays so for a while."""
        self._opened = time.monotonic()

    async def wait(self, error: KubernetesError | None = None) -> None:
        """Wait, at least as long as the error's Retry-After."""
        if time.monotonic() - self._opened >= self._options.initial_backoff:
            self._failures = 0
        self._opened = math.inf
        doubled = self._options.initial_backoff * 2 ** min(self._failures, 16)
        self._failures += 1
        wait = min(self._options.max_backoff, doubled) * random.uniform(0.5, 1.0)  # noqa: S311 - no secret
        retry_after = (error.retry_after if error else None) or 0.0
        await asyncio.sleep(wait + min(retry_after, _LONGEST_RETRY_AFTER))
