"""A served web application over records made by hand; probing is a function of the test's."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, fields, replace

import pytest
from aiohttp.test_utils import TestClient, TestServer

from benchmarks.records import broken_sidecar, healthy_sidecar, istiod
from exporter.config import Config
from exporter.exposition import render_synced, selected
from exporter.model import Memory, Target, TargetKey, TargetRecord
from exporter.poll.poll_target import PollResult
from exporter.selfmetrics.registry import SelfMetrics
from exporter.state import State
from exporter.web.application import create_app
from exporter.web.context import WebContext
from exporter.web.toolkit.web_config import WebConfigFile

Serve = Callable[..., Awaitable[TestClient]]

HEALTHY = healthy_sidecar(0)
BROKEN = broken_sidecar(1)
ISTIOD = istiod()
WAITING = replace(healthy_sidecar(2).target, addresses=("10.9.9.9",))
EXPIRED = healthy_sidecar(5).target.key
"""Nobody renewed this one's samples in time, however it was looked at."""
EXPIRED_LAST = 1.0
FAMILIES = selected("full", ())


async def nothing_seen(target: Target) -> PollResult:
    return PollResult(TargetRecord(target=target), Memory(), ())


@dataclass
class Session:
    """What one configuration decides, by hand."""

    config: Config
    targets: Mapping[TargetKey, Target]
    probe: Callable[[Target], Awaitable[PollResult]] = nothing_seen
    is_healthy: bool = True
    is_ready: bool = True

    async def unseen(self) -> tuple[str, ...]:
        return ("15001 is not seen from here",)


def state_of(*records: TargetRecord) -> State:
    state = State(FAMILIES)
    for record in records:
        told_until = EXPIRED_LAST if record.target.key == EXPIRED else time.time() + 600
        state.put(record, told_until)
    return state


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    async with AsyncExitStack() as stack:

        async def start(  # noqa: ANN202
            *records: TargetRecord,
            config: Config = Config(),  # noqa: B008
            door: WebConfigFile | None = None,
            **parts: object,
        ):
            records = records or (HEALTHY, BROKEN, ISTIOD)
            targets = {record.target.key: record.target for record in records}
            ours = {field.name for field in fields(Session)}
            session = {name: part for name, part in parts.items() if name in ours}
            given = {
                "state": state if (state := parts.get("state")) is not None else state_of(*records),
                "synced": State(FAMILIES, render_synced),
                "self_metrics": SelfMetrics("1.2.3"),
                "session": Session(
                    config, **{"targets": {**targets, WAITING.key: WAITING}, **session}
                ),
                **{name: part for name, part in parts.items() if name not in ours},
            }
            app = create_app(WebContext(**given))
            if door:
                door.guard(app)
            server = TestServer(app)
            plain = {"Accept-Encoding": "identity"}
            client = TestClient(server, auto_decompress=False, headers=plain)
            return await stack.enter_async_context(client)

        yield start
