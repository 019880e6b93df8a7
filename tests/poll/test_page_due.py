"""When the agent's page is requested, by an agent that answers and counts."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from exporter.config import Config
from exporter.model import (
    EVERY_CADENCE,
    FAST_ONLY,
    Cadence,
    Memory,
    Role,
    Settings,
    Target,
    TargetKey,
)
from exporter.poll.poll_target import PollResult, poll_once
from tests.listening import listening

NOW = 1_800_000_000.0
DETAIL = FAST_ONLY | {Cadence.DETAIL}
PAGE = FAST_ONLY | {Cadence.PAGE}
METRICS = b"istio_agent_startup_duration_seconds 1\n"


@dataclass
class Agent:
    """An agent whose readiness, page and length of page can be set."""

    port: int = 0
    status: int = 200
    page: bytes = METRICS
    mebibytes: int = 0
    requested: int = 0

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            if b"/stats/" in head:
                await self._send_page(writer)
            else:
                writer.write(b"HTTP/1.1 %d X\r\ncontent-length: 0\r\n\r\n" % self.status)

    async def _send_page(self, writer: asyncio.StreamWriter) -> None:
        self.requested += 1
        rest = b"z_total 1\n" * 104_858
        length = len(self.page) + self.mebibytes * len(rest)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (length, self.page))
        for _ in range(self.mebibytes):
            writer.write(rest)
            await writer.drain()


Poll = Callable[[float, frozenset[Cadence]], Awaitable[PollResult]]


@asynccontextmanager
async def polled_agent() -> AsyncIterator[tuple[Agent, Poll]]:
    agent, memory = Agent(), Memory()
    async with listening(agent.answer) as agent.port:
        target = Target(
            key=TargetKey("shop", "grpc"),
            role=Role.PROXYLESS,
            addresses=("127.0.0.1",),
            settings=Settings(status_port=agent.port),
        )

        async def poll(seconds: float, due: frozenset[Cadence] = FAST_ONLY) -> PollResult:
            nonlocal memory
            seen = await poll_once(target, memory, due, Config(), NOW + seconds)
            memory = seen.memory
            return seen

        yield agent, poll


async def test_a_healthy_agents_page_is_requested_at_its_own_cadence_only() -> None:
    async with polled_agent() as (agent, poll):
        for number, due in enumerate((EVERY_CADENCE, FAST_ONLY, DETAIL, FAST_ONLY, DETAIL, PAGE)):
            seen = await poll(120.0 * number, due)
            assert seen.record.diagnosis is None
    assert agent.requested == 2


async def test_the_first_abnormal_poll_requests_the_page_at_once_and_then_as_details_are() -> None:
    async with polled_agent() as (agent, poll):
        await poll(0, EVERY_CADENCE)
        agent.status, counts = 503, []
        for number in range(1, 10):
            seen = await poll(30.0 * number, FAST_ONLY)
            counts.append(agent.requested)
            assert seen.record.diagnosis
        agent.status = 200
        for number in range(10, 20):
            seen = await poll(30.0 * number, FAST_ONLY)
        assert seen.record.diagnosis is None
    assert counts == [2, 2, 2, 2, 3, 3, 3, 3, 4]
    assert agent.requested == 4


async def test_an_agent_that_nothing_has_proved_is_requested_again_as_details_are() -> None:
    async with polled_agent() as (agent, poll):
        agent.page = b""
        await poll(0, FAST_ONLY)
        assert agent.requested == 0
        for number in range(1, 5):
            await poll(30.0 * number, FAST_ONLY)
    assert agent.requested == 1


GROWING = {
    "once": ([1, 1], 0, 3),
    "again soon": ([1, 2], 1, 4),
}


@pytest.mark.parametrize(("counts", "causes", "pages"), GROWING.values(), ids=GROWING)
async def test_a_counter_that_grew_between_pages_far_apart_is_read_again_soon(
    counts: list[int], causes: int, pages: int
) -> None:
    async with polled_agent() as (agent, poll):
        counter = METRICS + b'istio_agent_scrape_failures_total{type="application"} %d\n'
        agent.page = counter % 0
        await poll(0, EVERY_CADENCE)
        agent.page = counter % counts[0]
        first = await poll(600, PAGE)
        assert first.record.diagnosis is None
        agent.page = counter % counts[1]
        found = [(await poll(600 + 30.0 * n, FAST_ONLY)).record.diagnosis for n in range(1, 12)]
        assert {cause.cause for cause in found if cause} == (
            {"application_metrics_broken"} if causes else set()
        )
        assert found[-1] is None
        assert agent.requested == pages


async def test_a_page_that_is_too_large_waits_twice_as_long_each_time_up_to_six_hours() -> None:
    async with polled_agent() as (agent, poll):
        agent.mebibytes, agent.page = 33, METRICS + b"process_threads 1\n"
        requested = []
        for minute in range(0, 24 * 60, 10):
            before = agent.requested
            seen = await poll(60.0 * minute, EVERY_CADENCE if minute == 0 else PAGE)
            if agent.requested > before:
                requested.append(minute)
            assert seen.memory.agent, "what came first is kept"
            assert seen.record.diagnosis is None
    waits = [later - earlier for earlier, later in itertools.pairwise(requested)]
    assert waits == [20, 40, 80, 160, 320, 360, 360]
