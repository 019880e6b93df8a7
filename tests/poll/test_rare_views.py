"""What a pod's own view reads where the budget of port-forwards allows one in many polls."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext

import pytest

from exporter.access.direct import Direct
from exporter.config import AccessConfig, Config
from exporter.model import FAST_ONLY, Cadence, Memory, Role, Settings, Target, TargetKey, View
from exporter.poll.poll_target import poll_once

NOW = 1_800_000_000.0
CONFIG = Config(access=AccessConfig(loopback="portforward"))
EVERY_DETAIL = round(CONFIG.poll.detail_interval / CONFIG.poll.interval)
EVERY_IDENTITY = round(CONFIG.poll.identity_interval / CONFIG.poll.interval)
POLLS = 2 * EVERY_IDENTITY + 1
LISTENER = {
    "name": "0.0.0.0_8443",
    "local_address": {"socket_address": {"address": "0.0.0.0", "port_value": 8443}},
}
PAGES = {
    "/ready": "LIVE\n",
    "/listeners?format=json": json.dumps({"listener_statuses": [LISTENER]}),
}


class RareView:
    """A way into a pod that one poll in so many has."""

    needs_attention = False

    def __init__(self, interval: float) -> None:
        self._interval = interval
        self.is_granted = False
        self._dialer = Direct("127.0.0.1")
        self._dialer.view = View.POD

    def seconds_between_views(self) -> float:
        return self._interval

    def entered(
        self, _together: Sequence[int], _apart: Sequence[int], *, urgent: bool
    ) -> AbstractAsyncContextManager[Direct | None]:
        del urgent
        return nullcontext(self._dialer if self.is_granted else None)


@pytest.fixture
async def admin() -> AsyncIterator[tuple[int, list[str]]]:
    """The port of an Envoy's admin, and the pages that were requested there."""
    requested: list[str] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            path = head.split()[1].decode()
            requested.append(path)
            page = PAGES.get(path, "{}").encode()
            writer.write(b"HTTP/1.1 200 OK\r\nserver: envoy\r\n")
            writer.write(b"content-length: %d\r\n\r\n%s" % (len(page), page))

    async def ended(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await answer(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError, IndexError):
            writer.close()  # it was bytes that are not HTTP

    server = await asyncio.start_server(ended, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1], requested


def due_in(number: int) -> frozenset[Cadence]:
    """What is due in this poll."""
    slower = {Cadence.DETAIL: EVERY_DETAIL, Cadence.IDENTITY: EVERY_IDENTITY}
    return FAST_ONLY | {cadence for cadence, every in slower.items() if number % every == 0}


@pytest.mark.parametrize(("every", "first"), [(20, 5), (11, 3), (1, 0), (240, 7)])
async def test_what_was_due_between_two_views_is_read_in_the_next(
    every: int, first: int, admin: tuple[int, list[str]]
) -> None:
    """Whether or not a view meets a poll in which the pages are due."""
    port, requested = admin
    settings = Settings(status_port=0, health_port=0, stats_port=0, admin_port=port)
    key = TargetKey("shop", "web")
    target = Target(
        key=key, role=Role.SIDECAR, addresses=("127.0.0.1",), settings=settings, captured=False
    )
    view = RareView(every * CONFIG.poll.interval if every > 1 else 0.0)
    memory, is_known = Memory(), []
    for number in range(POLLS):
        view.is_granted = number % every == first
        seen = await poll_once(
            target,
            memory,
            due_in(number),
            CONFIG,
            NOW + number * CONFIG.poll.interval,
            forward=lambda _target: view,
        )
        memory = seen.memory
        is_known.append(memory.admin is not None)
    assert is_known == [False] * first + [True] * (len(is_known) - first)
    views, counts = range(first, POLLS, every), Counter(requested)
    assert counts["/ready"] == len(views)
    assert counts["/listeners?format=json"] == len({number // EVERY_DETAIL for number in views})
    assert counts["/certs"] == len({number // EVERY_IDENTITY for number in views})
