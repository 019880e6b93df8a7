"""How many series a pod in ambient costs, from its recorded state."""

import time
from dataclasses import replace

import pytest

from exporter.config import Config
from exporter.demo import SHIPPED, load_states, mesh
from exporter.exposition import render, selected
from exporter.model import EVERY_CADENCE, FAST_ONLY, Memory
from exporter.poll.poll_target import poll_once

(HEALTHY,) = (state for state in load_states(SHIPPED) if state.name == "ambient-healthy")


@pytest.mark.real
async def test_a_healthy_pod_in_ambient_has_nine_series() -> None:
    async with mesh([HEALTHY], flat=False, earlier=False) as built:
        (pod,) = built.pods
        target = replace(pod.target, netns="")
        memory, now = Memory(), time.time()
        for number in range(2):
            due = FAST_ONLY if number else EVERY_CADENCE
            seen = await poll_once(target, memory, due, Config(), now + 30 * number)
            memory = seen.memory
    blocks = {
        profile: b"".join(block for block in render(seen.record, selected(profile)) if block)
        for profile in ("minimal", "standard")
    }
    assert seen.record.diagnosis is None
    assert {name: text.count(b"\n") for name, text in blocks.items()} == {
        "minimal": 6,
        "standard": 9,
    }
