"""A probe that raises: its poll ends, its slot comes back, and the target is polled again."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from functools import partial
from typing import Any

import pytest

from exporter.config import Config, PollConfig
from exporter.exposition import selected
from exporter.model import Cadence, Role, SocketTable, Target, TargetKey, View
from exporter.poll.plan import Plan, plan_of
from exporter.poll.poll_steps import ProbeInstrumentation
from exporter.scheduler.poll_scheduler import Scheduler
from exporter.scheduler.target_table import ScheduledTarget, TargetTable
from exporter.state import State

POLL = PollConfig(interval=0.1, timeout=0.05, concurrency=2)


class CustomError(BaseException):
    """What no `except Exception` catches."""


class Faulty:
    """A way into a pod on which connecting does what it is told; counts how often it was asked."""

    view = View.POD
    address = "127.0.0.1"
    reports_accept = True
    needs_attention = False

    def __init__(self, fault: Callable[[], Awaitable[Any]]) -> None:
        self._fault = fault
        self.entries = 0

    def entered(
        self, _together: Sequence[int], _apart: Sequence[int], *, urgent: bool
    ) -> AbstractAsyncContextManager["Faulty"]:
        del urgent
        self.entries += 1
        return nullcontext(self)

    def seconds_between_views(self) -> float:
        return 0.0

    async def connect(self, _port: int, _factory: Callable[[], Any]) -> Any:
        return await self._fault()

    async def datagram(self, _port: int, _factory: Callable[[], Any]) -> Any:
        return await self._fault()

    async def sockets(self) -> SocketTable:
        return await self._fault()  # type: ignore[no-any-return]


def target(pod: str) -> Target:
    return Target(key=TargetKey("shop", pod), role=Role.GATEWAY, addresses=("127.0.0.1",), uid=pod)


def raising(error: BaseException, seconds: float | None) -> Callable[[], Awaitable[Any]]:
    async def fault() -> Any:
        if seconds is not None:
            await asyncio.sleep(seconds)
        raise error

    return fault


async def timed() -> None:
    async with asyncio.timeout(0.01):
        await asyncio.sleep(5)


async def cancels_all() -> None:
    """Cancel whatever task polls, as far as anybody can find it."""
    for task in asyncio.all_tasks():
        if "Scheduler._poll" in repr(task):
            task.cancel()
    await asyncio.sleep(5)


FAULTS = {
    **{
        f"{type(error).__name__} after {seconds}": raising(error, seconds)
        for error in (
            ValueError("x"),
            RecursionError(),
            MemoryError(),
            asyncio.CancelledError(),
            CustomError(),
            GeneratorExit(),
        )
        for seconds in (None, 0, 0.01)
    },
    "asyncio.timeout": timed,
    "cancelled from within": cancels_all,
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
async def test_a_faulty_probe_never_keeps_its_slot(
    fault: Callable[[], Awaitable[Any]], caplog: pytest.LogCaptureFixture
) -> None:
    views = {name: Faulty(fault) for name in "abcd"}
    families = selected("standard")
    table = TargetTable(POLL.interval, State(families), State(families))
    make_plan = partial(plan_of, forward=lambda t: views[t.key.pod])
    scheduler = Scheduler(Config(poll=POLL), table, make_plan=make_plan)
    for name in views:
        table.put(target(name))
    running = asyncio.create_task(scheduler.run())
    async with asyncio.timeout(10):
        while min(view.entries for view in views.values()) < 4:  # noqa: ASYNC110 - views have no event
            await asyncio.sleep(0.01)
    assert not running.done()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    errors = [record for record in caplog.records if record.levelname == "ERROR"]
    kinds = {(record.getMessage(), record.exc_info and record.exc_info[0]) for record in errors}
    assert len(errors) == len(kinds)
    assert errors


async def test_a_target_that_cannot_be_planned_costs_its_own_poll_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    polled: list[str] = []
    failed: list[str] = []

    def pod_view(one: Target) -> None:
        if one.key.pod == "hostile":
            raise RecursionError
        polled.append(one.key.pod)

    families = selected("standard")
    table = TargetTable(POLL.interval, State(families), State(families))
    counted = ProbeInstrumentation(failed=lambda: failed.append("hostile"))
    scheduler = Scheduler(Config(poll=POLL), table, counted, partial(plan_of, forward=pod_view))
    for name in ("hostile", "honest"):
        table.put(target(name))
    running = asyncio.create_task(scheduler.run())
    async with asyncio.timeout(10):
        while len(failed) < 3 or not table.is_warm:  # noqa: ASYNC110 - the table has no event for it
            await asyncio.sleep(0.01)
    assert not running.done()
    assert polled == ["honest"]
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    errors = [record for record in caplog.records if record.levelname == "ERROR"]
    assert [record.getMessage() for record in errors] == ["poll failed target=shop/hostile"]


@pytest.mark.parametrize("is_made_up", [True, False])
async def test_a_failed_poll_counts_if_it_was_due(is_made_up: object) -> None:
    """The slower cadences come every so many polls: one that is made up for would shift them."""
    failed = asyncio.Event()

    def make_plan(_target: Target, _config: Config) -> Plan:
        raise RecursionError

    families = selected("standard")
    table = TargetTable(POLL.interval, State(families), State(families))
    counted = ProbeInstrumentation(failed=failed.set)
    scheduler = Scheduler(Config(poll=POLL), table, counted, make_plan)
    row = ScheduledTarget(target("hostile"), 0, due=0.0, polls=4, owed=frozenset({Cadence.DETAIL}))
    if is_made_up:
        table.owed.append(row)
    else:
        table.put_back(row, 1.0)
    running = asyncio.create_task(scheduler.run())
    await asyncio.wait_for(failed.wait(), 10)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert row.polls == 4 + (not is_made_up)
