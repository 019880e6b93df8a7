import asyncio
import gc
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from exporter.model import Outcome
from exporter.probes import paths
from exporter.probes.attempt import Attempt, ProbeProtocol, ProbeResult
from exporter.probes.http import HttpClient
from exporter.probes.probers import PROBERS
from exporter.probes.runner import probe_all


async def test_observations_are_in_the_order_of_their_probes(
    listen: Any, serve: Any, attempt_at: Any, answer: Any, endings: Any
) -> None:
    silent, ready = await listen(endings["silent"]), await serve({"/healthz/ready": answer(200)})
    probes = [
        (PROBERS["readiness"], attempt_at(port, timeout=0.2))
        for port in (silent, ready, silent, ready)
    ]
    observations = await probe_all(probes)
    assert [one.port for one in observations] == [silent, ready, silent, ready]
    assert [one.outcome for one in observations] == [Outcome.TIMEOUT, Outcome.OK] * 2


async def test_each_probe_has_its_own_deadline(listen: Any, attempt_at: Any, endings: Any) -> None:
    port = await listen(endings["silent"])
    waits = (0.1, 0.4, 0.2)
    started = time.monotonic()
    observations = await probe_all(
        [(PROBERS["readiness"], attempt_at(port, timeout=seconds)) for seconds in waits]
    )
    assert time.monotonic() - started < 1
    for one, seconds in zip(observations, waits, strict=True):
        assert one.outcome is Outcome.TIMEOUT
        assert seconds - 0.01 <= one.seconds < seconds + 0.15


async def test_what_came_while_we_were_late_is_no_timeout(
    serve: Any, attempt_at: Any, answer: Any
) -> None:
    """The answer waits in the kernel while this process stalls past the deadline."""
    port = await serve({"/healthz/ready": answer(200)})

    async def stalls(attempt: Attempt) -> ProbeResult:
        loop = asyncio.get_running_loop()
        loop.call_later(0.05, time.sleep, 0.3)
        await asyncio.sleep(0)
        return await PROBERS["readiness"](attempt)

    slow = attempt_at(port, timeout=0.2)
    answered = await probe_all([(stalls, slow), (stalls, attempt_at(port, timeout=0.2))])
    assert [one.outcome for one in answered] == [Outcome.OK, Outcome.OK]


async def test_a_stall_of_ours_does_not_make_a_target_slow(attempt_at: Any, answer: Any) -> None:
    """The answer comes after 0.1 s, from a thread, and lies in the kernel for 0.4 s more."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answers() -> None:
            with listener.accept()[0] as peer, suppress(ConnectionResetError):
                peer.recv(4096)
                time.sleep(0.1)
                peer.sendall(answer(200))
                peer.recv(4096)

        with ThreadPoolExecutor(1) as server:
            server.submit(answers)
            asyncio.get_running_loop().call_later(0.05, time.sleep, 0.45)
            attempt = attempt_at(listener.getsockname()[1])
            (observation,) = await probe_all([(PROBERS["readiness"], attempt)])
    assert observation.outcome is Outcome.OK
    assert 0.09 < observation.seconds < 0.3


async def test_a_prober_may_await_a_task_of_its_own(attempt_at: Any) -> None:
    cancelled = asyncio.Event()

    async def needs_a_task() -> None:
        try:
            async with asyncio.timeout(5):
                await asyncio.sleep(5)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    async def prober(_asked: Attempt) -> ProbeResult:
        await asyncio.create_task(needs_a_task())
        return ProbeResult(Outcome.OK)

    (observation,) = await probe_all([(prober, attempt_at(1, timeout=0.05))])
    assert observation.outcome is Outcome.TIMEOUT
    await asyncio.wait_for(cancelled.wait(), 1)


async def test_a_cancelled_poll_closes_its_connections(listen: Any, attempt_at: Any) -> None:
    ended = asyncio.Event()

    async def talk(reader: Any, _writer: Any) -> None:
        try:
            await reader.read()
        finally:
            ended.set()

    attempt = attempt_at(await listen(talk))
    connected = asyncio.Event()

    async def prober(attempt: Attempt) -> ProbeResult:
        await attempt.connect(ProbeProtocol)
        connected.set()
        await asyncio.get_running_loop().create_future()
        return ProbeResult(Outcome.OK)

    poll = asyncio.ensure_future(probe_all([(prober, attempt)]))
    await connected.wait()
    poll.cancel()
    with pytest.raises(asyncio.CancelledError):
        await poll
    await asyncio.wait_for(ended.wait(), 1)


async def test_a_late_answer_is_not_taken_for_the_next(
    listen: Any, attempt_at: Any, answer: Any
) -> None:
    """After the agent's page has timed out, the application has a connection of its own."""
    requests: list[bytes] = []

    async def talk(reader: Any, writer: Any) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            requests.append(head.split()[1])
            late = b"first" in head
            if late:
                await asyncio.sleep(0.3)
            writer.write(answer(500 if late else 200, server=b""))

    async def prober(attempt: Attempt) -> ProbeResult:
        client = HttpClient(attempt)
        attempt.allow(0.1)
        with pytest.raises(TimeoutError):
            await client.get(paths.configured("/first"))
        attempt.allow(2.0)
        reply = await client.get(paths.configured("/second"))
        return ProbeResult(Outcome.OK, str(reply.status))

    (observation,) = await probe_all([(prober, attempt_at(await listen(talk)))])
    assert observation.detail == "200"
    assert requests == [b"/first", b"/second"]


@contextmanager
def circles() -> Iterator[list[Any]]:
    """What only the garbage collector could free in the meantime, once the block is left."""
    found: list[Any] = []
    gc.collect()
    gc.disable()
    try:
        yield found
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        found += gc.garbage
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


@pytest.mark.parametrize("name", ["tcp", "readiness", "stats", "blackhole"])
async def test_a_probe_leaves_nothing_to_the_garbage_collector(
    name: str, listen: Any, serve: Any, attempt_at: Any, answer: Any, endings: Any
) -> None:
    """Connections, parsers, futures and tracebacks know each other; a probe's end parts them."""
    port = await serve({"/healthz/ready": answer(200)})
    silent, refused = await listen(endings["silent"]), attempt_at(1)
    with circles() as left:
        for attempt in (attempt_at(port), attempt_at(silent, timeout=0.05), refused):
            await probe_all([(PROBERS[name], attempt)])
        del attempt, refused
    ours = [one for one in left if type(one).__module__.startswith(("exporter.", "httptools."))]
    assert [type(one).__name__ for one in ours] == []


@pytest.mark.parametrize("is_bare", [True, False], ids=["bare-yield", "done-future"])
async def test_what_comes_after_a_poll_was_cancelled_wakes_no_probe(
    attempt_at: Any, caplog: pytest.LogCaptureFixture, is_bare: object
) -> None:
    """The future is done and its callback is on its way when the poll is cancelled."""
    loop = asyncio.get_running_loop()
    answered = loop.create_future()

    async def prober(_asked: Attempt) -> ProbeResult:
        await answered
        await asyncio.sleep(0)
        return ProbeResult(Outcome.OK)

    poll = asyncio.ensure_future(probe_all([(prober, attempt_at(1))]))
    await asyncio.sleep(0)
    poll.cancel()
    answered.set_result(None)
    if is_bare:
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await poll
    for _ in range(3):
        await asyncio.sleep(0)
    assert caplog.text == ""


async def test_what_the_network_lost_is_waited_for_and_is_nobodys_slowness(
    attempt_at: Any, answer: Any
) -> None:
    """A full queue drops the first SYN, as a bad network does; the answer comes 3.2 s later.

    So long the kernel takes to send again what was lost after that: the test cannot be shorter.
    """
    loop = asyncio.get_running_loop()
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server, socket.socket() as first:
        server.settimeout(0)
        port = server.getsockname()[1]
        first.connect(("127.0.0.1", port))

        async def serve_late() -> None:
            await asyncio.sleep(0.3)
            queued, _ = await loop.sock_accept(server)
            connection, _ = await loop.sock_accept(server)
            with queued, connection:
                await asyncio.sleep(3.2)
                await loop.sock_sendall(connection, answer(200))
                await asyncio.sleep(0.2)

        serving = asyncio.create_task(serve_late())
        (seen,) = await probe_all([(PROBERS["readiness"], attempt_at(port, timeout=2.0))])
        await serving
    assert seen.outcome is Outcome.OK
    assert seen.seconds < 1
