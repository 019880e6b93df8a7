"""What holds the event loop is cut into slices."""

import asyncio
import time

from exporter.yielder import TurnLimit, Yielder

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


async def test_tasks_that_end_at_once_go_on_in_many_turns() -> None:
    turn, ended = TurnLimit(), []

    async def end(number: int) -> None:
        await turn.wait()
        work()
        ended.append(number)

    tasks = [asyncio.create_task(end(number)) for number in range(TASKS)]
    assert await longest_turn(*tasks) < LONGEST_SECONDS
    assert ended == list(range(TASKS))


async def test_who_comes_alone_does_not_wait() -> None:
    turn, turns = TurnLimit(), []
    asyncio.get_running_loop().call_soon(turns.append, 1)
    await turn.wait()
    assert turns == []


async def test_one_long_piece_of_work_lets_others_have_their_turn() -> None:
    async def go_through_all() -> None:
        yielder = Yielder()
        for _ in range(TASKS):
            work()
            await yielder.maybe_yield()

    assert await longest_turn(asyncio.create_task(go_through_all())) < LONGEST_SECONDS
