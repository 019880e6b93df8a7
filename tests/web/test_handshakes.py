"""TLS handshakes that come all at once: none of them is answered in the turn of another."""

import asyncio
import socket
import ssl
from contextlib import suppress
from pathlib import Path

import pytest
from aiohttp import web

from exporter.tls_contexts import client_context, server_context
from exporter.web.server import DEFAULT, serving
from tests.cpu_time import LIMIT, compared, longest_turn
from tests.web.certificates import Authority


def hello() -> bytes:
    """What a client sends first."""
    context = client_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    received, sent = ssl.MemoryBIO(), ssl.MemoryBIO()
    with suppress(ssl.SSLWantReadError):
        context.wrap_bio(received, sent).do_handshake()
    return sent.read()


async def answered_at_once(address: tuple[str, int], early: int) -> float:
    """The longest turn while as many hellos are answered as one client may send at once.

    So many bytes of each were sent before.
    """
    loop, first = asyncio.get_running_loop(), hello()
    clients = [socket.socket() for _ in range(DEFAULT.client_connections)]
    for client in clients:
        client.setblocking(False)  # noqa: FBT003 - as sockets have it
        await loop.sock_connect(client, address)
        client.send(first[:early])
    await asyncio.sleep(0.5)
    for client in clients:
        client.send(first[early:])
    answers = asyncio.gather(*(loop.sock_recv(client, 5) for client in clients))
    longest = await longest_turn(answers)
    assert {answer[:1] for answer in await answers} == {b"\x16"}
    for client in clients:
        client.close()
    await asyncio.sleep(0.2)
    return compared(longest)


@pytest.mark.parametrize("early", [0, 1, 100])
async def test_the_hellos_of_a_client_that_come_at_once_hold_nobody(
    tmp_path: Path, early: int
) -> None:
    """Of some times the shortest: collections of garbage are not the hellos' doing."""
    Authority("first").issue(tmp_path, "tls", "served")
    tls = server_context()
    tls.load_cert_chain(tmp_path / "tls.crt", tmp_path / "tls.key")
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    address = listener.getsockname()
    async with serving(web.Application(), listener, tls):
        assert min([await answered_at_once(address, early) for _ in range(4)]) < LIMIT / 4
