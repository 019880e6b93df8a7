"""Whether the watches work, and what is logged when they do not."""

from types import SimpleNamespace
from typing import Any

import pytest

from exporter.discovery.watch_status import WatchStatus
from exporter.kube.api_errors import KubernetesError
from exporter.kube.watch_options import Resource
from exporter.selfmetrics.registry import SelfMetrics
from tests.discovery.cluster_source import PODS, Watched, pod, watching
from tests.until import until


async def test_pods_are_not_watched_after_a_failed_watch(cluster: Any) -> None:
    cluster.put(PODS, pod("cart"))
    assert not Watched().source.is_watched
    async with watching(cluster) as seen:
        await seen.until_synced()
        assert seen.source.is_watched
        cluster.refused_paths[PODS] = 500
        cluster.end_watches(PODS)
        await until(lambda: not seen.source.is_watched)
        assert seen.source.is_synced


async def test_a_failure_is_logged_once_and_so_is_the_recovery(
    cluster: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "exporter.discovery")
    cluster.put(PODS, pod("cart"))
    async with watching(cluster) as seen:
        await seen.until_synced()
        cluster.refused_paths = {PODS: 403}
        cluster.end_watches(PODS)
        await until(lambda: len(cluster.queries(PODS, watch=True)) > 4)
        assert seen.names == ["cart"]
        cluster.refused_paths = {}
        await until(lambda: bool(seen.synced["pods"]))
    lines = [record.getMessage() for record in caplog.records if PODS in record.getMessage()]
    assert len([line for line in lines if "status=403" in line]) == 1
    assert lines[-1] == "kubernetes watch works again path=/api/v1/pods"


def test_a_resource_is_watched_once_every_scope_of_it_is() -> None:
    synced: list[tuple[str, bool]] = []
    metrics: Any = SimpleNamespace(synced=lambda *row: synced.append(row))
    status = WatchStatus(metrics)
    assert not status.is_watched("pods")
    shop, bank = (status.callbacks(Resource("pods", f"/{scope}"), scope) for scope in "ab")
    shop.opened()
    assert not status.is_watched("pods")
    bank.opened()
    assert status.is_watched("pods")
    assert synced[-1] == ("pods", True)
    shop.failed(KubernetesError.of(500, "down"))
    assert not status.is_watched("pods")
    assert synced[-1] == ("pods", False)


def test_a_failure_ends_the_wait_for_the_first_list() -> None:
    attempts: list[None] = []
    status = WatchStatus(SelfMetrics("1.0.0"))
    nodes = Resource("nodes", "/api/v1/nodes")
    status.callbacks(nodes, attempted=lambda: attempts.append(None)).failed(KubernetesError(0, "x"))
    assert attempts == [None]
