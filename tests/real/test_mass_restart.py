"""Workloads in ambient that are all unproven at once, as after a restart of everything."""

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from exporter.config import Config, PollConfig
from exporter.exposition import selected
from exporter.model import Observation, ProbeKind, Role
from exporter.poll.poll_steps import ProbeInstrumentation
from exporter.scheduler.poll_scheduler import Scheduler
from exporter.scheduler.target_table import TargetTable
from exporter.state import State
from tests.real.workload import many_targets, workload

PODS = 120
PER_SECOND = 50
AT_ONCE = 10
CONFIG = Config(poll=PollConfig(interval=0.5, timeout=0.4))


@pytest.mark.alone
@pytest.mark.usefixtures("machine")
async def test_their_hellos_are_spread_and_every_pod_gets_one(tmp_path: Path) -> None:
    hellos: list[tuple[float, str]] = []
    everybody = asyncio.Event()

    def ended(observations: Sequence[Observation], _role: Role) -> None:
        now = time.monotonic()
        said = [one for one in observations if one.probe.kind is ProbeKind.HBONE_HELLO]
        hellos.extend((now, one.address) for one in said)
        if len({address for _, address in hellos}) == PODS:
            everybody.set()

    with workload(tmp_path) as pod:
        state = State(selected("standard", ()))
        table = TargetTable(CONFIG.poll.interval, state, state)
        for target in many_targets(pod, PODS):
            table.put(target)
        scheduler = Scheduler(CONFIG, table, ProbeInstrumentation(ended=ended))
        running = asyncio.create_task(scheduler.run())
        began = time.monotonic()
        async with asyncio.timeout(30):
            await everybody.wait()
        await scheduler.stop()
        await running
    took = hellos[-1][0] - began
    assert took >= (PODS - AT_ONCE) / PER_SECOND
    for first, _ in hellos:
        assert sum(first <= at < first + 1 for at, _ in hellos) <= PER_SECOND + 2 * AT_ONCE
