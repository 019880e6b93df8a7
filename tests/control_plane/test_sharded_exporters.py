"""Shards together say exactly what one exporter says alone, on /metrics."""

import asyncio
import re
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from exporter.app.program import Exporter
from exporter.config import (
    Config,
    DiscoveryConfig,
    PollConfig,
    ShardConfig,
    StaticConfig,
    StaticTarget,
    WebConfig,
)
from exporter.discovery.shard import owns
from exporter.kube.credentials import Credentials
from exporter.model import Role
from tests.discovery.cluster_source import NAMESPACES, PODS, bare, istiod, namespace, pod

SHARDS = 4
PROXIES = 24
ROLES = (Role.SIDECAR, Role.GATEWAY, Role.ISTIOD, Role.ZTUNNEL, Role.SIDECAR)
BY_HAND = tuple(
    StaticTarget(namespace="hand", pod=f"vm-{number}", role=role, address=(f"127.0.3.{number}",))
    for number, role in enumerate(ROLES, 1)
)
SAME_NAME = StaticTarget(namespace="shop", pod="cart-3", address=("127.0.4.1",))
CHANGING = re.compile(
    r"istio_target_last_poll_timestamp_seconds|istio_target_(faulty_)?polls_total|_duration_seconds"
)


def configuration(ordinal: int, total: int) -> Config:
    static = StaticConfig(targets=(*BY_HAND, SAME_NAME))
    return Config(
        discovery=DiscoveryConfig(static=static),
        # A hello comes when it may, in each exporter at another time.
        poll=PollConfig(interval=1.0, detail_interval=1.0, timeout=0.5, hello=False),
        shard=ShardConfig(ordinal=ordinal, total=total),
        web=WebConfig(listen_address="127.0.0.1:0"),
    )


def fill(cluster: Any) -> None:
    """Pods whose addresses refuse at once, ambient ones, and istiods."""
    labels = {"istio.io/dataplane-mode": "ambient", "istio-injection": "enabled"}
    cluster.put(NAMESPACES, namespace("mesh", labels=labels))
    for number in range(PROXIES):
        document = pod(f"cart-{number}")
        document["status"]["podIPs"] = [{"ip": f"127.0.2.{number + 1}"}]
        cluster.put(PODS, document)
        plain = bare(f"plain-{number}", "mesh", uid=f"plain-{number}")
        plain["status"]["podIPs"] = [{"ip": f"127.0.6.{number + 1}"}]
        cluster.put(PODS, plain)
    for name in ("istiod-a", "istiod-b"):
        document = istiod(name)
        document["status"]["podIPs"] = [{"ip": "127.0.5.1"}]
        cluster.put(PODS, document)


OF_THE_CLUSTER = ("istio_proxy_ambient_pods{", "istio_proxy_missing_pods{")
"""Counts of which each shard exposes its own part."""


async def page_of(cluster: Any, config: Config, folder: Path) -> str:
    """/metrics of an exporter with this configuration, once it has seen all that it has."""

    async def load() -> Credentials:
        return Credentials(cluster.address)

    exporter = Exporter(lambda: config, folder, find_credentials=lambda: load)
    address: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    async with AsyncExitStack() as stack:
        running = asyncio.create_task(exporter.run(address.set_result))
        stack.callback(running.cancel)
        session = await stack.enter_async_context(aiohttp.ClientSession())
        url = f"http://{await address}"
        async with asyncio.timeout(20):
            while not await _is_settled(session, url, config.shard):  # noqa: ASYNC110
                await asyncio.sleep(0.1)
            async with session.get(f"{url}/metrics") as answer:
                return await answer.text()


async def _is_settled(session: aiohttp.ClientSession, url: str, shard: ShardConfig) -> bool:
    """Whether it has looked at every target once and has counted all of its ambient pods."""
    mine = sum(owns(f"plain-{number}", shard.ordinal, shard.total) for number in range(PROXIES))
    labels = 'namespace="mesh",node="node-1",redirection="missing"'
    async with session.get(f"{url}/-/ready") as answer:
        is_ready = answer.status == 200
    async with session.get(f"{url}/metrics") as answer:
        return is_ready and f"_ambient_pods{{{labels}}} {mine}\n" in await answer.text()


def samples(page: str) -> dict[str, float]:
    """Every sample about targets, by its text without the value; times are left out."""
    rows = (line.rpartition(" ") for line in page.splitlines() if not line.startswith("#"))
    return {
        series: float(value)
        for series, _, value in rows
        if re.match(r"istio_(port|target|proxy|control_plane)_", series)
        and not series.startswith("istio_port_exporter_")
        and not CHANGING.search(series)
    }


@pytest.fixture
async def pages(cluster: Any, tmp_path: Path) -> list[str]:
    """/metrics of the one without shards, then of each shard."""
    fill(cluster)
    configs = [configuration(0, 1), *(configuration(n, SHARDS) for n in range(SHARDS))]
    async with asyncio.TaskGroup() as tasks:
        asked = [tasks.create_task(page_of(cluster, config, tmp_path)) for config in configs]
    return [task.result() for task in asked]


async def test_the_union_of_the_shards_is_the_output_of_one(pages: list[str]) -> None:
    whole, *parts = map(samples, pages)
    together: Counter[str] = Counter()
    for part in parts:
        shared = {series for series in part if series in together}
        assert all(series.startswith(OF_THE_CLUSTER) for series in shared)
        together.update(part)
    assert together == whole
    assert whole['istio_proxy_missing_pods{namespace="mesh",reason="namespace"}'] == PROXIES
    pods = {found[1] for series in whole if (found := re.search(r'pod="([^"]+)"', series))}
    assert len(pods) == 2 * PROXIES + len(BY_HAND) + 2


async def test_every_shard_has_some_and_the_first_all_istiods(pages: list[str]) -> None:
    _, first, *others = pages
    assert all('pod="cart-' in page for page in pages)
    assert all(page.count('role="istiod"') == 0 for page in others)
    assert {name for name in ("istiod-a", "istiod-b", "vm-3") if f'pod="{name}"' in first} == {
        "istiod-a",
        "istiod-b",
        "vm-3",
    }
