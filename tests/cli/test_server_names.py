"""An API server's name that resolves to nothing, by a resolver of our own."""

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rrset
import pytest

RESOLVER = "127.53.53.53"
CHECK = """
mount --bind "$1" /etc/resolv.conf
exec "$0" -m exporter.cli check --kubeconfig "$2"
"""
KUBECONFIG = """
apiVersion: v1
kind: Config
current-context: it
contexts: [{name: it, context: {cluster: it, user: it}}]
clusters: [{name: it, cluster: {server: "https://api.%s.test:6443"}}]
users: [{name: it, user: {token: abc}}]
"""


def answer(query: bytes) -> bytes:
    """Two names that point to each other, or a failure."""
    asked = dns.message.from_wire(query)
    reply = dns.message.make_response(asked)
    reply.flags |= dns.flags.RA
    name = asked.question[0].name
    if b"loop" in name.labels:
        again = dns.name.from_text("again.loop.test.")
        for one, other in ((name, again), (again, name)):
            reply.answer.append(dns.rrset.from_text(one, 60, "IN", "CNAME", other.to_text()))
    else:
        reply.set_rcode(dns.rcode.SERVFAIL)
    return reply.to_wire()


class Resolver(asyncio.DatagramProtocol):
    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.transport.sendto(answer(data), addr)


@pytest.fixture
async def resolv_conf(tmp_path: Path) -> AsyncIterator[Path]:
    """The file that makes it everybody's resolver."""
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(Resolver, local_addr=(RESOLVER, 53))
    file = tmp_path / "resolv.conf"
    file.write_text(f"nameserver {RESOLVER}\noptions timeout:1 attempts:1\n")
    yield file
    transport.close()


NAMES = {
    "loop": "name or service not known",
    "failing": "temporary failure in name resolution",
}


@pytest.mark.real("unshare")
async def test_a_server_whose_name_does_not_resolve_is_named_with_the_reason(
    resolv_conf: Path, tmp_path: Path
) -> None:
    said = await asyncio.gather(*(check(name, resolv_conf, tmp_path) for name in NAMES))
    for (name, reason), (code, out, error) in zip(NAMES.items(), said, strict=True):
        assert (code, out) == (3, b"")
        assert error.decode().startswith(
            f"No response from https://api.{name}.test:6443: {reason}; check that this cluster"
        )


async def check(name: str, resolv_conf: Path, folder: Path) -> tuple[int | None, bytes, bytes]:
    """`check` of the cluster of this name: exit code, output, errors."""
    kubeconfig = folder / f"{name}.yaml"
    kubeconfig.write_text(KUBECONFIG % name)
    files = (str(resolv_conf), str(kubeconfig))
    checked = await asyncio.create_subprocess_exec(
        *("unshare", "--mount", "sh", "-ec", CHECK, sys.executable, *files),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(30):
        out, error = await checked.communicate()
    return checked.returncode, out, error
