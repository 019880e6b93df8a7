"""Whole objects of a hostile cluster, from its API server to /metrics: nothing ends, or is hidden.

Each example is a cluster: lists, watch events and refusals, through discovery, planning, polls of
sockets that stay silent, reports and the exposition. An honest pod among them is always there.
"""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from exporter.bounds import LABEL_VALUE
from exporter.catalogue import PORTS
from exporter.config import Config, DiscoveryConfig, KubernetesConfig, PollConfig
from exporter.discovery.cluster import ClusterSource
from exporter.exposition import FAMILIES, assemble, render_cluster
from exporter.kube.client import KubernetesClient
from exporter.kube.credentials import Credentials
from exporter.kube.watch_options import WatchOptions
from exporter.model import ClusterRecord, TargetKey
from exporter.poll.poll_target import ProbeInstrumentation
from exporter.report.target_documents import target_state
from exporter.scheduler.poll_scheduler import Scheduler
from exporter.scheduler.target_table import TargetTable
from exporter.selfmetrics.registry import SelfMetrics
from exporter.state import State
from tests.kube.api_server import Cluster, serving
from tests.scheduler.hostile_objects import (
    NAMESPACES,
    NODES,
    PODS,
    SERVICES,
    SILENT,
    STATUSES,
    objects,
)

POLL = PollConfig(interval=1.0, timeout=0.03, application_ports=True, application_probes=True)
CONFIG = Config(
    poll=POLL,
    discovery=DiscoveryConfig(kubernetes=KubernetesConfig(enabled=True, services=True)),
)
OPTIONS = WatchOptions(page_size=4, idle_timeout=5.0, initial_backoff=0.005, max_backoff=0.01)
PATHS = {
    "/api/v1/pods": PODS,
    "/api/v1/nodes": NODES,
    "/api/v1/namespaces": NAMESPACES,
    "/api/v1/services": SERVICES,
}
HONEST = {"name": "honest", "namespace": "honest", "uid": "honest"}


@dataclass
class World:
    """A hostile cluster: objects by the path of their list, events of watches, refusals."""

    objects: dict[str, list[Any]]
    events: list[tuple[str, str, Any]]
    refusals: list[Any] = field(default_factory=list)


def worlds(most: int) -> st.SearchStrategy[World]:
    lists = st.fixed_dictionaries(
        {
            path: st.lists(objects(honest), min_size=most if honest is PODS else 0, max_size=most)
            for path, honest in PATHS.items()
        }
    )
    event = st.one_of(
        *(
            st.tuples(
                st.just(path),
                st.sampled_from(("ADDED", "MODIFIED", "DELETED", "BOOKMARK", "RENAMED")),
                objects(honest),
            )
            for path, honest in PATHS.items()
        ),
        st.tuples(st.sampled_from(tuple(PATHS)), st.just("ERROR"), objects(STATUSES)),
    )
    return st.builds(
        World, lists, st.lists(event, max_size=6), st.lists(objects(STATUSES), max_size=2)
    )


@pytest.fixture(scope="module", autouse=True)
def silent() -> Iterator[None]:
    """Sockets that accept and never answer, on the ports of the catalogue.

    15008 is refused: silence there is waited for much longer than a poll's timeout.
    """
    ports = {row.number for row in PORTS} | {8080, 9000, CONFIG.poll.control_port}
    with contextlib.ExitStack() as opened:
        for port in ports - {15008}:
            listener = opened.enter_context(socket.socket())
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):  # somebody listens there on every address
                listener.bind((SILENT, port))
                listener.listen(1024)
        yield


def fill(cluster: Cluster, world: World) -> None:
    for path, rows in world.objects.items():
        cluster.objects[path] = {str(number): row for number, row in enumerate(rows)}
    for number, row in cluster.objects["/api/v1/pods"].items():
        metadata = row.get("metadata")
        if isinstance(metadata, dict) and metadata.get("name") == PODS[0]["metadata"]["name"]:
            metadata["name"] = f"pod-{number}"
    honest = json.loads(json.dumps(PODS[0]))
    honest["metadata"] |= HONEST
    cluster.objects["/api/v1/pods"]["honest"] = honest
    cluster.refusals += [
        (status["code"], {}, json.dumps(status))
        for status in world.refusals
        if status.get("code") in (403, 410, 500)
    ]


def send(cluster: Cluster, world: World) -> None:
    for path, kind, document in world.events:
        cluster.send(path, json.dumps({"type": kind, "object": document}).encode() + b"\n")


@contextlib.asynccontextmanager
async def exporting(
    cluster: Cluster, failed: list[str], counted_pods: ClusterRecord
) -> AsyncIterator[TargetTable]:
    async def load() -> Credentials:
        return Credentials(cluster.address)

    table = TargetTable(POLL.interval, State(FAMILIES), State(FAMILIES))
    metrics = SelfMetrics("1.0.0")
    source = ClusterSource(table.put, table.drop, lambda: None, metrics, OPTIONS)
    counted = ProbeInstrumentation(failed=lambda: failed.append("a poll"))
    scheduler = Scheduler(CONFIG, table, counted)
    async with KubernetesClient(load) as api:
        tasks = [
            asyncio.create_task(source.run(api, CONFIG)),
            asyncio.create_task(scheduler.run()),
        ]
        try:
            yield table
            assert [task.exception() for task in tasks if task.done()] == []
            counted_pods.ambient_pods = await source.ambient_pods()
            counted_pods.missing_proxies = await source.missing_proxies()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)


async def is_polled(table: TargetTable) -> None:
    """Wait for the honest pod's record, and for one of every other target."""
    async with asyncio.timeout(20):
        while table.state.get(TargetKey("honest", "honest")) is None or not table.is_warm:
            for row in table._rows.values():
                if not row.polls and not row.is_running and not row.is_gone:
                    table._schedule(row, 0.0)
            table.appeared.set()
            await asyncio.sleep(0.01)


def check(table: TargetTable, counted_pods: ClusterRecord) -> None:
    state = table.state
    blocks = [*state.blocks(0.0), render_cluster(counted_pods, FAMILIES)]
    text = b"".join(assemble(FAMILIES, blocks, openmetrics=False))
    for family in text_string_to_metric_families(text.decode()):
        for sample in family.samples:
            assert all(len(value.encode()) <= LABEL_VALUE for value in sample.labels.values())
    for key, target in table.targets.items():
        msgspec.json.encode(target_state(target, state.get(key)))


async def run(world: World) -> None:
    failed: list[str] = []
    counted_pods = ClusterRecord()
    async with serving() as cluster:
        fill(cluster, world)
        async with exporting(cluster, failed, counted_pods) as table:
            await is_polled(table)
            send(cluster, world)
            await asyncio.sleep(0.03)
            await is_polled(table)
        check(table, counted_pods)
    assert failed == []


@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(worlds(8))
def test_a_hostile_cluster_ends_and_hides_nothing(world: World) -> None:
    asyncio.run(run(world))


@pytest.mark.slow
@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(worlds(12))
def test_thousands_of_hostile_objects_end_and_hide_nothing(world: World) -> None:
    asyncio.run(run(world))
