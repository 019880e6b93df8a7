"""A ztunnel as a pod's network sees it: `python ztunnel.py FOLDER [--application PORT]`.

Listens in the namespace that it is started in, as recorded of ztunnel: on 15008 it presents the
workload's certificate over TLS 1.3 and demands one, 15001 and 15006 close what they accept, 15053
answers DNS on loopback. Every connection that it accepts is one line on standard output; what
`--mode` says differs: `closing` closes hellos at once, `waiting` after five seconds; `absent` has
no port of ztunnel's.
"""

import argparse
import asyncio
import ssl
import sys
from pathlib import Path

from exporter.tls_contexts import server_context
from tests.real.servers import name_process

DNS = 15053
_WAITS_SECONDS = 5.01


def log(port: int, what: str) -> None:
    """One line, at once."""
    sys.stdout.write(f"{port} {what}\n")
    sys.stdout.flush()


def closing(port: int, seconds: float = 0.0) -> object:
    async def serve(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        log(port, "accepted")
        await asyncio.sleep(seconds)
        writer.close()

    return serve


def secured(folder: Path) -> object:
    """Demands a certificate once it has presented its own; without one it closes."""
    context = server_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(folder / "chain.pem", folder / "key.pem")
    context.load_verify_locations(folder / "root.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    context.set_alpn_protocols(["h2"])

    async def serve(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await writer.start_tls(context)
        except (ssl.SSLError, ConnectionError):
            log(15008, "NoCertificatesPresented")
        else:
            log(15008, "served")
        writer.close()

    return serve


async def application(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    log(8080, "accepted")
    await reader.read(1024)
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
    writer.close()


class Dns(asyncio.DatagramProtocol):
    """Gives each question back as its answer."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.DatagramTransport = transport  # type: ignore[assignment]

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._transport.sendto(data[:2] + b"\x81\x80" + data[4:], addr)


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--mode", default="serving")
    parser.add_argument("--application", type=int, default=0)
    options = parser.parse_args()
    loop = asyncio.get_running_loop()
    backlog = {"backlog": 4096}
    match options.mode:
        case "serving":
            await asyncio.start_server(secured(options.folder), None, 15008, **backlog)
        case "closing":
            await asyncio.start_server(closing(15008), None, 15008, **backlog)
        case "waiting":
            await asyncio.start_server(closing(15008, _WAITS_SECONDS), None, 15008, **backlog)
    for port in () if options.mode == "absent" else (15001, 15006):
        await asyncio.start_server(closing(port), None, port, **backlog)
    await loop.create_datagram_endpoint(Dns, local_addr=("127.0.0.1", DNS))
    if options.application:
        await asyncio.start_server(application, None, options.application, **backlog)
    log(0, "ready")
    await asyncio.Event().wait()


if __name__ == "__main__":
    name_process("ztunnel")
    asyncio.run(main())
