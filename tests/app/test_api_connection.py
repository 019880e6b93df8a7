"""The connection to the Kubernetes API, left and taken up again."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

from exporter.app.api_connection import ApiConnection
from exporter.config import (
    Config,
    DiscoveryConfig,
    DryRunConfig,
    IstiodConfig,
    KubernetesConfig,
    PollConfig,
)
from exporter.control_plane.webhook_names import CONFIGURATIONS
from exporter.discovery.target_sets import TargetSets
from exporter.exposition import render_synced
from exporter.kube.credentials import Credentials
from exporter.model import ClusterRecord
from exporter.scheduler.target_table import TargetTable
from exporter.selfmetrics.registry import SelfMetrics
from exporter.state import State
from tests.app.conftest import cluster
from tests.until import until

__all__ = ["cluster"]

PODS = "/api/v1/pods"
ON, OFF = (
    Config(discovery=DiscoveryConfig(kubernetes=KubernetesConfig(enabled=enabled)))
    for enabled in (True, False)
)


@contextlib.asynccontextmanager
async def connected(
    cluster: Any, config: Config
) -> AsyncIterator[tuple[ApiConnection, TargetSets]]:
    async def credentials() -> Credentials:
        return Credentials(cluster.address)

    metrics = SelfMetrics("0")
    state, synced = State(()), State((), render_synced)
    sets = TargetSets((), TargetTable(1.0, state, synced), metrics)
    api = ApiConnection(lambda: lambda: credentials(), sets, ClusterRecord(), metrics)  # noqa: PLW0108 - new ones each time
    api.configure(config, has_static=False)
    running = asyncio.create_task(api.run())
    yield api, sets
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running


async def test_it_watches_again_in_whichever_turn_of_the_loop_it_is_wanted_again(
    cluster: Any,
) -> None:
    async with connected(cluster, ON) as (api, sets):
        for turns in range(40):
            await until(lambda wanted=turns + 1: len(cluster.queries(PODS, watch=False)) == wanted)
            await until(lambda: sets.cluster.is_watched)
            api.configure(OFF, has_static=False)
            for _ in range(turns):
                await asyncio.sleep(0)
            api.configure(ON, has_static=False)


async def test_a_reload_that_changes_nothing_of_it_starts_nothing_anew(cluster: Any) -> None:
    """Else what the dry run and the names have shown would be forgotten."""
    dry_run = DryRunConfig(enabled=True, namespace="shop")
    config = replace(ON, istiod=IstiodConfig(read_webhook_names=True, webhook_dry_run=dry_run))
    async with connected(cluster, config) as (api, sets):
        await until(lambda: sets.cluster.is_watched)
        await until(lambda: cluster.queries(CONFIGURATIONS.path, watch=False))
        await until(lambda: api.dry_run.last)
        before, shown = list(cluster.requests), api.dry_run.last
        for poll in (PollConfig(interval=7.0), PollConfig(timeout=3.0), PollConfig(concurrency=9)):
            api.configure(replace(config, poll=poll), has_static=False)
            await asyncio.sleep(0.1)
            assert api.dry_run.last is shown
        assert cluster.requests == before
