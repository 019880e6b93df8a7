"""A result that is set once and awaited by one."""

import asyncio
from collections.abc import Callable

import pytest

from exporter.transport.waiter import Waiter
from tests.transport.conftest import result_of

SETS: dict[str, Callable[[Waiter[int]], object]] = {
    "result": lambda waiter: waiter.set_result(1),
    "exception": lambda waiter: waiter.set_exception(KeyError(1)),
    "cancel": lambda waiter: waiter.cancel(),
}


@pytest.mark.parametrize("later", SETS.values(), ids=SETS)
async def test_the_first_result_counts(later: Callable[[Waiter[int]], object]) -> None:
    waiter: Waiter[int] = Waiter()
    assert not waiter.done()
    waiter.set_result(0)
    later(waiter)
    assert waiter.done()
    assert await waiter == 0


@pytest.mark.parametrize("is_set_before", [True, False])
async def test_a_task_gets_the_result(is_set_before: object) -> None:
    waiter: Waiter[int] = Waiter()
    waiting = asyncio.ensure_future(result_of(waiter))
    if not is_set_before:
        await asyncio.sleep(0)
    waiter.set_result(7)
    assert not waiting.done()
    assert await waiting == 7


async def test_a_task_gets_the_exception() -> None:
    waiter: Waiter[int] = Waiter()
    waiter.set_exception(KeyError("x"))
    with pytest.raises(KeyError):
        await waiter


@pytest.mark.parametrize("is_done", [True, False])
async def test_a_second_waiter_is_an_error_and_the_first_gets_the_result(is_done: object) -> None:
    waiter: Waiter[int] = Waiter()
    first = asyncio.ensure_future(result_of(waiter))
    await asyncio.sleep(0)
    if is_done:
        waiter.set_result(1)
    with pytest.raises(RuntimeError, match="one"):
        await waiter
    waiter.set_result(1)
    assert await first == 1


async def test_a_task_that_waits_can_be_cancelled() -> None:
    waiter: Waiter[int] = Waiter()
    waiting = asyncio.ensure_future(result_of(waiter))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert waiter.done()
    assert not waiter.cancel()


async def test_a_callback_is_called_at_once_and_not_once_it_is_removed() -> None:
    called: list[Waiter[int]] = []
    first, second = Waiter[int](), Waiter[int]()
    for waiter in (first, second):
        waiter.add_done_callback(called.append)
    second.remove_done_callback(called.append)
    first.set_result(1)
    second.set_result(1)
    assert called == [first]
