"""One table of what a peer can do wrong: outcome, cause, and whether anybody else is late."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from exporter.config import Config, PollConfig
from exporter.exposition import selected
from exporter.model import Outcome, Role, Target, TargetKey, TargetRecord
from exporter.poll.poll_steps import ProbeInstrumentation
from exporter.scheduler.poll_scheduler import Scheduler
from exporter.scheduler.target_table import TargetTable
from exporter.state import State
from tests.poll.hostile_pods import DROPPED, TALKS, address_of

HONEST = 60
STARVED, TAKEN = ("timeout", "container_starved"), ("wrong_protocol", "port_taken")
TOO_MUCH = ("too_large", "stats_too_large")

FAULTS = {
    DROPPED: ("timeout", "unreachable"),
    "silent": STARVED,
    "reset at once": ("reset", "connections_ended"),
    "reset when asked": ("reset", "connections_ended"),
    "reset in the headers": ("reset", "connections_ended"),
    "reset in the body": ("reset", "connections_ended"),
    "closed when asked": ("closed", "connections_ended"),
    "closed in the body": ("closed", "connections_ended"),
    "one byte a second": STARVED,
    "one header byte a second": STARVED,
    "endless body": TOO_MUCH,
    "chunked without end": TOO_MUCH,
    "endless headers": TOO_MUCH,
    "one endless header": TOO_MUCH,
    "1xx without end": TOO_MUCH,
    "lengths that contradict": TAKEN,
    "length beside chunks": TAKEN,
    "a length that is none": TAKEN,
    "upgrade": TAKEN,
    "HTTP/0.9": TAKEN,
    "TLS alert on plain": TAKEN,
    "another protocol": TAKEN,
    "redirects": ("wrong_identity", "port_taken"),
    "an answer too many": ("wrong_identity", "port_taken"),
}
"""What 15021 comes to and the cause, by what all ports of the pod do."""

POLL = PollConfig(interval=1.0, detail_interval=2.0, timeout=0.4, exposure=False)


@contextlib.asynccontextmanager
async def serving(names: list[str], first: int) -> AsyncIterator[None]:
    """Pods of these names in a process of their own, so that they do not hold this loop."""
    file = Path(__file__).with_name("hostile_pods.py")
    arguments = (str(file), str(first), *names)
    pods = await asyncio.create_subprocess_exec(
        sys.executable, *arguments, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert pods.stdout
        assert await pods.stdout.readline() == b"ready\n"
        yield
    finally:
        pods.kill()
        await pods.wait()


def gateway(number: int, name: str) -> Target:
    return Target(
        key=TargetKey("shop", name),
        role=Role.GATEWAY,
        addresses=(address_of(number),),
        istio_version="1.28.0",
        uid=name,
    )


async def test_every_fault_has_its_outcome_and_cause_and_makes_nobody_late() -> None:
    assert {*FAULTS} == {*TALKS, DROPPED} - {"honest", "changing"}
    honest = [f"honest-{number}" for number in range(HONEST)]
    state, late = State(selected("standard")), list[float]()
    table = TargetTable(POLL.interval, state, State(()))
    scheduler = Scheduler(Config(poll=POLL), table, ProbeInstrumentation(started=late.append))
    async with serving([*FAULTS], 0), serving(["honest"] * HONEST, len(FAULTS)):
        for number, name in enumerate([*FAULTS, *honest]):
            table.put(gateway(number, name))
        running = asyncio.create_task(scheduler.run())
        await asyncio.sleep(5)
        running.cancel()
        await asyncio.wait({running})
    found = {name: shown_of(state.get(TargetKey("shop", name))) for name in FAULTS}
    assert found == FAULTS
    assert {shown_of(state.get(TargetKey("shop", name))) for name in honest} == {("ok", "")}
    assert max(late) < POLL.interval / 2
    assert len(late) > 4 * (len(FAULTS) + HONEST)


def shown_of(record: TargetRecord | None) -> tuple[str, str]:
    """The outcome at 15021, and the cause."""
    assert record is not None
    (health,) = (verdict for verdict in record.verdicts if verdict.port == 15021)
    assert health.up is (health.outcome is Outcome.OK)
    return str(health.outcome), record.diagnosis.cause if record.diagnosis else ""
