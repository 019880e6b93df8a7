"""Pods that break the rules of TCP and HTTP, each in its way: `python FILE NUMBER NAME...`.

Each name is served on an address of its own, on the ports of a gateway's agent and Envoy. Printed
when all listen.
"""

import asyncio
import contextlib
import socket
import struct
import sys
import time
from collections.abc import Awaitable, Callable

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

PORTS = (15020, 15021, 15090)
OK = b"HTTP/1.1 200 OK\r\n"
STATS = b"envoy_server_live{} 1\nenvoy_server_state{} 0\nistio_agent_scrapes_total 1\n"


def address_of(number: int) -> str:
    """Where the pod of this number is."""
    return f"127.0.{11 + number // 250}.{number % 250 + 1}"


def reset(writer: asyncio.StreamWriter) -> None:
    """End with a reset."""
    raw = writer.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def asked(reader: asyncio.StreamReader) -> bytes:
    """The next request."""
    return await reader.readuntil(b"\r\n\r\n")


async def honest(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer as an agent and an Envoy do."""
    port = writer.get_extra_info("sockname")[1]
    while True:
        head = await asked(reader)
        body = STATS if b"/stats" in head else b""
        server = b"" if port == 15020 else b"server: envoy\r\n"
        writer.write(OK + server + b"content-length: %d\r\n\r\n" % len(body) + body)


async def silent(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    """Accept, and no more."""
    await reader.read(-1)


async def reset_at_once(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Reset before anything was asked."""
    reset(writer)


async def changing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer for a while, then be silent, then reset: a third of a minute each."""
    talk = (honest, silent, reset_at_once)[int(time.monotonic() / 20) % 3]
    await talk(reader, writer)


def answers(data: bytes, *, resets: bool = False, closes: bool = False) -> Talk:
    """Answer every request with these bytes, and then reset, close or wait."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await asked(reader)
            writer.write(data)
            if resets or closes:
                await writer.drain()
                await asyncio.sleep(0.02)
                reset(writer) if resets else writer.close()
                return

    return talk


def endless(head: bytes, piece: bytes, pause: float = 0.0) -> Talk:
    """Answer with a beginning, and then a piece again and again."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asked(reader)
        writer.write(head)
        while True:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(pause)

    return talk


DROPPED = "connects dropped"
TALKS: dict[str, Talk] = {
    "honest": honest,
    "changing": changing,
    "silent": silent,
    "reset at once": reset_at_once,
    "reset when asked": answers(b"", resets=True),
    "reset in the headers": answers(OK + b"x-a: ", resets=True),
    "reset in the body": answers(OK + b"content-length: 99\r\n\r\nabc", resets=True),
    "closed when asked": answers(b"", closes=True),
    "closed in the body": answers(OK + b"content-length: 99\r\n\r\nabc", closes=True),
    "one byte a second": endless(b"", b"H", pause=1.0),
    "one header byte a second": endless(OK + b"x-a: ", b"x", pause=1.0),
    "endless body": endless(OK + b"content-length: 999999999999\r\n\r\n", b"x" * 65536),
    "chunked without end": endless(
        OK + b"transfer-encoding: chunked\r\n\r\n", b"2\r\nxx\r\n" * 9000
    ),
    "endless headers": endless(OK, b"x-a: b\r\n" * 8000),
    "one endless header": endless(OK + b"x-a: ", b"x" * 65536),
    "1xx without end": endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 2000),
    "lengths that contradict": answers(OK + b"content-length: 2\r\ncontent-length: 7\r\n\r\nok"),
    "length beside chunks": answers(
        OK + b"content-length: 2\r\ntransfer-encoding: chunked\r\n\r\nok"
    ),
    "a length that is none": answers(OK + b"content-length: -1\r\n\r\n"),
    "upgrade": answers(b"HTTP/1.1 101 Switching\r\nupgrade: h2c\r\nconnection: upgrade\r\n\r\n"),
    "HTTP/0.9": answers(b"<html>hello</html>", closes=True),
    "TLS alert on plain": answers(b"\x15\x03\x03\x00\x02\x02\x46", closes=True),
    "another protocol": answers(b"220 mail ESMTP\r\n"),
    "redirects": answers(
        b"HTTP/1.1 302 Found\r\nlocation: http://10.0.0.1/\r\ncontent-length: 0\r\n\r\n"
    ),
    "an answer too many": answers(OK + b"content-length: 0\r\n\r\n" + OK + b"\r\n"),
}


def drop_connects(address: str, port: int) -> list[socket.socket]:
    """Listen with a queue that is full and never emptied: the kernel drops what asks to connect."""
    listening = socket.create_server((address, port), backlog=0)
    kept = [listening]
    for _ in range(3):
        waiting = socket.socket()
        waiting.settimeout(0)
        waiting.connect_ex((address, port))
        kept.append(waiting)
    return kept


async def main(names: list[str], first: int) -> None:
    """Serve until the end."""
    async with contextlib.AsyncExitStack() as stack:
        for number, name in enumerate(names, first):
            for port in PORTS:
                if name == DROPPED:
                    stack.callback(list.clear, drop_connects(address_of(number), port))
                    continue
                served = guarded(TALKS[name])
                server = await asyncio.start_server(served, address_of(number), port, backlog=512)
                stack.callback(server.close)
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


def guarded(talk: Talk) -> Talk:
    """The same, that ends with its peer."""

    async def run(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            await talk(reader, writer)
        writer.transport.abort()

    return run


if __name__ == "__main__":
    asyncio.run(main(sys.argv[2:], int(sys.argv[1])))
