"""The poller against real listeners, with short intervals and no fake clock."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial

import pytest

from exporter.config import Config, PollConfig
from exporter.exposition import selected
from exporter.model import Lifecycle, Observation, Role, Settings, Target, TargetKey, Timed
from exporter.poll.plan import PodViewFactory, no_pod_view, plan_of
from exporter.poll.poll_steps import ProbeInstrumentation
from exporter.probes.direct_runs import DirectRun
from exporter.scheduler.poll_scheduler import Scheduler
from exporter.scheduler.target_table import TargetTable
from exporter.state import State
from tests.listening import listening
from tests.until import until

POLL = PollConfig(interval=0.2, detail_interval=0.4, identity_interval=3600.0, timeout=0.1)
FAMILIES = selected("standard", ())

PAGE = b"istio_agent_scrapes_total 1\nistio_agent_startup_duration_seconds 2\n"


@dataclass
class Counted:
    """What the poller reported."""

    ended: list[Observation] = field(default_factory=list)
    lateness: list[float] = field(default_factory=list)
    skips: int = 0
    in_flight: int = 0

    def instrumentation(self) -> ProbeInstrumentation:
        return ProbeInstrumentation(
            self._under_way, self._probed, self.lateness.append, self._skipped
        )

    def _under_way(self, more: int) -> None:
        self.in_flight += more

    def _probed(self, probes: Sequence[Timed], _role: Role) -> None:
        for one in probes:
            seen = one.observation() if isinstance(one, DirectRun) else one
            assert isinstance(seen, Observation)
            self.ended.append(seen)

    def _skipped(self) -> None:
        self.skips += 1


async def _agent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while head := await reader.readline():
        while await reader.readline() not in (b"\r\n", b""):
            pass
        body = PAGE if b"/stats" in head else b""
        answer = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
        writer.write(answer)


async def _silence(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    await reader.read()


@asynccontextmanager
async def polling(
    poll: PollConfig = POLL, pod_view: PodViewFactory = no_pod_view
) -> AsyncIterator[tuple[TargetTable, State, Counted]]:
    state, counted = State(FAMILIES), Counted()
    table = TargetTable(poll.interval, state, State(FAMILIES))
    make_plan = partial(plan_of, forward=pod_view)
    scheduler = Scheduler(Config(poll=poll), table, counted.instrumentation(), make_plan)
    running = asyncio.create_task(scheduler.run())
    try:
        yield table, state, counted
    finally:
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running


def agent_on(port: int, pod: str = "agent") -> Target:
    return Target(
        key=TargetKey("shop", pod),
        role=Role.PROXYLESS,
        addresses=("127.0.0.1",),
        settings=Settings(status_port=port),
        uid=pod,
    )


async def test_a_target_is_polled_again_and_again_and_published() -> None:
    async with listening(_agent) as port, polling() as (table, state, counted):
        table.put(agent_on(port))
        await until(lambda: len(counted.lateness) >= 4)
        record = state.get(TargetKey("shop", "agent"))
        assert record is not None
        assert {v.port: v.up for v in record.verdicts} == {port: True}
        assert record.ready == {"agent": True}
        assert table.is_warm
    assert counted.skips == 0
    assert counted.in_flight == 0


async def test_the_agents_page_is_requested_at_a_cadence_of_its_own() -> None:
    poll = replace(POLL, page_interval=0.4)
    async with listening(_agent) as port, polling(poll) as (table, _, counted):
        table.put(agent_on(port))
        await until(lambda: len(counted.ended) >= 6)
    pages = [bool(o.facts and o.facts.metrics) for o in counted.ended]  # type: ignore[union-attr]
    assert pages[0], "the first look asks everything"
    assert 0.3 < sum(pages) / len(pages) < 0.8


@pytest.mark.parametrize(
    ("life", "is_trouble"),
    [
        (Lifecycle(container_ready=True, started=1.0), True),
        (Lifecycle(), True),
        (Lifecycle(terminating=True), False),
        (Lifecycle(container_ready=False), False),
    ],
    ids=["it runs", "nobody said", "it is being deleted", "it has ended"],
)
async def test_a_pod_that_cannot_be_entered_is_trouble_unless_it_ends(
    life: Lifecycle, *, is_trouble: bool
) -> None:
    async with listening(_agent) as port, polling() as (table, state, _):
        table.put(replace(agent_on(port), netns="no-such-namespace", lifecycle=life))
        await until(lambda: len([*state.records()]) == 1)
        assert ("no-such-namespace" in table.pod_view_error) == is_trouble


async def test_a_dropped_target_is_forgotten_at_once() -> None:
    async with listening(_agent) as port, polling() as (table, state, counted):
        table.put(agent_on(port))
        await until(lambda: len([*state.records()]) == 1)
        table.drop(TargetKey("shop", "agent"))
        assert len([*state.records()]) == 0
        polls = len(counted.lateness)
        await asyncio.sleep(0.5)
        assert len([*state.records()]) == 0
        assert len(counted.lateness) == polls


async def test_a_target_dropped_during_its_look_stays_forgotten() -> None:
    async with listening(_silence) as port, polling() as (table, state, counted):
        table.put(agent_on(port))
        await until(lambda: len(counted.lateness) == 1)
        table.drop(TargetKey("shop", "agent"))
        await asyncio.sleep(0.4)
        assert len([*state.records()]) == 0


async def test_a_target_put_again_is_polled_once_an_interval() -> None:
    async with listening(_agent) as port, polling() as (table, _, counted):
        for _ in range(5):
            table.put(agent_on(port))
            table.drop(TargetKey("shop", "agent"))
        table.put(agent_on(port))
        await asyncio.sleep(1.1)
        assert 4 <= len(counted.lateness) <= 6


async def test_a_new_address_starts_the_memory_anew() -> None:
    async with listening(_agent) as port, polling() as (table, state, _):
        table.put(agent_on(port))
        await until(lambda: len([*state.records()]) == 1)
        table.put(replace(agent_on(port), addresses=("127.0.0.2",)))
        key = TargetKey("shop", "agent")
        await until(lambda: (r := state.get(key)) is not None and r.verdicts[0].up is False)
        assert table.targets[key].addresses == ("127.0.0.2",)


@pytest.mark.alone
async def test_black_holes_do_not_delay_the_others() -> None:
    poll = replace(POLL, concurrency=4, timeout=0.15)
    async with (
        listening(_agent) as port,
        listening(_silence) as hole,
        polling(poll) as (table, state, counted),
    ):
        for n in range(20):
            table.put(agent_on(hole, f"hole-{n}"))
        for n in range(20):
            table.put(agent_on(port, f"agent-{n}"))
        await until(lambda: len([*state.records()]) == 40, seconds=15)
        start = len(counted.ended)
        await asyncio.sleep(1.0)
        answered = sum(o.port == port for o in counted.ended[start:])
        assert answered >= 20 * 1.0 / poll.interval * 0.7
        holes = [TargetKey("shop", f"hole-{n}") for n in range(20)]
        await until(
            lambda: all((r := state.get(one)) and r.verdicts[0].up is False for one in holes),
            seconds=15,
        )


async def test_a_look_that_is_still_busy_is_counted_as_skipped() -> None:
    poll = replace(POLL, interval=0.05, detail_interval=0.05, timeout=0.04, concurrency=1)
    async with listening(_silence) as hole, polling(poll) as (table, _, counted):
        for n in range(4):
            table.put(agent_on(hole, f"hole-{n}"))
        await until(lambda: counted.skips > 3)


async def test_samples_outlast_looks_that_take_longer_than_the_interval() -> None:
    poll = replace(POLL, interval=0.05, detail_interval=0.05, timeout=0.4)
    async with listening(_silence) as hole, polling(poll) as (table, state, counted):
        table.put(agent_on(hole))
        await until(lambda: len([*state.records()]) == 1)
        told = []
        while len(counted.lateness) < 4:
            told.append(len(state.blocks(time.time())))
            await asyncio.sleep(0.01)
    assert set(told) == {1}


async def test_a_change_of_diagnosis_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "exporter.scheduler")
    async with listening(_silence) as hole, polling() as (table, _, counted):
        table.put(agent_on(hole))
        await until(lambda: len(counted.ended) >= 4)
    changes = [r.getMessage() for r in caplog.records if "diagnosis changed" in r.getMessage()]
    assert len(changes) == 1


async def test_a_loop_that_never_catches_up_is_alive() -> None:
    """More falls due than can be done: what is late is counted, and nobody restarts us for it."""
    poll = replace(POLL, interval=0.01, detail_interval=0.01)
    table = TargetTable(poll.interval, State(FAMILIES), State(FAMILIES))
    counted = Counted()
    scheduler = Scheduler(Config(poll=poll), table, counted.instrumentation())
    async with listening(_agent) as port:
        for number in range(300):
            table.put(agent_on(port, f"agent-{number}"))
        running = asyncio.create_task(scheduler.run())
        await until(lambda: len(counted.lateness) > 300)
        ticks = []
        for _ in range(20):
            ticks.append(scheduler._last_tick)
            assert scheduler.is_live
            await asyncio.sleep(0.02)
        running.cancel()
        await asyncio.wait({running})
    assert len(set(ticks)) > 5
