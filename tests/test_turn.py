"""What one turn of the event loop does is bounded, whoever does it."""

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor

import pytest

from exporter.turn import TICK_SECONDS, Turn, current_turn, in_thread, some_of, until_tick

WORK_SECONDS = 0.001
TASKS = 40
LONGEST_SECONDS = 0.010
"""Of 40 ms that forty tasks want at once."""


def work() -> None:
    until = time.monotonic() + WORK_SECONDS
    while time.monotonic() < until:
        pass


async def longest_turn(*tasks: "asyncio.Task[None]") -> float:
    longest = 0.0
    while not all(task.done() for task in tasks):
        began = time.thread_time()
        await asyncio.sleep(0)
        longest = max(longest, time.thread_time() - began)
    return longest


async def end_in_a_task(ended: list[int], number: int) -> None:
    await current_turn().wait()
    work()
    ended.append(number)


async def end_in_a_callback(ended: list[int], number: int) -> None:
    done = asyncio.Event()

    def end() -> None:
        work()
        ended.append(number)
        done.set()

    asyncio.get_running_loop().call_soon(current_turn().call, end)
    await done.wait()


async def go_through_some(ended: list[int], number: int) -> None:
    for _ in range(3):
        work()
        await current_turn().maybe_yield()
    ended.append(number)


@pytest.mark.parametrize("end", [end_in_a_task, end_in_a_callback])
async def test_what_ends_at_once_goes_on_in_many_turns_in_its_order(
    end: Callable[[list[int], int], Coroutine[None, None, None]],
) -> None:
    ended: list[int] = []
    tasks = [asyncio.create_task(end(ended, number)) for number in range(TASKS)]
    assert await longest_turn(*tasks) < LONGEST_SECONDS
    assert ended == list(range(TASKS))


async def test_who_comes_alone_does_not_wait() -> None:
    turn, turns = Turn(), []
    asyncio.get_running_loop().call_soon(turns.append, 1)
    await turn.wait()
    await turn.maybe_yield()
    turn.call(lambda: turns.append(2))
    assert turns == [2]


async def test_tasks_and_callbacks_and_long_work_share_a_turn() -> None:
    ended: list[int] = []
    kinds = (end_in_a_task, end_in_a_callback, go_through_some)
    tasks = [asyncio.create_task(kinds[at % 3](ended, at)) for at in range(TASKS)]
    assert await longest_turn(*tasks) < LONGEST_SECONDS * 2
    assert sorted(ended) == list(range(TASKS))


async def test_work_without_end_keeps_nobody_waiting_for_long() -> None:
    """Each of three has its turns, and so have those that come once."""

    async def go_on(rows: list[int]) -> None:
        while True:
            work()
            rows[0] += 1
            await current_turn().maybe_yield()

    counts = [[0], [0], [0]]
    endless = [asyncio.create_task(go_on(rows)) for rows in counts]
    ended: list[int] = []
    for number in range(TASKS):
        kind = end_in_a_callback if number % 2 else end_in_a_task
        await asyncio.wait_for(kind(ended, number), 1)
    for task in endless:
        task.cancel()
    assert min(counts)[0] * 2 > max(counts)[0]


async def test_who_is_cancelled_in_line_costs_the_others_nothing() -> None:
    ended: list[int] = []
    tasks = [asyncio.create_task(end_in_a_task(ended, number)) for number in range(TASKS)]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    await asyncio.wait(tasks)
    assert ended[-3:] == [35, 37, 39]
    assert not any(task.cancelled() for task in tasks[1::2])


async def test_a_few_of_very_many_rows_are_found_in_their_order_and_nobody_waits_for_long() -> None:
    def is_wanted(number: int) -> bool:
        if not number % 100:
            work()
        return not number % 7

    rows = range(TASKS * 100)
    finding = asyncio.create_task(some_of(rows, is_wanted))
    assert await longest_turn(finding) < LONGEST_SECONDS  # type: ignore[arg-type]
    assert finding.result() == list(rows[::7])


async def test_sleepers_wake_up_in_the_same_moments() -> None:
    moments = []
    for seconds in (0.0, 0.1, 0.9, 7.3):
        now = time.monotonic()
        wakes = now + until_tick(seconds)
        assert seconds <= wakes - now < seconds + TICK_SECONDS + 0.01
        moments.append(wakes % TICK_SECONDS)
        await asyncio.sleep(0.01)
    assert max(moments) - min(moments) < 0.001


async def test_what_no_further_thread_can_be_started_for_is_done_at_once_and_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The executor keeps what it cannot start a thread for, and its busy thread would do it too."""

    def no_more(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    executor, busy, done = ThreadPoolExecutor(2), threading.Event(), []
    asyncio.get_running_loop().set_default_executor(executor)
    first = asyncio.create_task(in_thread(busy.wait, 10.0))
    await asyncio.sleep(0)
    with monkeypatch.context() as system:
        system.setattr(threading.Thread, "start", no_more)
        for number in range(3):
            await in_thread(done.append, number)
    busy.set()
    assert await first
    assert await in_thread(lambda: threading.current_thread() is not threading.main_thread())
    with pytest.raises(ZeroDivisionError):
        await in_thread(lambda: 1 / 0)
    assert done == [0, 1, 2]
