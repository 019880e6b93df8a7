"""Probers with bugs: whatever one raises, or waits for, its attempt ends and the others go on."""

import asyncio
import socket
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from exporter.model import Outcome
from exporter.probes import paths
from exporter.probes.attempt import Attempt, Prober, ProbeResult
from exporter.probes.probers import PROBERS
from exporter.probes.runner import probe_all
from exporter.probes.single_get import SingleGet
from exporter.transport.waiter import Waiter

Step = Callable[[], Awaitable[None]]


class CustomError(BaseException):
    """What no `except Exception` catches."""


async def none() -> None:
    """No wait: the prober fails in its first step."""


async def a_turn() -> None:
    await asyncio.sleep(0)


async def a_while() -> None:
    await asyncio.sleep(0.01)


WAITS = pytest.mark.parametrize("wait", [none, a_turn, a_while])


def raising(error: BaseException, wait: Step) -> Prober:
    async def prober(_attempt: Attempt) -> ProbeResult:
        await wait()
        raise error

    return prober


@pytest.fixture
def listening_thread(answer: Any) -> Iterator[int]:
    """A port that answers one request, whatever becomes of the event loop that asks it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answers() -> None:
            with suppress(OSError), listener.accept()[0] as peer:
                peer.recv(4096)
                peer.sendall(answer(200))
                peer.recv(4096)

        thread = threading.Thread(target=answers)
        thread.start()
        yield listener.getsockname()[1]
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        thread.join()


@asynccontextmanager
async def another_loop() -> AsyncIterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield loop
    finally:
        loop.call_soon_threadsafe(loop.stop)
        await asyncio.to_thread(thread.join)
        loop.close()


async def beside_a_sound_one(
    prober: Prober, attempt_at: Any, serve: Any, answer: Any, seconds: float = 0.3
) -> Outcome:
    """The outcome of a faulty prober; a sound one beside it is not disturbed."""
    port = await serve({"/healthz/ready": answer(200)})
    probes = [(prober, attempt_at(1, timeout=seconds)), (PROBERS["readiness"], attempt_at(port))]
    async with asyncio.timeout(2):
        faulty, sound = await probe_all(probes)
    assert sound.outcome is Outcome.OK
    return faulty.outcome


@WAITS
@pytest.mark.parametrize(
    "error",
    [
        ValueError("x"),
        RecursionError(),
        MemoryError(),
        RuntimeError("x"),
        asyncio.CancelledError(),
        asyncio.InvalidStateError(),
        CustomError(),
        GeneratorExit(),
        BaseExceptionGroup("x", [CustomError()]),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_whatever_a_prober_raises_is_an_outcome(
    error: BaseException, wait: Step, attempt_at: Any, serve: Any, answer: Any
) -> None:
    outcome = await beside_a_sound_one(raising(error, wait), attempt_at, serve, answer)
    assert outcome is Outcome.NO_ACCESS


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(1)], ids=["interrupt", "exit"])
async def test_what_ends_the_process_goes_on_from_the_first_step(
    error: BaseException, attempt_at: Any
) -> None:
    with pytest.raises(type(error)):
        await probe_all(
            [(raising(error, none), attempt_at(1)), (raising(ValueError(), none), attempt_at(1))]
        )


def test_what_ends_the_process_does_so_after_a_wait_too(attempt_at: Any) -> None:
    with pytest.raises(KeyboardInterrupt):
        asyncio.run(probe_all([(raising(KeyboardInterrupt(), a_while), attempt_at(1))]))


def single_get(error: BaseException, place: str) -> SingleGet:
    """A prober of one GET that fails as it chooses its path, or as it judges the answer."""

    def raising_at(here: str, value: Any) -> Any:
        if place == here:
            raise error
        return value

    return SingleGet(
        lambda _attempt: raising_at("path", paths.HEALTHZ_READY),
        lambda _reply, _attempt: raising_at("judge", ProbeResult(Outcome.OK)),
    )


@pytest.mark.parametrize("place", ["path", "judge"])
@pytest.mark.parametrize("error", [ValueError("x"), CustomError(), asyncio.CancelledError()])
async def test_whatever_a_single_get_raises_is_an_outcome(
    error: BaseException, place: str, attempt_at: Any, serve: Any, answer: Any
) -> None:
    port = await serve({"/healthz/ready": answer(200)})
    probes = [single_get(error, place), PROBERS["readiness"], single_get(error, "nowhere")]
    seen = await probe_all([(prober, attempt_at(port)) for prober in probes])
    assert [one.outcome for one in seen] == [Outcome.NO_ACCESS, Outcome.OK, Outcome.OK]


@pytest.mark.parametrize("place", ["path", "judge"])
def test_what_ends_the_process_goes_on_from_a_single_get(
    place: str, attempt_at: Any, listening_thread: int
) -> None:
    faulty = single_get(KeyboardInterrupt(), place)
    with pytest.raises(KeyboardInterrupt):
        asyncio.run(probe_all([(faulty, attempt_at(listening_thread))]))


@WAITS
async def test_a_timeout_of_asyncios_own_never_cancels_the_poll(
    wait: Step, attempt_at: Any, serve: Any, answer: Any
) -> None:
    async def prober(_attempt: Attempt) -> ProbeResult:
        await wait()
        async with asyncio.timeout(0.01):
            await asyncio.sleep(5)
        return ProbeResult(Outcome.OK)

    outcome = await beside_a_sound_one(prober, attempt_at, serve, answer)
    assert outcome is Outcome.NO_ACCESS
    assert asyncio.current_task() is not None


@WAITS
async def test_no_prober_finds_the_task_that_polls(wait: Step, attempt_at: Any) -> None:
    found: list[object] = []

    async def prober(_attempt: Attempt) -> ProbeResult:
        await wait()
        found.append(asyncio.current_task())
        return ProbeResult(Outcome.OK)

    await probe_all([(prober, attempt_at(1))])
    assert found == [None]


@WAITS
async def test_a_future_of_another_loop_is_refused(
    wait: Step, attempt_at: Any, serve: Any, answer: Any
) -> None:
    async with another_loop() as loop:

        async def prober(_attempt: Attempt) -> ProbeResult:
            await wait()
            await loop.create_future()
            return ProbeResult(Outcome.OK)

        assert await beside_a_sound_one(prober, attempt_at, serve, answer) is Outcome.NO_ACCESS


async def test_a_step_after_a_task_set_the_result_is_outside_it_too(attempt_at: Any) -> None:
    waiter: Waiter[int] = Waiter()
    found: list[object] = []

    async def prober(_attempt: Attempt) -> ProbeResult:
        await waiter
        found.append(asyncio.current_task())
        return ProbeResult(Outcome.OK)

    async def sets() -> None:
        await asyncio.sleep(0.01)
        waiter.set_result(1)
        found.append(asyncio.current_task())

    task = asyncio.create_task(sets())
    await probe_all([(prober, attempt_at(1))])
    await task
    assert found == [None, task]


async def test_a_waiter_that_another_prober_awaits_is_refused(
    attempt_at: Any,
) -> None:
    waiter: Waiter[int] = Waiter()
    asyncio.get_running_loop().call_later(0.02, waiter.set_result, 1)

    async def prober(_attempt: Attempt) -> ProbeResult:
        await waiter
        return ProbeResult(Outcome.OK)

    observations = await probe_all([(prober, attempt_at(1)), (prober, attempt_at(1))])
    assert [one.outcome for one in observations] == [Outcome.OK, Outcome.NO_ACCESS]


class _Odd:
    """Awaitable, but what it waits for is nothing that an event loop knows."""

    def __await__(self) -> Any:
        yield "something"


@WAITS
@pytest.mark.parametrize("is_stubborn", [False, True])
async def test_what_is_no_future_is_refused(
    wait: Step, is_stubborn: object, attempt_at: Any, serve: Any, answer: Any
) -> None:
    async def prober(_attempt: Attempt) -> ProbeResult:
        await wait()
        while True:
            try:
                await _Odd()
            except RuntimeError:
                if not is_stubborn:
                    raise

    assert await beside_a_sound_one(prober, attempt_at, serve, answer) is Outcome.NO_ACCESS


@WAITS
async def test_a_future_that_somebody_cancels_ends_the_probe(
    wait: Step, attempt_at: Any, serve: Any, answer: Any
) -> None:
    shared = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_later(0.03, shared.cancel)

    async def prober(_attempt: Attempt) -> ProbeResult:
        await wait()
        await shared
        return ProbeResult(Outcome.OK)

    assert await beside_a_sound_one(prober, attempt_at, serve, answer) is Outcome.NO_ACCESS


async def test_a_prober_that_cannot_even_be_called_is_an_outcome(
    attempt_at: Any, serve: Any, answer: Any
) -> None:
    def prober(_attempt: Attempt) -> Any:
        raise ValueError

    assert await beside_a_sound_one(prober, attempt_at, serve, answer) is Outcome.NO_ACCESS


async def test_a_prober_that_waits_on_after_its_deadline_is_closed(
    attempt_at: Any, serve: Any, answer: Any
) -> None:
    closed: list[bool] = []

    async def prober(_attempt: Attempt) -> ProbeResult:
        try:
            while True:
                try:
                    await asyncio.sleep(5)
                except TimeoutError:
                    continue
        finally:
            closed.append(True)

    outcome = await beside_a_sound_one(prober, attempt_at, serve, answer, seconds=0.05)
    assert (outcome, closed) == (Outcome.TIMEOUT, [True])


async def test_a_prober_that_waits_while_it_is_closed_is_dropped(attempt_at: Any) -> None:
    async def prober(_attempt: Attempt) -> ProbeResult:
        try:
            await asyncio.sleep(5)
        finally:
            await asyncio.sleep(5)
        return ProbeResult(Outcome.OK)

    poll = asyncio.ensure_future(probe_all([(prober, attempt_at(1)), (prober, attempt_at(1))]))
    await asyncio.sleep(0.01)
    poll.cancel()
    with pytest.raises(asyncio.CancelledError):
        await poll


async def test_a_fault_is_logged_once_for_a_target_and_its_kind(
    attempt_at: Any, caplog: pytest.LogCaptureFixture
) -> None:
    attempt = attempt_at(1)
    for error in (ValueError("x"), ValueError("y"), KeyError("z"), ValueError("x")):
        again = Attempt(
            attempt.dialer,
            attempt.probe,
            attempt.due,
            attempt.timeout,
            attempt.target,
            attempt.options,
        )
        await probe_all([(raising(error, none), again)])
    assert [record.exc_info[0] for record in caplog.records if record.exc_info] == [
        ValueError,
        KeyError,
    ]
    assert "target=shop/cart port=1" in caplog.text


async def test_a_poll_cancelled_in_the_turn_of_a_deadline_logs_nothing(
    attempt_at: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """The deadline passes while the loop is held; it is cancelled first, or last."""

    async def prober(_attempt: Attempt) -> ProbeResult:
        await asyncio.sleep(5)
        return ProbeResult(Outcome.OK)

    loop = asyncio.get_running_loop()
    for delay in (0.02, 0.04, 0.06):
        poll = asyncio.ensure_future(probe_all([(prober, attempt_at(1, timeout=0.05))] * 2))
        await asyncio.sleep(0)
        loop.call_later(delay, poll.cancel)
        time.sleep(0.08)  # noqa: ASYNC251 - the stall that makes both come due in one turn
        with pytest.raises(asyncio.CancelledError):
            await poll
        await asyncio.sleep(0.01)
    assert caplog.text == ""


@pytest.mark.parametrize("is_settled", [True, False])
async def test_a_deadline_that_is_nearer_than_the_first_is_kept(
    is_settled: object, attempt_at: Any
) -> None:
    """As the agent's page has, where `poll.timeout` is the longer one."""

    async def prober(attempt: Attempt) -> ProbeResult:
        await asyncio.sleep(0)
        if is_settled:
            attempt.settle()
        attempt.allow(0.1)
        await asyncio.sleep(5)
        return ProbeResult(Outcome.OK)

    began = time.monotonic()
    (observation,) = await probe_all([(prober, attempt_at(1, timeout=3.0))])
    assert observation.outcome is Outcome.TIMEOUT
    assert 0.09 < time.monotonic() - began < 1


async def test_what_sets_no_deadline_after_it_settled_has_the_usual_one(attempt_at: Any) -> None:
    async def prober(attempt: Attempt) -> ProbeResult:
        attempt.settle()
        await asyncio.sleep(5)
        return ProbeResult(Outcome.OK)

    async with asyncio.timeout(2):
        (observation,) = await probe_all([(prober, attempt_at(1, timeout=0.05))])
    assert observation.outcome is Outcome.TIMEOUT
