"""A cluster source at work, and what it reported."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from functools import partial
from pathlib import Path

from exporter.config import Config
from exporter.discovery.cluster import ClusterCallbacks, ClusterSource
from exporter.kube.client import KubernetesClient
from exporter.kube.credentials import Credentials, load_kubeconfig
from exporter.kube.watch_options import WatchOptions
from exporter.model import Target, TargetKey

PACE = WatchOptions(page_size=5, idle_timeout=2.0, initial_backoff=0.05, max_backoff=0.5)
RESOURCES = ("pods", "nodes", "namespaces")


class Follower:
    """Targets by key as they are now. `requested` counts (verb, resource, code)."""

    def __init__(self, options: WatchOptions = PACE) -> None:
        self.targets: dict[TargetKey, Target] = {}
        self.synced: dict[str, bool] = {}
        self.relisted: list[str] = []
        self.requested: Counter[tuple[str, str, str]] = Counter()
        self.dropped: list[str] = []
        self.source = ClusterSource(
            ClusterCallbacks(
                put=self._put,
                drop=self._drop,
                changed=lambda: None,
                synced=self.synced.__setitem__,
                relisted=self.relisted.append,
                requested=lambda *what: self.requested.update([what]),
                refused=lambda _resource: None,
            ),
            options,
        )

    def _put(self, target: Target) -> None:
        self.targets[target.key] = target

    def _drop(self, key: TargetKey) -> None:
        del self.targets[key]
        self.dropped.append(key.pod)

    @property
    def names(self) -> list[str]:
        return sorted(key.pod for key in self.targets)

    def lists(self, code: str = "200") -> int:
        """How often a list of pods (or a page of it) ended so."""
        return self.requested["list", "pods", code]

    def watches(self, code: str = "200") -> int:
        return self.requested["watch", "pods", code]

    async def until_synced(self, names: Iterable[str] = RESOURCES) -> None:
        await until(lambda: all(self.synced.get(name) for name in names), "synced")

    @contextlib.asynccontextmanager
    async def following(
        self, load: Callable[[], Awaitable[Credentials]], config: Config
    ) -> AsyncIterator["Follower"]:
        """Follow with these credentials until the block ends; what it raised is raised."""

        async def run() -> None:
            async with KubernetesClient(load) as api:
                await self.source.run(api, config)

        task = asyncio.create_task(run())
        try:
            yield self
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


@contextlib.asynccontextmanager
async def following(
    kubeconfig: Path, config: Config | None = None, options: WatchOptions = PACE
) -> AsyncIterator[Follower]:
    """Follow with a kubeconfig."""
    load = partial(load_kubeconfig, str(kubeconfig))
    async with Follower(options).following(load, config or Config()) as follower:
        yield follower


async def until(condition: Callable[[], bool], what: str, seconds: float = 30.0) -> None:
    """Wait until it is so."""
    end = asyncio.get_running_loop().time() + seconds
    while not condition():
        assert asyncio.get_running_loop().time() < end, f"did not happen: {what}"
        await asyncio.sleep(0.01)
