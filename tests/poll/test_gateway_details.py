"""A gateway without servers is found by Envoy's statistics, of which each poll reads enough."""

import asyncio

from exporter.config import Config
from exporter.model import EVERY_CADENCE, FAST_ONLY, Memory, Role, Settings, Target, TargetKey
from exporter.poll.poll_target import poll_once

NOW = 1_800_000_000.0
PAGE = """\
envoy_server_live 1
envoy_server_state 0
envoy_listener_manager_workers_started 1
envoy_listener_manager_lds_update_success 1
envoy_listener_manager_total_listeners_active %d
"""


async def test_the_last_server_of_a_gateway_and_its_first_are_noticed_by_the_next_poll() -> None:
    counts, asked = (3, 2, 2, 3, 3), []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        asked.append(b"cluster_manager" in head)
        page = (PAGE % counts[len(asked) - 1]).encode() if b"/stats/" in head else b""
        writer.write(b"HTTP/1.1 200 OK\r\nserver: envoy\r\n")
        writer.write(b"content-length: %d\r\n\r\n%s" % (len(page), page))
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    settings = Settings(status_port=0, health_port=0, stats_port=port)
    key, gateway = TargetKey("edge", "gateway"), Role.GATEWAY
    target = Target(
        key=key, role=gateway, addresses=("127.0.0.1",), settings=settings, captured=False
    )
    found, memory = [], Memory()
    async with server:
        for number in range(len(counts)):
            due = FAST_ONLY if number else EVERY_CADENCE
            seen = await poll_once(target, memory, due, Config(), NOW + 30.0 * number)
            memory = seen.memory
            found.append(seen.record.diagnosis.cause if seen.record.diagnosis else "")
    assert found == ["", "gateway_without_servers", "gateway_without_servers", "", ""]
    assert asked == [True, False, True, True, False]
