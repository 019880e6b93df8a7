"""Every query of every panel, asked of a real Prometheus that scraped the demo mesh.

The exporter runs here, on the demo's stand-ins, with the profile that has every family.
"""

import asyncio
import contextlib
import json
import socket
import urllib.parse
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from exporter.app import Exporter
from exporter.config import load
from exporter.demo import SHIPPED, load_states, mesh
from tests.dashboards.documents import Asked, queries
from tests.real.programs import fetch, scraping

pytestmark = pytest.mark.real("prometheus")

PACE = {
    "poll.interval": "3s",
    "poll.detail_interval": "3s",
    "poll.identity_interval": "15s",
    "poll.timeout": "2s",
    "discovery.kubernetes.enabled": False,
    "metrics.profile": "full",
    "log.level": "error",
}
CHOSEN = {
    "$cluster": ".*",
    "$namespace": ".*",
    "$role": ".*",
    "$pod": ".*",
    "$instance": ".*",
    "$__rate_interval": "15s",
}
"""Everything, as All chooses it; the demo's scrapes have no label `cluster`."""

NO_KUBERNETES = "the demo asks no Kubernetes API"
NO_TOKEN = "the demo's istiod answers no debug interface"
EMPTY = {
    "control-plane.json: Way to the injection webhook: A": NO_KUBERNETES,
    "control-plane.json: How the way to the webhook ended: A": NO_KUBERNETES,
    "control-plane.json: Ambient pods by redirection: A": NO_KUBERNETES,
    "control-plane.json: Proxies behind: A": NO_TOKEN,
    "control-plane.json: Rejected updates: A": "no proxy rejected anything from the demo's istiod",
    "exporter.json: Discovery: A": NO_KUBERNETES,
    "exporter.json: Discovery: B": "the demo's targets are in no file",
    "exporter.json: Requests to the Kubernetes API: A": NO_KUBERNETES,
    "exporter.json: Lists read anew: A": NO_KUBERNETES,
    "proxy.json: Cause: C": "some of the demo's proxies have a cause, and all are chosen",
    "proxy.json: Connected to istiod: B": NO_TOKEN,
    "proxy.json: Behind istiod: A": NO_TOKEN,
}
"""Queries that have nothing to find on the demo, and why."""

PATIENCE_SECONDS = 50


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def prometheus(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """Debian's Prometheus, scraping an exporter on the demo mesh; its address."""
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    async with mesh(load_states(SHIPPED), earlier=False) as built:
        with scraping(f"127.0.0.1:{port}", tmp_path_factory.mktemp("prometheus")) as address:
            config = load(None, PACE)
            targets = [pod.target for pod in built.pods]
            exporter = Exporter(lambda: config, Path(), targets, listener)
            running = asyncio.create_task(exporter.run())
            yield address
            running.cancel()
            await asyncio.wait({running})


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def answers(prometheus: str) -> dict[str, int]:
    """How many series each query finds, once all that ought to find some do, or at the end."""
    found: dict[str, int] = {}
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(PATIENCE_SECONDS):
            while any(not found.get(asked.name) for asked in queries() if asked.name not in EMPTY):
                found = await asyncio.to_thread(asked_now, prometheus)
                await asyncio.sleep(0.5)
    return found


def asked_now(prometheus: str) -> dict[str, int]:
    """How many series each query finds now."""
    return {asked.name: series(prometheus, asked) for asked in queries()}


def series(prometheus: str, asked: Asked) -> int:
    """How many series a query finds now, with everything chosen."""
    expr = asked.expr
    for variable, value in CHOSEN.items():
        expr = expr.replace(variable, value)
    url = f"http://{prometheus}/api/v1/query?{urllib.parse.urlencode({'query': expr})}"
    body = fetch(url)
    assert body, f"Prometheus takes no such query: {expr}"
    return len(json.loads(body)["data"]["result"])


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("name", [asked.name for asked in queries()])
async def test_a_query_finds_data(answers: dict[str, int], name: str) -> None:
    if name in EMPTY:
        assert answers[name] == 0, f"finds data after all: {EMPTY[name]}"
    else:
        assert answers[name] > 0


def test_what_is_excused_is_a_query() -> None:
    assert set(EMPTY) <= {asked.name for asked in queries()}
