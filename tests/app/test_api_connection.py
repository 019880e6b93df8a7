"""The connection to the Kubernetes API, left and taken up again."""

import asyncio
import contextlib
from typing import Any

from exporter.app.api_connection import ApiConnection
from exporter.config import Config, DiscoveryConfig, KubernetesConfig
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


async def test_it_watches_again_in_whichever_turn_of_the_loop_it_is_wanted_again(
    cluster: Any,
) -> None:
    async def credentials() -> Credentials:
        return Credentials(cluster.address)

    metrics = SelfMetrics("0")
    state, synced = State(()), State((), render_synced)
    sets = TargetSets((), TargetTable(1.0, state, synced), metrics)
    api = ApiConnection(lambda: lambda: credentials(), sets, ClusterRecord(), metrics)  # noqa: PLW0108 - new ones each time
    api.configure(ON, has_static=False)
    running = asyncio.create_task(api.run())

    for turns in range(40):
        await until(lambda wanted=turns + 1: len(cluster.queries(PODS, watch=False)) == wanted)
        await until(lambda: sets.cluster.is_watched)
        api.configure(OFF, has_static=False)
        for _ in range(turns):
            await asyncio.sleep(0)
        api.configure(ON, has_static=False)

    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running
