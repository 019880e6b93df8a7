"""Workloads in ambient that stay healthy are polled without tasks; all else is judged as ever."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field

import pytest

from exporter.config import Config, PollConfig
from exporter.exposition import selected
from exporter.model import Outcome, Redirection, Role, Settings, Target, TargetKey, TargetRecord
from exporter.scheduler.poll_scheduler import Scheduler
from exporter.scheduler.target_table import TargetTable
from exporter.state import State
from tests.scheduler.test_poll_scheduler import Counted, until

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
    """A scheduler, its one workload, and how many tasks its polls took."""

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


@contextlib.asynccontextmanager
async def polling() -> AsyncIterator[World]:
    state, families = State(selected("standard", ())), selected("standard", ())
    table, counted = TargetTable(POLL.interval, state, State(families)), Counted()
    scheduler = Scheduler(Config(poll=POLL), table, counted.instrumentation())
    world = World(table, state, scheduler, counted)

    def counting(loop: asyncio.AbstractEventLoop, work: object, **options: object) -> object:
        world.tasks += "Scheduler._poll" in repr(work)
        return asyncio.Task(work, loop=loop, **options)  # type: ignore[arg-type]

    asyncio.get_running_loop().set_task_factory(counting)  # type: ignore[arg-type]
    running = asyncio.create_task(scheduler.run())
    settings = Settings(application_ports=(APPLICATION,))
    table.put(
        Target(
            key=KEY, role=Role.AMBIENT, addresses=(ADDRESS,), captured=True, settings=settings,
            uid="web", redirection=Redirection.ENABLED,
        )
    )  # fmt: skip
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
