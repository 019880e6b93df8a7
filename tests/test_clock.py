"""A step of the wall clock: no page is emptied, and only certificates are judged anew."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from exporter import clock
from exporter.config import Config, PollConfig
from exporter.discovery.pod_documents import decode_pod
from exporter.discovery.pods import targets_of_pod
from exporter.exposition import selected
from exporter.model import Cadence, Lifecycle, Role, Settings, Target, TargetKey, TargetRecord
from exporter.scheduler.poll_scheduler import Scheduler
from exporter.scheduler.target_table import TargetTable
from exporter.state import State
from tests.listening import listening
from tests.scheduler.test_poll_scheduler import _agent, _silence, until

POLL = PollConfig(interval=0.2, detail_interval=0.4, identity_interval=3600.0, timeout=0.1)
FAMILIES = selected("full", ())
DAY = 86400.0
KEY = TargetKey("shop", "cart")
STALE_SECONDS = 3 * POLL.interval
CERTIFICATE = b'istio_agent_cert_expiry_seconds{resource_name="default"} 600\n'

SetWallClock = Callable[[float], None]


@pytest.fixture
def set_wall_clock(monkeypatch: pytest.MonkeyPatch) -> SetWallClock:
    """Sets the wall clock of this process so many seconds forward, or back."""
    genuine = time.time

    def set_forward(seconds: float) -> None:
        monkeypatch.setattr(time, "time", lambda: genuine() + seconds)

    return set_forward


@asynccontextmanager
async def polled(target: Target) -> AsyncIterator[Callable[[], TargetRecord]]:
    """A target that is polled; its last record."""
    state = State(FAMILIES)
    table = TargetTable(POLL.interval, state, State(FAMILIES))
    running = asyncio.create_task(Scheduler(Config(poll=POLL), table).run())

    def last() -> TargetRecord:
        record = state.get(KEY)
        assert record is not None
        assert state.blocks(clock.now()), "its samples are served"
        return record

    table.put(target)
    try:
        await until(lambda: (state.get(KEY) or TargetRecord(target=target)).polls == 3)
        yield last
    finally:
        running.cancel()
        await asyncio.wait({running})


def agent(port: int, age: float) -> Target:
    return Target(
        key=KEY,
        role=Role.PROXYLESS,
        addresses=("127.0.0.1",),
        settings=Settings(status_port=port),
        lifecycle=Lifecycle(container_ready=False, started=clock.now() - age),
        uid="cart",
    )


def cause_of(record: TargetRecord) -> str:
    return record.diagnosis.cause if record.diagnosis else ""


@pytest.mark.parametrize("step", [DAY, -DAY], ids=["forward", "back"])
@pytest.mark.parametrize("serve", [_agent, _silence], ids=["it answers", "it is silent"])
@pytest.mark.parametrize("age", [10.0, 600.0], ids=["it starts", "it is old"])
async def test_a_step_judges_nothing_anew_and_keeps_every_sample(
    set_wall_clock: SetWallClock, step: float, serve: Callable[..., object], age: float
) -> None:
    async with listening(serve) as port, polled(agent(port, age)) as last:
        before = last()
        set_wall_clock(step)
        assert last() is before
        polls = before.polls or 0
        await until(lambda: (last().polls or 0) >= polls + 6)
        after = last()
    assert cause_of(after) == cause_of(before)
    assert bool(cause_of(before)) is not (serve is _agent and age > 60)
    assert [v.up for v in after.verdicts] == [v.up for v in before.verdicts]
    assert after.polled[Cadence.FAST] == pytest.approx(time.time(), abs=5), "exposed as it is now"
    assert after.polled[Cadence.DETAIL] == pytest.approx(time.time(), abs=5)


async def test_a_step_judges_certificates_anew(set_wall_clock: SetWallClock) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readline():
            while await reader.readline() not in (b"\r\n", b""):
                pass
            body = CERTIFICATE if b"/stats" in head else b""
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        writer.close()

    async with listening(serve) as port, polled(agent(port, 600.0)) as last:
        (before,) = last().certificates
        set_wall_clock(DAY)
        polls = last().polls or 0
        await until(lambda: (last().polls or 0) >= polls + 3)
        (after,) = last().certificates
    assert after.not_after - before.not_after == pytest.approx(DAY, abs=5)


def test_what_is_reported_after_a_step_is_as_old_as_it_would_be_without(
    set_wall_clock: SetWallClock,
) -> None:
    """The API server's clock is taken for the wall clock, which was set with it."""
    for step in (0.0, DAY, -DAY, 0.4):
        set_wall_clock(step)
        started = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 30))
        document = b"""{"metadata": {"name": "cart", "namespace": "shop"}, "spec": {"containers":
            [{"name": "istio-proxy", "args": ["proxy", "sidecar"]}]}, "status": {"podIP": "10.0.0.1"
            , "containerStatuses": [{"name": "istio-proxy", "ready": true, "state": {"running":
            {"startedAt": "%s"}}}]}}""" % started.encode()
        (found,) = targets_of_pod(decode_pod(document))
        assert found.lifecycle.started is not None
        assert clock.now() - found.lifecycle.started == pytest.approx(30, abs=2)


def test_the_clock_runs_with_the_wall_clock_until_that_is_set(set_wall_clock: SetWallClock) -> None:
    assert (clock.now(), clock.step()) == (pytest.approx(time.time(), abs=1), 0.0)
    set_wall_clock(0.3)
    assert clock.step() == 0.0, "slewed, not set"
    set_wall_clock(-DAY)
    assert clock.step() == -DAY


@pytest.mark.parametrize("seconds", [-DAY, DAY])
def test_the_counters_of_a_new_target_are_served_for_three_intervals_whatever_the_wall_clock(
    set_wall_clock: SetWallClock, seconds: float
) -> None:
    state = State(FAMILIES)
    set_wall_clock(seconds)
    TargetTable(POLL.interval, state, State(FAMILIES)).put(
        Target(key=KEY, role=Role.SIDECAR, addresses=("127.0.0.1",))
    )
    assert state.blocks(clock.now())
    assert not state.blocks(clock.now() + STALE_SECONDS)
