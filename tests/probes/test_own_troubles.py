"""What the exporter's own kernel refuses to it is no target's fault: by prober, and by role."""

import asyncio
import json
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from exporter.catalogue import PORTS
from exporter.model import ProbeKind, Role
from tests.probes.refusing_kernel import REFUSALS

ADDRESS = "127.0.14.1"
ANSWER = b"HTTP/1.1 200 OK\r\nserver: envoy\r\ncontent-length: 0\r\n\r\n"
PROBED, UNUSED = 15021, 15999
WITHOUT_BYTES = {ProbeKind.BLACKHOLE, ProbeKind.CONTROL, ProbeKind.TCP}
"""They send and receive nothing, so that they miss nothing either."""


class Answers(asyncio.DatagramProtocol):
    """DNS over UDP: an answer without records."""

    transport: asyncio.DatagramTransport

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.transport.sendto(data[:2] + b"\x80" + data[3:], addr)


async def look_at_refusals(backend: str) -> list[Any]:
    """What `refusing_kernel` prints beside ports that answer whatever they are sent."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            if await reader.read(1):
                writer.write(ANSWER)
                await reader.read()
        writer.close()

    ports = sorted({row.number for row in PORTS} - {UNUSED})
    servers = [await asyncio.start_server(talk, ADDRESS, port) for port in ports]
    loop = asyncio.get_running_loop()
    udp, _ = await loop.create_datagram_endpoint(Answers, local_addr=(ADDRESS, PROBED))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.probes.refusing_kernel", ADDRESS, str(PROBED)),
        stdout=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "ISTIO_PORT_EXPORTER_TRANSPORT": backend},
    )
    printed, _ = await process.communicate()
    for server in (udp, *servers):
        server.close()
    assert process.returncode == 0
    return [json.loads(line) for line in printed.splitlines()]


@pytest.mark.parametrize("backend", ["epoll", "event-loop"])
async def test_what_the_kernel_refuses_is_no_fault_of_a_target(backend: str) -> None:
    seen = await look_at_refusals(backend)
    assert len(seen) == len(REFUSALS)
    for call, error, found in seen:
        needs_bytes = call in ("sendto", "recvfrom")
        left = {kind: out for kind, out in found["outcomes"].items() if out != "no_access"}
        assert not left.keys() - (WITHOUT_BYTES if needs_bytes else set()), (call, error, left)
        unseen = {
            role: cause for role, cause in found["causes"].items() if cause != "unknown exporter"
        }
        assert not unseen.keys() - ({Role.AMBIENT} if needs_bytes else set()), (call, error, unseen)
        assert not any("fault" in cause for cause in unseen.values()), (call, error, unseen)
