"""How long to wait after a failure: doubled each time, spread by chance."""

import asyncio
import random

from exporter.kube.errors import KubernetesError
from exporter.kube.watch_options import WatchOptions

_LONGEST_RETRY_AFTER = 300.0


class Backoff:
    """The wait after the next failure; starts short again once something went well."""

    def __init__(self, options: WatchOptions) -> None:
        self._options = options
        self._failures = 0

    def reset(self) -> None:
        """Something went well."""
        self._failures = 0

    async def wait(self, error: KubernetesError | None = None) -> None:
        """Wait; at least as long as the server asked for."""
        doubled = self._options.first_wait * 2 ** min(self._failures, 16)
        self._failures += 1
        wait = min(self._options.longest_wait, doubled) * random.uniform(0.5, 1.0)  # noqa: S311 - no secret
        asked_for = (error.retry_after if error else None) or 0.0
        await asyncio.sleep(wait + min(asked_for, _LONGEST_RETRY_AFTER))
