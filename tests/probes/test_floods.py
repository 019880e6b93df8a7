"""Many targets that send without end: no turn of the event loop takes 20 ms, and others answer."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from exporter.model import Outcome
from exporter.probes import paths
from exporter.probes.attempt import Attempt, ProbeResult
from exporter.probes.http import HttpClient
from exporter.probes.page_reader import PageReader
from exporter.probes.runner import probe_all
from tests.cpu_time import LIMIT, compared, longest_turn

FLOODS = 12
HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
PIECES = {
    "small pieces": b"2\r\nx\n\r\n" * 100_000,
    "named lines": b"8\r\nname 12\n\r\n" * 60_000,
    "large pieces": b"80000\r\n" + b"x" * 0x80000 + b"\r\n",
}


def _send(connection: socket.socket, data: bytes) -> None:
    with suppress(OSError), connection:
        connection.recv(65536)
        connection.sendall(HEAD)
        while True:
            connection.sendall(data)


@pytest.fixture(params=PIECES.values(), ids=PIECES)
def flood(request: pytest.FixtureRequest) -> Iterator[int]:
    """A port whose every connection sends as fast as it is read; in threads, beside the loop."""

    def accept() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=_send, args=(connection, request.param)).start()

    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        threading.Thread(target=accept).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


async def test_endless_pages_hold_nobody(flood: int, attempt_at: Any) -> None:
    async def prober(attempt: Attempt) -> ProbeResult:
        await HttpClient(attempt).get(paths.METRICS, reader=PageReader((b"name",)))
        return ProbeResult(Outcome.OK)

    floods = [(prober, attempt_at(flood, timeout=1.0)) for _ in range(FLOODS)]
    running = asyncio.create_task(probe_all(floods))
    longest = await longest_turn(running)
    outcomes = {seen.outcome for seen in await running}
    assert outcomes <= {Outcome.TIMEOUT, Outcome.TOO_LARGE}
    assert compared(longest) < LIMIT
