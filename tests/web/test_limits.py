import asyncio
import socket
from contextlib import ExitStack
from typing import Any

import pytest
from aiohttp import ClientSession, TCPConnector

from benchmarks.records import broken_sidecar, healthy_sidecar
from exporter.config import Config, WebConfig
from exporter.exposition import render_synced
from exporter.model import Memory, Target, TargetRecord
from exporter.poll.poll_target import PollResult
from exporter.selfmetrics.registry import SelfMetrics
from exporter.state import State
from exporter.web.application import create_app
from exporter.web.context import WebContext
from exporter.web.server import serving
from tests.web.conftest import FAMILIES, Session, state_of

KEY = healthy_sidecar(0).target.key
PROBE = {"target": str(KEY)}


async def reloaded() -> None:
    """A reload that went well."""


class Held:
    """A probe that waits until it is let go, and knows how many wait."""

    def __init__(self) -> None:
        self.waiting = 0
        self.arrived = asyncio.Condition()
        self.released = asyncio.Event()

    async def __call__(self, target: Target) -> PollResult:
        async with self.arrived:
            self.waiting += 1
            self.arrived.notify_all()
        await self.released.wait()
        return PollResult(TargetRecord(target=target), Memory(), ())

    async def are_there(self) -> None:
        """Requests that ask for the same target share a poll."""
        async with self.arrived:
            await self.arrived.wait_for(lambda: self.waiting == 1)
        await asyncio.sleep(0.2)


def limited(requests: int, probes: int) -> Config:
    return Config(web=WebConfig(max_requests=requests, max_probes=probes))


async def test_one_probe_too_many_is_refused_at_once_and_the_rest_is_served(serve: Any) -> None:
    held = Held()
    client = await serve(config=limited(10, 2), probe=held)
    probing = [asyncio.create_task(client.get("/probe", params=PROBE)) for _ in range(2)]
    await held.are_there()
    refused = await client.get("/probe", params=PROBE)
    assert refused.status == 503
    assert refused.headers["Retry-After"] == "1"
    assert "web.max_probes, 2" in await refused.text()
    assert (await client.get("/metrics")).status == 200
    held.released.set()
    assert [(await answer).status for answer in probing] == [200, 200]
    assert (await client.get("/probe", params=PROBE)).status == 200


async def test_one_request_too_many_is_refused_but_health_is_told(serve: Any) -> None:
    held = Held()
    client = await serve(config=limited(1, 1), probe=held)
    probing = asyncio.create_task(client.get("/probe", params=PROBE))
    await held.are_there()
    assert (await client.get("/metrics")).status == 503
    refused = await client.get("/api/v1/summary")
    assert (refused.status, refused.headers["Retry-After"]) == (503, "1")
    assert "web.max_requests, 1" in (await refused.json())["error"]
    assert (await client.get("/-/healthy")).status == 200
    assert (await client.get("/-/ready")).status == 200
    held.released.set()
    assert (await probing).status == 200
    assert (await client.get("/metrics")).status == 200


async def test_a_client_that_goes_away_gives_its_place_back(serve: Any) -> None:
    held = Held()
    client = await serve(config=limited(1, 1), probe=held)
    probing = asyncio.create_task(client.get("/probe", params=PROBE))
    await held.are_there()
    probing.cancel()
    held.released.set()
    assert (await client.get("/-/healthy")).status == 200
    assert (await client.get("/metrics")).status == 200


@pytest.mark.parametrize("path", ["/-/reload", "/-/healthy", "/api/v1/targets"])
async def test_a_large_body_is_refused_before_it_is_read(serve: Any, path: str) -> None:
    client = await serve(reload=reloaded)
    answer = await client.post(path, data=b"x" * 2000)
    assert answer.status == 413
    assert answer.headers["Connection"] == "close"


async def test_a_body_of_unknown_size_is_refused(serve: Any) -> None:
    async def endless() -> Any:
        yield b"x"

    assert (await (await serve()).post("/-/reload", data=endless())).status == 413


async def test_a_small_body_does_no_harm(serve: Any) -> None:
    client = await serve(reload=reloaded)
    assert (await client.post("/-/reload", data=b"{}")).status == 200


@pytest.mark.parametrize("path", ["/metrics", "/api/v1/summary"])
async def test_one_client_leaves_a_quarter_of_the_places_to_others(serve: Any, path: str) -> None:
    held = Held()
    client = await serve(config=limited(16, 8), probe=held)
    probing = [asyncio.create_task(client.get("/probe", params=PROBE)) for _ in range(6)]
    await held.are_there()
    assert (await client.get("/probe", params=PROBE)).status == 503
    assert (await client.get(path)).status == 200
    async with ClientSession(connector=TCPConnector(local_addr=("127.0.0.2", 0))) as other:
        url = client.make_url("/probe").with_query(PROBE)
        probing += [asyncio.create_task(other.get(url))]
        await held.are_there()
        held.released.set()
        for answer in probing:
            assert (await (await answer).text()).startswith("# HELP")


PAGES = ("/api/v1/targets?limit=500", "/metrics")


@pytest.mark.parametrize("path", PAGES)
async def test_an_answer_that_nobody_reads_keeps_its_place(path: str) -> None:
    records = [broken_sidecar(number) for number in range(500)]
    targets = {record.target.key: record.target for record in records}
    app = create_app(
        WebContext(
            state=state_of(*records),
            synced=State(FAMILIES, render_synced),
            self_metrics=SelfMetrics("1.2.3"),
            session=Session(limited(4, 2), targets),
        )
    )
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    loop = asyncio.get_running_loop()
    async with serving(app, listener):
        with ExitStack() as unread:
            begun: list[bytes] = []
            for wanted in (*[path] * 12, *[path] * 4, "/-/healthy"):
                if len(begun) == 12:
                    await asyncio.sleep(1)
                own = unread.enter_context(await not_reading(port, wanted))
                begun.append(await loop.sock_recv(own, 12))
    *answers, health = begun
    assert answers.count(b"HTTP/1.1 200") == 3, "a quarter of the places is for others"
    assert health == b"HTTP/1.1 200"


async def not_reading(port: int, path: str) -> socket.socket:
    """A client that has asked, and reads little."""
    own = socket.socket()
    own.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    own.setblocking(False)  # noqa: FBT003 - as sockets have it
    loop = asyncio.get_running_loop()
    await loop.sock_connect(own, ("127.0.0.1", port))
    await loop.sock_sendall(own, f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    return own
