"""Every query of every panel, run on a real Prometheus that scraped the demo mesh.

The exporter runs here, on the demo's stand-ins, with the profile that has every family. Two scrape
it: one that honours the samples' labels, and one that renames them.
"""

import asyncio
import contextlib
import json
import re
import socket
import urllib.parse
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import pytest_asyncio

from charts.dashboards.values import unhealthy
from exporter.app.program import Exporter
from exporter.config import load
from exporter.demo import SHIPPED, Mesh, load_states, mesh
from exporter.model import Role
from tests.charts.render import RENAMED, Document
from tests.dashboards.documents import dashboards, queries, renamed
from tests.real.programs import fetch
from tests.real.prometheus import scraping, target

pytestmark = pytest.mark.real("prometheus")

INTERVALS = {
    "poll.interval": "3s",
    "poll.detail_interval": "3s",
    "poll.page_interval": "3s",
    "poll.identity_interval": "15s",
    "poll.timeout": "2s",
    "discovery.kubernetes.enabled": False,
    "metrics.profile": "full",
    "log.level": "error",
}
CHOSEN = {
    "$cluster": ".*",
    "$namespace": ".*",
    "$istiod_namespace": ".*",
    "$role": ".*",
    "$pod": ".*",
    "$instance": ".*",
    "$__rate_interval": "15s",
}
"""Everything, as All chooses it; the demo's scrapes have no label `cluster`."""

NO_KUBERNETES = "the demo uses no Kubernetes API"
NO_TOKEN = "the demo's istiod serves no debug interface"
NO_RULES = "this Prometheus has no rules"
NO_SERVERS = "no gateway of the demo presents a certificate"
EMPTY = {
    "overview.json: Firing alerts: A": NO_RULES,
    "proxy.json: Firing alerts: A": NO_RULES,
    "control-plane.json: Firing alerts: A": NO_RULES,
    "exporter.json: Firing alerts: A": NO_RULES,
    "control-plane.json: Path to the injection webhook: A": NO_KUBERNETES,
    "control-plane.json: Outcome of the path to the webhook: A": NO_KUBERNETES,
    "control-plane.json: Ambient pods by redirection: A": NO_KUBERNETES,
    "control-plane.json: Pods without their proxy: A": NO_KUBERNETES,
    "control-plane.json: Proxies behind: A": NO_TOKEN,
    "control-plane.json: Rejected updates: A": "no proxy rejected anything from the demo's istiod",
    "exporter.json: Discovery: A": NO_KUBERNETES,
    "exporter.json: Discovery: B": "the demo's targets are in no file",
    "exporter.json: Requests to the Kubernetes API: A": NO_KUBERNETES,
    "exporter.json: Relists: A": NO_KUBERNETES,
    "overview.json: Workloads by node: A": NO_KUBERNETES,
    "overview.json: Ztunnel's lost connections to istiod: A": "no ztunnel here lost istiod",
    "proxy.json: Cause: C": "some of the demo's proxies have a cause, and all are chosen",
    "proxy.json: Certificates of a gateway's servers: A": NO_SERVERS,
    "proxy.json: Certificates of a gateway's servers: B": NO_SERVERS,
    "proxy.json: Known to an istiod: A": NO_TOKEN,
    "proxy.json: Behind istiod: A": NO_TOKEN,
}
"""Queries that have nothing to find on the demo, and why."""

TIMEOUT_SECONDS = 50


KINDS = {
    "plain": (dashboards, {}),
    "renamed": (renamed, dict.fromkeys(RENAMED, "the exporter's own")),
}
"""Dashboards, and the labels that the scraped target has beside those of the samples."""


class Scraped(NamedTuple):
    """Dashboards, the address of the Prometheus that they are for, and of the exporter."""

    boards: dict[str, Document]
    address: str
    exporter: str

    def get(self, path: str, **parameters: str) -> Any:
        """What Prometheus answers, with everything chosen that a dashboard lets choose."""
        values = {name: chosen(text) for name, text in parameters.items()}
        body = fetch(f"http://{self.address}/api/v1/{path}?{urllib.parse.urlencode(values)}")
        assert body, f"Prometheus does not take {values}"
        return json.loads(body)["data"]

    def found(self) -> dict[str, int]:
        """How many series each query finds now."""
        return {
            row.name: len(self.get("query", query=row.expr)["result"])
            for row in queries(self.boards)
        }


def chosen(text: str) -> str:
    """A query with everything chosen."""
    for variable, value in CHOSEN.items():
        text = text.replace(variable, value)
    return text


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def built() -> AsyncIterator[Mesh]:
    """The demo mesh."""
    async with mesh(load_states(SHIPPED), earlier=False) as demo:
        yield demo


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scraped(
    built: Mesh, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[dict[str, Scraped]]:
    """A Prometheus for each kind of dashboards, all scraping one exporter on the demo mesh."""
    listener = socket.create_server(("127.0.0.1", 0))
    exporter = f"127.0.0.1:{listener.getsockname()[1]}"
    with contextlib.ExitStack() as stack:
        made = {
            kind: Scraped(
                boards(),
                stack.enter_context(
                    scraping(
                        tmp_path_factory.mktemp(kind),
                        {**target(exporter, **labels), "honor_labels": not labels},
                    )
                ),
                exporter,
            )
            for kind, (boards, labels) in KINDS.items()
        }
        config = load(None, INTERVALS)
        targets = [pod.target for pod in built.pods]
        running = asyncio.create_task(Exporter(lambda: config, Path(), targets, listener).run())
        yield made
        running.cancel()
        await asyncio.wait({running})


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def answers(scraped: dict[str, Scraped]) -> dict[str, dict[str, int]]:
    """How many series each query finds, once all that ought to find some do, or at the end."""
    answered: dict[str, dict[str, int]] = {kind: {} for kind in scraped}
    wanted = {row.name for row in queries()} - set(EMPTY)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(TIMEOUT_SECONDS):
            while any(not found.get(name) for found in answered.values() for name in wanted):
                for kind, each in scraped.items():
                    answered[kind] = await asyncio.to_thread(each.found)
                await asyncio.sleep(0.5)
    return answered


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", [row.name for row in queries()])
async def test_a_query_finds_data(answers: dict[str, dict[str, int]], name: str, kind: str) -> None:
    if name in EMPTY:
        assert answers[kind][name] == 0, f"finds data after all: {EMPTY[name]}"
    else:
        assert answers[kind][name] > 0


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.usefixtures("answers")
async def test_unhealthy_is_the_same_here_as_in_the_api(scraped: dict[str, Scraped]) -> None:
    """Causes come and go with polls: the same targets at one time are enough."""
    plain = scraped["plain"]

    def counted() -> tuple[set[str], set[str]]:
        found = plain.get("query", query=unhealthy('cluster=~".*"'))["result"]
        body = fetch(f"http://{plain.exporter}/api/v1/matrix?state=unhealthy&limit=500")
        assert body
        listed = json.loads(body)["targets"]
        return {row["metric"]["pod"] for row in found}, {row["pod"] for row in listed}

    async with asyncio.timeout(TIMEOUT_SECONDS):
        found, listed = await asyncio.to_thread(counted)
        while found != listed:
            await asyncio.sleep(0.5)
            found, listed = await asyncio.to_thread(counted)
    assert found


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.usefixtures("answers")
@pytest.mark.parametrize("kind", KINDS)
async def test_variables_offer_what_targets_have(
    built: Mesh, scraped: dict[str, Scraped], kind: str
) -> None:
    targets = [pod.target for pod in built.pods]
    wanted = {
        "namespace": {target.key.namespace for target in targets},
        "istiod_namespace": {row.key.namespace for row in targets if row.role is Role.ISTIOD},
        "pod": {target.key.pod for target in targets},
        "role": {str(target.role) for target in targets},
    }
    for board in scraped[kind].boards.values():
        for variable in board["templating"]["list"]:
            if variable["name"] in wanted:
                found = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"])
                assert found
                parameters = {"match[]": found[1]}
                path = f"label/{found[2]}/values"
                offered = await asyncio.to_thread(scraped[kind].get, path, **parameters)
                assert set(offered) <= wanted[variable["name"]], variable["query"]
                assert offered, variable["query"]


def test_what_is_excused_is_a_query() -> None:
    assert set(EMPTY) <= {row.name for row in queries()}
