"""A real gateway's servers: configured in Envoy, and bound or not."""

import time
from collections.abc import Iterator

import pytest

from exporter.config import Config, PollConfig
from exporter.model import EVERY_CADENCE, FAST_ONLY, Memory
from exporter.poll.poll_target import PollResult, poll_once
from tests.real import envoy
from tests.real.pod import Pod, Shape

pytestmark = pytest.mark.real

CONFIG = Config(poll=PollConfig(timeout=1.0))
TAKEN = 8080
"""The application of the test's pod listens there."""


@pytest.fixture
def gateway() -> Iterator[Pod]:
    pod = Pod("gateway", Shape(servers=(8081, 8082))).start()
    yield pod
    pod.close()


async def seen_of(pod: Pod, *, looks: int = 1) -> PollResult:
    """The last of some polls, each with every cadence."""
    memory = Memory()
    for _ in range(looks):
        seen = await poll_once(pod.target(inside=True), memory, EVERY_CADENCE, CONFIG, time.time())
        memory = seen.memory
    return seen


async def test_a_healthy_gateways_servers_are_bound(gateway: Pod) -> None:
    record = (await seen_of(gateway)).record
    assert record.proxy.bound == {"0.0.0.0_8081": True, "0.0.0.0_8082": True}
    assert record.diagnosis is None


async def test_a_listener_that_waits_for_its_secret_is_not_bound(gateway: Pod) -> None:
    gateway.warm_for_ever()
    record = (await seen_of(gateway, looks=2)).record
    assert record.proxy.bound == {
        "0.0.0.0_8081": True,
        "0.0.0.0_8082": True,
        "0.0.0.0_8443": False,
    }
    assert record.diagnosis is not None
    assert record.diagnosis.cause == "listener_warming"


async def test_a_listener_that_cannot_be_bound_is_another_processes(gateway: Pod) -> None:
    gateway.update("rejected", envoy.server(gateway.shape.families, TAKEN))
    record = (await seen_of(gateway)).record
    assert record.proxy.bound[f"0.0.0.0_{TAKEN}"] is False
    assert record.diagnosis is not None
    assert record.diagnosis.cause == "port_taken"


async def test_a_server_that_was_taken_away_is_no_fault(gateway: Pod) -> None:
    before = await seen_of(gateway)
    gateway.shape = Shape(servers=(8081,))
    gateway.mend()
    gateway.wait(lambda: not gateway.answers(8082), "8082 to be closed")
    target = gateway.target(inside=True)
    after = await poll_once(target, before.memory, FAST_ONLY, CONFIG, time.time())
    assert after.record.proxy.bound == {"0.0.0.0_8081": True}
    assert after.record.diagnosis is None
