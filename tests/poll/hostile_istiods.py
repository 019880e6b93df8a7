"""Istiods whose HTTP is honest, and whose TLS and gRPC break the rules: `FOLDER NUMBER NAME...`.

The root of their mesh is FOLDER/mesh/root-cert.pem. Printed when all listen.
"""

import asyncio
import contextlib
import ssl
import struct
import sys
from pathlib import Path

from tests.poll.hostile_pods import OK, Talk, address_of, asked, endless, guarded, silent
from tests.probes.mesh import MeshAuthority

NAME = "istiod.istio-system.svc"
PAGES = {b"/version": b"1.28.0-abc-Clean", b"/metrics": b"pilot_xds 1\npilot_info 1\n"}


async def pages(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Readiness, version and metrics, as istiod's."""
    while True:
        body = PAGES.get((await asked(reader)).split()[1], b"")
        writer.write(OK + b"content-length: %d\r\n\r\n" % len(body) + body)


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """A frame of HTTP/2 (RFC 9113, 4.1)."""
    return struct.pack("!I", len(payload))[1:] + struct.pack("!BBI", kind, flags, stream) + payload


SETTINGS = frame(4, 0, 0)
UNIMPLEMENTED = b"\x88\x00\x0bgrpc-status\x0212"
"""`:status: 200` and `grpc-status: 12` (RFC 7541)."""


def says(data: bytes, piece: bytes = b"") -> Talk:
    """Send these bytes unasked, and then a piece again and again, or wait."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        while piece:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.05)
        await reader.read(-1)

    return talk


serves = says(SETTINGS + frame(1, 5, 1, UNIMPLEMENTED))

TALKS: dict[str, Talk] = {
    "SETTINGS without end": says(SETTINGS, SETTINGS * 500),
    "PING without end": says(SETTINGS, frame(6, 0, 0, b"12345678") * 500),
    "1xx without end": says(SETTINGS, frame(1, 4, 1, b"\x08\x03100") * 500),
    "CONTINUATION without end": says(
        SETTINGS + frame(1, 0, 1, b"\x88"), frame(9, 0, 1, b"\x00\x01a\x01b" * 100)
    ),
    "GOAWAY": says(SETTINGS + frame(7, 0, 0, b"\0" * 8)),
    "HTTP/1.1 in TLS": endless(b"", b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", pause=1.0),
    "silent in TLS": silent,
}
"""What gRPC comes to, behind a handshake that is in order."""

WITHOUT_TLS: dict[str, Talk] = {
    "plain HTTP on TLS": says(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
    "alerts without end": says(b"", b"\x15\x03\x03\x00\x02\x01\x5a" * 500),
    "records without end": says(b"", b"\x16\x03\x03\x40\x00" + b"\0" * 16384),
    "half a handshake": silent,
}


def contexts(folder: Path) -> dict[str, ssl.SSLContext]:
    """Certificates that are wrong, and the right one."""
    mesh, other = MeshAuthority(folder / "mesh"), MeshAuthority(folder / "other")
    return {
        "right": mesh.serving(NAME),
        "expired": mesh.serving(NAME, days=-1),
        "not yet valid": mesh.serving(NAME, begins=1, days=2),
        "of another root": other.serving(NAME),
        "of its own": mesh.serving(NAME, signed=False),
        "of another name": mesh.serving("tenant.shop.svc"),
        "of many names": mesh.serving(NAME, *(f"n{n}.example.org" for n in range(1000))),
        "of names beyond a handshake": mesh.serving(*(f"n{n}.example.org" for n in range(4500))),
        "of a huge chain": mesh.serving(NAME, chain=2000),
    }


CERTIFICATES = (
    *("expired", "not yet valid", "of another root", "of its own", "of another name"),
    *("of many names", "of names beyond a handshake", "of a huge chain"),
)


def rows(
    name: str, made: dict[str, ssl.SSLContext]
) -> list[tuple[int, Talk, ssl.SSLContext | None]]:
    """Its ports, what each says and in which TLS."""
    broken = WITHOUT_TLS.get(name)
    tls = None if broken else made.get(name, made["right"])
    return [
        (8080, pages, None),
        (15010, TALKS.get(name, serves), None),
        (15012, broken or TALKS.get(name, serves), tls),
        (15014, pages, None),
        (15017, broken or TALKS.get(name, pages), tls),
    ]


async def main(folder: Path, names: list[str], first: int) -> None:
    """Serve until the end."""
    made = contexts(folder)
    async with contextlib.AsyncExitStack() as stack:
        for number, name in enumerate(names, first):
            for port, served, context in rows(name, made):
                server = await asyncio.start_server(
                    guarded(served), address_of(number), port, backlog=512, ssl=context
                )
                stack.callback(server.close)
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[3:], int(sys.argv[2])))
