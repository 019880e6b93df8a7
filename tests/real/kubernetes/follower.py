"""A cluster source at work against a real API server, and what it reported."""

import contextlib
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

from exporter.config import Config
from exporter.kube.credentials import load_kubeconfig
from exporter.kube.watch_options import WatchOptions
from tests.discovery.cluster_source import Watched

PACE = WatchOptions(page_size=5, idle_timeout=2.0, initial_backoff=0.05, max_backoff=0.5)


class Follower(Watched):
    """With how often pods were listed and watched."""

    def __init__(self, options: WatchOptions = PACE) -> None:
        super().__init__(options)

    def lists(self, code: str = "200") -> int:
        """How often a list of pods (or a page of it) ended so."""
        return self.requested["list", "pods", code]

    def watches(self, code: str = "200") -> int:
        return self.requested["watch", "pods", code]


@contextlib.asynccontextmanager
async def following(
    kubeconfig: Path, config: Config | None = None, options: WatchOptions = PACE
) -> AsyncIterator[Follower]:
    """Follow with a kubeconfig."""
    load = partial(load_kubeconfig, str(kubeconfig))
    async with Follower(options).running(load, config or Config()) as follower:
        yield follower
