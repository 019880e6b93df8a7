"""The shipped states on real sockets: what was recorded comes back, byte for byte."""

import asyncio
import json
import socket
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from exporter.access.netns import Netns
from exporter.demo import SHIPPED, DemoPod, Mesh, load_states, mesh
from exporter.demo.recorded_state import Exchange, RecordedView
from exporter.tls_contexts import client_context

pytestmark = [pytest.mark.real, pytest.mark.asyncio(loop_scope="module")]

STATES = load_states(SHIPPED)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def built() -> AsyncIterator[Mesh]:
    async with mesh(STATES, flat=False, earlier=False) as health:
        yield health


def views(pod: DemoPod) -> list[tuple[str, RecordedView]]:
    pairs = zip(pod.target.addresses, (pod.state.network, pod.state.network6), strict=False)
    return [(address, seen) for address, seen in pairs if seen is not None]


async def connects(address: str, port: int) -> str:
    try:
        async with asyncio.timeout(1.5):
            _, writer = await asyncio.open_connection(address, port)
    except ConnectionRefusedError:
        return "refused"
    except OSError:
        return "timeout"
    writer.transport.abort()
    return "ok"


async def test_every_recorded_connect_ends_as_then(built: Mesh) -> None:
    wanted = {
        (pod.name, address, port): connect
        for pod in built.pods
        for address, seen in views(pod)
        for port, connect in {**seen.connects, 15999: seen.connects.get(15009, "refused")}.items()
    }
    seen = await asyncio.gather(*(connects(address, port) for _, address, port in wanted))
    assert dict(zip(wanted, seen, strict=True)) == wanted


async def ask(address: str, row: Exchange) -> bytes:
    context = None
    if row.tls:
        context = client_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    reader, writer = await asyncio.open_connection(address, row.port, ssl=context)
    lines = [f"GET {row.path} HTTP/1.1", "Host: pod", *([row.header] if row.header else [])]
    writer.write("\r\n".join([*lines, "Connection: close", "", ""]).encode())
    try:
        async with asyncio.timeout(4):
            return await reader.readexactly(len(row.answer.data))
    except ConnectionResetError:
        return b""
    finally:
        writer.transport.abort()


async def test_every_recorded_request_is_answered_as_then(built: Mesh) -> None:
    asked = [
        (pod.name, address, row)
        for pod in built.pods
        for address, seen in views(pod)
        for row in seen.exchanges
        if row.answer.data
    ]
    answers = await asyncio.gather(*(ask(address, row) for _, address, row in asked))
    wrong = [
        (name, address, row.port, row.path)
        for (name, address, row), answer in zip(asked, answers, strict=True)
        if answer != row.answer.data
    ]
    assert len(asked) > 200
    assert wrong == []


def pod_of(built: Mesh, name: str) -> DemoPod:
    return next(pod for pod in built.pods if pod.state.name == name)


async def listening(pod: DemoPod) -> set[tuple[int, str]]:
    table = await Netns(pod.target.netns, pod.target.addresses[0]).sockets()
    return {(row.port, row.process) for row in table.listening if row.protocol == "tcp"}


async def test_sockets_have_their_owners(built: Mesh) -> None:
    for name in ("healthy", "app-holds-15001", "envoy-hung", "istiod-healthy"):
        pod = pod_of(built, name)
        assert await listening(pod) == {(row.port, row.process) for row in pod.state.sockets}


async def test_an_agent_is_connected_to_istiod_where_it_was(built: Mesh) -> None:
    pod = pod_of(built, "healthy")
    table = await Netns(pod.target.netns, pod.target.addresses[0]).sockets()
    assert [port for _, port in table.agent_connections] == [15012]


async def test_a_repetition_is_one_more_address_that_answers() -> None:
    states = [state for state in STATES if state.name == "healthy"]
    async with mesh(states, flat=False, targets=3) as grown:
        names = [pod.name for pod in grown.pods]
        answers = [await connects(pod.target.addresses[0], 15020) for pod in grown.pods]
    assert names == ["healthy", "healthy-1", "healthy-2"]
    assert answers == ["ok", "ok", "ok"]


async def test_without_a_network_pods_stand_on_loopback_addresses() -> None:
    states = [state for state in STATES if state.name in ("healthy", "network-policy-drop")]
    async with mesh(states, flat=True) as flat:
        (healthy,), (filtered,) = (pod.target.addresses for pod in flat.pods)
        seen = [
            await connects(healthy, 15999),
            await connects(healthy, 15008),
            await connects(filtered, 15020),
        ]
    assert healthy.startswith("127.")
    assert seen == ["ok", "refused", "timeout"]


KILLED = """
import asyncio, os, sys
from exporter.demo import SHIPPED, load_states, mesh
async def main():
    async with mesh(load_states(SHIPPED)[:2], flat=False) as built:
        for pod in built.pods:
            print(pod.target.netns, pod.target.addresses[0])
        sys.stdout.flush()
        await asyncio.sleep(60)
asyncio.run(main())
"""


def link_to(address: str) -> tuple[int, str]:
    """The link that leads to a pod. A later one of the same name has another number."""
    command = ("ip", "-json", "route", "get", address)
    [route] = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    return socket.if_nametoindex(route["dev"]), route["dev"]


def is_alive(pid: str) -> bool:
    return Path(f"/proc/{pid}").exists()


async def test_a_killed_mesh_leaves_nothing_behind() -> None:
    running = await asyncio.create_subprocess_exec(
        sys.executable, "-c", KILLED, stdout=subprocess.PIPE
    )
    assert running.stdout is not None
    rows = [(await running.stdout.readline()).decode().split() for _ in range(2)]
    links = {link_to(address) for _, address in rows}
    assert {name[:3] for _, name in links} == {"ipx"}
    running.kill()
    await running.wait()
    async with asyncio.timeout(10):
        while any(is_alive(pid) for pid, _ in rows) or links & set(socket.if_nameindex()):  # noqa: ASYNC110 - the kernel sends no event
            await asyncio.sleep(0.05)
    assert len(links) == 2
