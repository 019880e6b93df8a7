"""Chromium over a served page: the demo mesh polled for real, or records made by hand."""

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest_asyncio

from exporter.app.program import Exporter
from exporter.config import Config, load
from exporter.demo import SHIPPED, Mesh, load_states, mesh
from exporter.exposition import FAMILIES
from exporter.model import Memory, Target, TargetKey, TargetRecord
from exporter.poll.poll_target import PollResult
from exporter.selfmetrics.registry import SelfMetrics
from exporter.state import State
from exporter.web.application import create_app
from exporter.web.context import WebContext
from exporter.web.server import serving

if find_spec("playwright"):
    from playwright.async_api import Browser, Page, async_playwright

CHROMIUM = "/usr/bin/chromium"
WIDE = {"width": 1440, "height": 900}
PACE = {
    "poll.interval": "3s",
    "poll.detail_interval": "3s",
    "poll.page_interval": "3s",
    "poll.identity_interval": "15s",
    "discovery.kubernetes.enabled": False,
    "log.level": "error",
}

module_loop = {"scope": "module", "loop_scope": "module"}


def listen(port: int = 0) -> socket.socket:
    return socket.create_server(("127.0.0.1", port))


@dataclass
class Watched:
    """A page whose requests and complaints are recorded; `url` is where the exporter serves."""

    page: "Page"
    url: str
    requested: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    async def open(self, query: str = "") -> "Page":
        await self.page.goto(f"{self.url}/{query}")
        await self.page.locator("h1").wait_for()
        return self.page

    def demand_quiet(self) -> None:
        """Nothing was complained of on the console, and nothing was asked of anybody else."""
        assert self.complaints == []
        assert {url for url in self.requested if not url.startswith(f"{self.url}/")} == set()


NETWORK_CHANGED = "ERR_NETWORK_CHANGED"
"""Chromium's word when an interface of this machine comes or goes, as those of the tests' pods do.

It drops the request at hand; the page asks again at its next turn.
"""

Open = Callable[..., Awaitable[Watched]]


@pytest_asyncio.fixture(**module_loop)
async def browser() -> "AsyncIterator[Browser]":
    flags = ["--no-sandbox"] if os.geteuid() == 0 else []
    async with async_playwright() as playwright:
        launched = await playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield launched
        await launched.close()


@pytest_asyncio.fixture(loop_scope="module")
async def watch(browser: "Browser") -> AsyncIterator[Open]:
    """Opens pages on an exporter; each is closed with the test."""
    async with contextlib.AsyncExitStack() as stack:

        async def start(url: str, **options: Any) -> Watched:
            context = await browser.new_context(**{"viewport": WIDE, **options})
            stack.push_async_callback(context.close)
            watched = Watched(await context.new_page(), url)
            watched.page.on("request", lambda request: watched.requested.append(request.url))
            watched.page.on("pageerror", lambda error: watched.complaints.append(str(error)))
            watched.page.on(
                "console",
                lambda said: (
                    said.type in ("error", "warning")
                    and NETWORK_CHANGED not in said.text
                    and watched.complaints.append(said.text)
                ),
            )
            return watched

        yield start


@dataclass
class Demo:
    """The demo mesh and an exporter that watches it, which can be stopped and started again."""

    built: Mesh
    port: int = 0
    exporter: Exporter | None = None
    running: "asyncio.Task[None] | None" = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        listener = listen(self.port)
        self.port = listener.getsockname()[1]
        config = load(None, {"web.listen_address": self.url.removeprefix("http://"), **PACE})
        targets = [pod.target for pod in self.built.pods]
        self.exporter = Exporter(lambda: config, Path(), targets, listener)
        started = asyncio.get_running_loop().create_future()
        self.running = asyncio.create_task(self.exporter.run(started.set_result))
        await started

    async def stop(self) -> None:
        if self.running:
            self.running.cancel()
            await asyncio.wait({self.running})

    async def knows(self, pod: str, cause: str) -> None:
        """Wait until this is the pod's cause."""
        key = next(p.target.key for p in self.built.pods if p.name == pod)
        async with asyncio.timeout(90):
            while self._cause(key) != cause:  # noqa: ASYNC110 - polls need not know of tests
                await asyncio.sleep(0.1)

    def _cause(self, key: TargetKey) -> str:
        record = self.exporter.state.get(key) if self.exporter else None
        return record.diagnosis.cause if record and record.diagnosis else ""


@pytest_asyncio.fixture(**module_loop)
async def demo() -> AsyncIterator[Demo]:
    async with mesh(load_states(SHIPPED), earlier=False) as built:
        running = Demo(built)
        await running.start()
        yield running
        await running.stop()


@dataclass
class Stage:
    """A served page over records made by hand; what it says may change between two refreshes."""

    url: str
    state: State
    targets: dict[TargetKey, Target]
    unseen: tuple[str, ...] = ()

    def put(self, *records: TargetRecord) -> None:
        for record in records:
            self.targets[record.target.key] = record.target
            self.state.put(record, time.time() + 600)


@pytest_asyncio.fixture(loop_scope="module")
async def stage() -> AsyncIterator[Stage]:
    listener = listen()
    built = Stage(f"http://127.0.0.1:{listener.getsockname()[1]}", State(FAMILIES), {})
    context = WebContext(
        state=built.state,
        synced=State(FAMILIES),
        self_metrics=SelfMetrics("1.2.3"),
        session=_Session(built),
    )
    async with serving(create_app(context), listener):
        yield built


class _Session:
    """What one configuration decides, of a stage."""

    config = Config()
    is_healthy = is_ready = True

    def __init__(self, shown: Stage) -> None:
        self._stage = shown

    @property
    def targets(self) -> dict[TargetKey, Target]:
        return dict(self._stage.targets)

    async def unseen(self) -> tuple[str, ...]:
        return self._stage.unseen

    async def probe(self, target: Target) -> PollResult:
        return PollResult(TargetRecord(target=target), Memory(), ())
