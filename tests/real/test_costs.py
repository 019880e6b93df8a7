"""What probing leaves behind in the mesh: log lines, counted requests, connections, verdicts."""

import asyncio
import contextlib
import os
import re
import socket
import time
from collections.abc import Callable, Iterator
from multiprocessing import Process
from pathlib import Path

import pytest

from exporter.access.direct import Direct
from exporter.catalogue import control_port, ports_of
from exporter.config import Config, PollConfig
from exporter.diagnosis import diagnose
from exporter.model import (
    EVERY_CADENCE,
    FAST_ONLY,
    Cadence,
    Memory,
    Observation,
    Outcome,
    Probe,
    ProbeKind,
    View,
)
from exporter.poll.poll_target import PollResult, poll_once
from exporter.probes.attempt import Attempt, ProbeOptions
from exporter.probes.probers import probe
from exporter.transport.protocols import LINGER_ZERO
from tests.real.network import run
from tests.real.pod import Pod, Shape

pytestmark = pytest.mark.real

POLL = PollConfig(timeout=1.0)
LINES_OF_AN_IDENTITY_LOOK = 1
"""The exposure bytes: one TCP connection of the mesh, once an hour. The hello leaves none."""
HELLOS, AT_ONCE = 1000, 40


async def looks(pod: Pod, due: frozenset[Cadence], count: int) -> PollResult:
    """Some polls in a row, each with the memory of the last."""
    memory = Memory()
    for _ in range(count):
        seen = await poll_once(pod.target(), memory, due, Config(poll=POLL), time.time())
        memory = seen.memory
    return seen


def mesh_requests(pod: Pod) -> int:
    """All requests that Envoy counted on captured connections."""
    page = pod.get(15090, "/stats/prometheus?filter=InboundPassthroughCluster.*downstream_rq_total")
    return sum(int(n) for n in re.findall(rb"^envoy_http.*\} (\d+)$", page[1], re.MULTILINE))


def log_after(pod: Pod, seconds: float = 1.0) -> list[str]:
    """The access log once Envoy has written what it holds back."""
    time.sleep(seconds)
    return pod.logged()


def silent_connections(pod: Pod) -> int:
    """Captured connections that were reset before they sent anything, as Envoy counts them."""
    page = pod.get(15090, "/stats/prometheus?filter=15006.*listener_filter_error")
    return sum(int(n) for n in re.findall(rb"^envoy_.*\} (\d+)$", page[1], re.MULTILINE))


async def test_fast_polls_leave_no_log_line_and_no_request(healthy: Pod) -> None:
    first = await poll_once(
        healthy.target(), Memory(), EVERY_CADENCE, Config(poll=POLL), time.time()
    )
    lines, requests = log_after(healthy), mesh_requests(healthy)
    silent = silent_connections(healthy)
    memory = first.memory
    for _ in range(20):
        seen = await poll_once(healthy.target(), memory, FAST_ONLY, Config(poll=POLL), time.time())
        memory = seen.memory
        assert seen.record.diagnosis is None
    assert log_after(healthy) == lines
    assert mesh_requests(healthy) == requests
    assert silent_connections(healthy) == silent


def test_envoy_would_count_a_bare_connect_that_it_heard_of(healthy: Pod) -> None:
    before = silent_connections(healthy)
    with socket.create_connection((healthy.address, 15999)) as made:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_ZERO)
    healthy.wait(lambda: silent_connections(healthy) > before, "the connection to be counted")


async def test_identity_look_leaves_two_log_lines_and_no_request(healthy: Pod) -> None:
    lines, requests = log_after(healthy), mesh_requests(healthy)
    await looks(healthy, EVERY_CADENCE, 3)
    assert len(log_after(healthy)) - len(lines) == 3 * LINES_OF_AN_IDENTITY_LOOK
    assert mesh_requests(healthy) == requests


async def test_no_connection_of_ours_outlives_a_look(healthy: Pod) -> None:
    before = connections(healthy)
    await looks(healthy, EVERY_CADENCE, 5)
    await asyncio.sleep(0.2)
    assert connections(healthy) - before == set()


def connections(pod: Pod) -> set[str]:
    """Connections between us and the pod in any state, TIME_WAIT too, on both sides."""
    inside = ("ip", "netns", "exec", pod.network.name)
    rows = run("ss", "-Htan", "dst", pod.address).splitlines()
    rows += run(*inside, "ss", "-Htan", "dst", pod.network.gateways[4]).splitlines()
    return {" ".join(row.split()) for row in rows if ":15012" not in row}


def burn() -> None:
    """Use a CPU."""
    while True:
        pass


@contextlib.contextmanager
def starved(pod: Pod) -> Iterator[None]:
    """Give Envoy the last place on a CPU that another process burns."""
    pid = pod.processes["envoy"].pid
    burner = Process(target=burn, daemon=True)
    burner.start()
    os.sched_setaffinity(burner.pid or 0, {0})
    for thread in (int(task.name) for task in Path(f"/proc/{pid}/task").iterdir()):
        os.sched_setaffinity(thread, {0})
        os.setpriority(os.PRIO_PROCESS, thread, 8)
    try:
        yield
    finally:
        burner.kill()
        burner.join()


@pytest.mark.alone
async def test_hellos_to_a_starved_envoy_turn_no_port_down(
    say: Callable[[str], None],
) -> None:
    pod = Pod("starved", Shape()).start()
    try:
        healthy = await looks(pod, EVERY_CADENCE, 1)
        with starved(pod):
            hellos = await hello_often(pod)
    finally:
        pod.close()
    failed = [hello for hello in hellos if hello.outcome is not Outcome.OK]
    say(f"{HELLOS} hellos to a CPU-starved Envoy: {len(failed) / HELLOS:.1%} failed")
    others = [seen for seen in healthy.observations if seen.port != 15006]
    memory, downs = healthy.memory, 0
    for hello in hellos:
        target, config = pod.target(), Config(poll=POLL)
        record, memory = diagnose(
            target, ports_of(target), [*others, hello], memory, config, time.time()
        )
        downs += any(verdict.up is False for verdict in record.verdicts)
    assert (len(hellos), downs) == (HELLOS, 0)


async def hello_often(pod: Pod) -> list[Observation]:
    """A thousand TLS hellos to the control port, some at a time."""
    target = pod.target()
    via = control_port(target, 15999) or 0
    sent = Probe(15006, ProbeKind.HELLO, View.NETWORK, pod.address, via=via)
    dialer = Direct(pod.address)
    room = asyncio.Semaphore(AT_ONCE)

    async def hello() -> Observation:
        async with room:
            visit = Attempt(dialer, sent, EVERY_CADENCE, 1.0, target, ProbeOptions())
            return await probe(visit)

    return await asyncio.gather(*(hello() for _ in range(HELLOS)))
