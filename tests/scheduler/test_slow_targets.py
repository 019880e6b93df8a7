"""Slots follow time: neither slow pages nor silent targets delay the others."""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import pytest

from exporter.config import PollConfig
from exporter.model import AgentFacts, Observation, Outcome, Role, Settings, Target, TargetKey
from tests.listening import listening
from tests.scheduler.test_poll_scheduler import PAGE, POLL, agent_on, polling, until

pytestmark = pytest.mark.alone


def slow_agent(page_seconds: float, health_seconds: float = 0.0) -> object:
    """An agent whose page, or whose health, takes its time."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readline():
            while await reader.readline() not in (b"\r\n", b""):
                pass
            is_page = b"/stats" in head
            await asyncio.sleep(page_seconds if is_page else health_seconds)
            body = PAGE if is_page else b""
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        writer.close()

    return serve


def pages(ended: Sequence[Observation]) -> Counter[str]:
    """How often each target's page was read, by its address."""
    return Counter(
        o.address for o in ended if isinstance(o.facts, AgentFacts) and o.facts.page is Outcome.OK
    )


def late(lateness: Sequence[float], seconds: float) -> float:
    return sum(one > seconds for one in lateness) / len(lateness)


def at(number: int, port: int) -> Target:
    return replace(
        agent_on(port, f"agent-{number}"),
        addresses=(f"127.0.{9 + number // 250}.{number % 250 + 1}",),
    )


async def test_slow_pages_are_read_in_turn_and_delay_no_poll() -> None:
    """Thirty pages of 0.4 s are due every 2 s and two can be read at once: a third of them."""
    poll = replace(POLL, interval=0.5, detail_interval=2.0, timeout=0.1, concurrency=8)
    async with (
        listening(slow_agent(0.4), "0.0.0.0") as port,  # type: ignore[arg-type]
        polling(poll) as (table, state, counted),
    ):
        for number in range(30):
            table.put(at(number, port))
        await until(lambda: len(pages(counted.ended)) == 30, 15)
        assert max(pages(counted.ended).values()) <= 2, "nobody is read twice before all others"
        assert late(counted.lateness, 0.25) < 0.05
        assert counted.skips == 0
        assert len(counted.lateness) > 25 * 30 * 0.4 / 2 / 0.5
        records = [record for record in state.records() if record.proxy.agent_scrape_failures]
        assert all(record.verdicts[0].up for record in records)


async def test_slow_answers_share_their_slots_with_silence() -> None:
    poll = replace(POLL, interval=0.4, timeout=0.3, concurrency=4)
    async with (
        listening(slow_agent(0.0, 0.2), "0.0.0.0") as slow,  # type: ignore[arg-type]
        listening(slow_agent(0.0), "0.0.0.0") as port,  # type: ignore[arg-type]
        polling(poll) as (table, _, counted),
    ):
        for number in range(20):
            table.put(at(number, slow))
            table.put(replace(at(20 + number, port), uid=f"quick-{number}"))
        await asyncio.sleep(2.0)
        before = len(counted.ended)
        await asyncio.sleep(2.0)
        quick = sum(o.port == port for o in counted.ended[before:])
        slowly = sum(o.port == slow for o in counted.ended[before:])
    assert quick > 20 * 2.0 / 0.4 * 0.8, "all of them in time"
    assert 0 < slowly < quick / 2


@pytest.mark.slow
async def test_two_thousand_black_holes_of_four_thousand_are_polled_in_every_interval() -> None:
    async def silence(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    def target(number: int, port: int, kind: str) -> Target:
        return Target(
            key=TargetKey("shop", f"{kind}-{number}"),
            role=Role.PROXYLESS,
            addresses=(f"127.1.{number // 250}.{number % 250 + 1}",),
            settings=Settings(status_port=port),
            uid=f"{kind}-{number}",
        )

    async with (
        listening(slow_agent(0.0), "0.0.0.0") as port,  # type: ignore[arg-type]
        listening(silence, "0.0.0.0") as hole,
        polling(PollConfig()) as (table, state, counted),
    ):
        for number in range(2000):
            table.put(target(number, port, "agent"))
            table.put(target(number, hole, "hole"))
        await asyncio.sleep(40)
        assert len([*state.records()]) == 4000
        counted.ended.clear()
        counted.lateness.clear()
        await asyncio.sleep(30)
        polled = Counter(o.port for o in counted.ended)
        assert polled[hole] >= 1950
        assert polled[port] >= 1950
        assert late(counted.lateness, 1.0) < 0.01
        assert counted.skips == 0
        assert {o.outcome for o in counted.ended if o.port == hole} == {Outcome.TIMEOUT}
        found = Counter(record.diagnosis and record.diagnosis.cause for record in state.records())
        assert found == {None: 2000, "agent_stuck": 2000}


async def test_pages_that_all_become_due_at_once_have_slots_of_their_own_too() -> None:
    """All agents stop being ready, so that each poll would read a page: of 0.4 s."""
    is_ready = True

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readline():
            while await reader.readline() not in (b"\r\n", b""):
                pass
            if b"/stats" in head:
                await asyncio.sleep(0.4)
            status = b"200 OK" if is_ready or b"/stats" in head else b"503 X"
            body = PAGE if b"/stats" in head else b""
            head = b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n" % (status, len(body))
            writer.write(head + body)
        writer.close()

    poll = replace(
        POLL, interval=0.5, detail_interval=60.0, page_interval=60.0, timeout=0.1, concurrency=8
    )
    async with listening(serve, "0.0.0.0") as port, polling(poll) as (table, _, counted):  # type: ignore[arg-type]
        for number in range(30):
            table.put(at(number, port))
        await until(lambda: len(pages(counted.ended)) == 30, 15)
        counted.lateness.clear()
        is_ready = False
        await asyncio.sleep(2.5)
        assert late(counted.lateness, 0.25) < 0.05
        assert len(counted.lateness) > 30 * 2.5 / 0.5 * 0.8
        assert sum(pages(counted.ended).values()) > 30, "some have been read"


async def test_targets_that_begin_together_are_polled_once_each_in_turn() -> None:
    """Their plans take all of the loop's time: who started early would only keep a slot and wait.

    Pages would find no slots then, and be made up for in a second poll of each target.
    """

    def busy(_target: Target) -> None:
        ends = time.thread_time() + 0.003
        while time.thread_time() < ends:
            pass

    poll = replace(POLL, interval=0.2, detail_interval=60.0, page_interval=60.0, concurrency=512)
    async with (
        listening(slow_agent(0.0), "0.0.0.0") as port,  # type: ignore[arg-type]
        polling(poll, busy) as (table, _, counted),
    ):
        for number in range(400):
            table.put(at(number, port))
        await until(lambda: table.is_warm, 30)
        assert not table.owed
        assert len(counted.lateness) < 400 * 1.4
        assert len(pages(counted.ended)) == 400
