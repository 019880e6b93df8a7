"""Targets that stay healthy are polled without tasks; all else is judged as ever."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field, replace

import pytest

from exporter.config import Config, PollConfig
from exporter.exposition import selected
from exporter.model import (
    Cadence,
    Outcome,
    Redirection,
    Role,
    Settings,
    Target,
    TargetKey,
    TargetRecord,
)
from exporter.scheduler.poll_scheduler import Scheduler
from exporter.scheduler.target_table import TargetTable
from exporter.state import State
from tests.listening import listening
from tests.scheduler.test_poll_scheduler import PAGE, Counted, agent_on, until

POLL = PollConfig(interval=0.1, timeout=0.3, hello=False)
KEY = TargetKey("shop", "web")
ADDRESS = "127.66.14.1"
HBONE, CONTROL, APPLICATION = 15008, 15999, 8080


def listener(port: int, backlog: int = 8) -> socket.socket:
    own = socket.create_server((ADDRESS, port), backlog=backlog)
    own.settimeout(0)
    return own


def has_accepted(own: socket.socket) -> bool:
    with contextlib.suppress(BlockingIOError):
        own.accept()[0].close()
        return True
    return False


@dataclass
class World:
    """A scheduler, its one target, and how many tasks its polls took."""

    table: TargetTable
    state: State
    scheduler: Scheduler
    counted: Counted = field(default_factory=Counted)
    tasks: int = 0

    @property
    def record(self) -> TargetRecord:
        found = self.state.get(KEY)
        assert found is not None
        return found

    @property
    def cause(self) -> str:
        return self.record.diagnosis.cause if self.record.diagnosis else "none"

    async def polled(self, times: int) -> None:
        wanted = len(self.counted.lateness) + times
        await until(lambda: len(self.counted.lateness) >= wanted)


@pytest.fixture
def ports() -> Iterator[dict[int, socket.socket]]:
    opened = {port: listener(port) for port in (HBONE, CONTROL, APPLICATION)}
    yield opened
    for own in opened.values():
        own.close()


WORKLOAD = Target(
    key=KEY, role=Role.AMBIENT, addresses=(ADDRESS,), captured=True, uid="web",
    settings=Settings(application_ports=(APPLICATION,)), redirection=Redirection.ENABLED,
)  # fmt: skip


@contextlib.asynccontextmanager
async def polling(target: Target = WORKLOAD, poll: PollConfig = POLL) -> AsyncIterator[World]:
    state, families = State(selected("standard", ())), selected("standard", ())
    table, counted = TargetTable(poll.interval, state, State(families)), Counted()
    scheduler = Scheduler(Config(poll=poll), table, counted.instrumentation())
    world = World(table, state, scheduler, counted)

    def counting(loop: asyncio.AbstractEventLoop, work: object, **options: object) -> object:
        world.tasks += "Scheduler._poll" in repr(work)
        return asyncio.Task(work, loop=loop, **options)  # type: ignore[arg-type]

    asyncio.get_running_loop().set_task_factory(counting)  # type: ignore[arg-type]
    running = asyncio.create_task(scheduler.run())
    table.put(target)
    await world.polled(4)
    yield world
    await scheduler.stop()
    await running
    assert world.counted.in_flight == 0


async def test_what_stays_healthy_takes_no_task_and_no_connection(
    ports: dict[int, socket.socket],
) -> None:
    async with polling() as world:
        tasks, polls = world.tasks, world.record.polls
        await world.polled(5)
        assert (world.tasks, world.cause) == (tasks, "none")
        assert world.record.polls > polls
        assert {one.port for one in world.counted.ended[-4:]} == {HBONE, CONTROL}
    assert not any(map(has_accepted, ports.values()))


async def test_what_changes_is_judged_in_the_same_poll_with_the_ports_that_were_spared(
    ports: dict[int, socket.socket],
) -> None:
    async with polling() as world:
        ports.pop(CONTROL).close()
        before = world.record.polls
        await until(lambda: world.cause != "none")
        assert world.cause == "redirection_missing"
        assert world.record.polls <= before + 2
        assert any("8080 accepts" in one for one in world.record.diagnosis.evidence)
        ports[CONTROL] = listener(CONTROL)
        await until(lambda: world.cause == "none")
        await world.polled(2)
        tasks = world.tasks
        await world.polled(3)
        assert world.tasks == tasks


@contextlib.contextmanager
def dropping(ports: dict[int, socket.socket]) -> Iterator[None]:
    """15008's queue is full, so that the kernel drops what comes."""
    ports.pop(HBONE).close()
    ports[HBONE] = listener(HBONE, backlog=0)
    waiting = [socket.create_connection((ADDRESS, HBONE))]
    yield
    for one in waiting:
        one.close()


async def test_silence_ends_at_the_deadline(ports: dict[int, socket.socket]) -> None:
    async with polling() as world:
        with dropping(ports):
            await until(lambda: world.cause == "network_blocked")
        silent = next(one for one in world.counted.ended if one.outcome is Outcome.TIMEOUT)
        assert POLL.timeout <= silent.seconds < POLL.timeout + 1


async def test_a_stop_waits_for_connects_that_run(ports: dict[int, socket.socket]) -> None:
    async with polling() as world:
        with dropping(ports):
            await until(lambda: world.counted.in_flight > 0)
            await world.scheduler.stop()
            await until(lambda: world.counted.in_flight == 0)
            assert world.counted.ended[-1].outcome in (Outcome.OK, Outcome.TIMEOUT)


async def test_polls_that_are_cancelled_are_under_way_no_more(
    ports: dict[int, socket.socket],
) -> None:
    async with polling() as world:
        with dropping(ports):
            await until(lambda: world.counted.in_flight > 0)
            await world.scheduler.stop()
            world.scheduler._steady.cancel()
            assert world.counted.in_flight == 0


@dataclass
class Agent:
    """A process on the agent's port, whose readiness answers with these bytes, or not at all."""

    ready: bytes | None = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while head := await reader.readline():
                while await reader.readline() not in (b"\r\n", b""):
                    pass
                page = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(PAGE), PAGE)
                writer.write(page if b"/stats" in head else self.ready or b"")
                if self.ready == b"":
                    break
        writer.close()


@contextlib.asynccontextmanager
async def polling_an_agent(poll: PollConfig = POLL) -> AsyncIterator[tuple[World, Agent]]:
    agent = Agent()
    async with listening(agent.serve) as port, polling(agent_on(port, KEY.pod), poll) as world:
        await until(lambda: world.record.verdicts[0].up)
        await world.polled(2)
        yield world, agent


async def test_a_get_that_brings_the_same_is_only_counted_and_what_it_took_is_served() -> None:
    async with polling_an_agent() as (world, _):
        before, tasks, ended = world.record, world.tasks, len(world.counted.ended)
        await world.polled(5)
        assert world.tasks == tasks
        assert world.record.polls >= before.polls + 4
        assert len(world.counted.ended) >= ended + 4
        assert world.record.polled[Cadence.FAST] > before.polled[Cadence.FAST]
        assert world.record.durations != before.durations
        port = world.record.verdicts[0].port
        assert (world.record.last_ok.get(port) or 0) > (before.last_ok.get(port) or 0)


async def test_polls_of_the_detail_cadence_that_are_one_get_a_port_take_no_task_either() -> None:
    poll = replace(POLL, detail_interval=0.2)
    async with polling_an_agent(poll) as (world, agent):
        before, tasks = world.record, world.tasks
        await world.polled(6)
        assert world.tasks == tasks
        assert world.record.polled[Cadence.DETAIL] > before.polled[Cadence.DETAIL]
        assert world.record.polls >= before.polls + 5
        agent.ready = None
        await until(lambda: world.record.verdicts[0].outcome is Outcome.TIMEOUT)
        assert world.tasks > tasks


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n", Outcome.NOT_READY),
        (b"HTTP/1.1 200 OK\r\nServer: nginx\r\nContent-Length: 0\r\n\r\n", Outcome.WRONG_IDENTITY),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", Outcome.WRONG_IDENTITY),
        (b"SSH-2.0\r\n", Outcome.WRONG_PROTOCOL),
        (b"", Outcome.CLOSED),
        (None, Outcome.TIMEOUT),
    ],
)
async def test_a_get_that_brings_anything_else_is_judged_in_the_same_poll(
    answer: bytes | None, outcome: Outcome
) -> None:
    async with polling_an_agent() as (world, agent):
        well, agent.ready = agent.ready, answer
        await until(lambda: world.counted.ended[-1].outcome is outcome)
        await until(lambda: world.record.verdicts[0].outcome is outcome)
        agent.ready = well
        await until(lambda: world.record.verdicts[0].outcome is Outcome.OK)
        await world.polled(2)
        tasks = world.tasks
        await world.polled(3)
        assert world.tasks == tasks
