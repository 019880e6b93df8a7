"""15008 of every pod, as ztunnel answers it: TLS 1.3, our certificate, then a client's is required.

`python -m benchmarks.scale.ztunnel FOLDER` serves until it is killed, with the chain and key in the
folder, and adds the time of each finished hello to `hellos` there (seconds since the epoch). A
recorded ztunnel sends its certificate first and `certificate_required` after our Finished.
"""

import asyncio
import contextlib
import socket
import ssl
import sys
import time
from pathlib import Path

from exporter.demo.tls_socket import TlsSocket
from exporter.tls_contexts import server_context

PORT = 15008
_BACKLOG = 4096


def _context(folder: Path) -> ssl.SSLContext:
    context = server_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(folder / "chain.pem", folder / "key.pem")
    context.load_verify_locations(folder / "root.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    context.set_alpn_protocols(["h2"])
    return context


async def _answer(accepted: socket.socket, context: ssl.SSLContext, hellos: Path) -> None:
    with accepted, contextlib.suppress(OSError, ssl.SSLError):
        connected = TlsSocket(accepted)
        first = await connected.read()
        if not first:
            return
        with hellos.open("a") as file:
            file.write(f"{time.time():.3f}\n")
        await connected.secure(context, first)


async def main(folder: Path) -> None:
    """Serve every address of the namespace."""
    context, hellos = _context(folder), folder / "hellos"
    loop, tasks = asyncio.get_running_loop(), set()
    with socket.socket() as bound:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.setblocking(False)  # noqa: FBT003 - its one argument
        bound.bind(("0.0.0.0", PORT))
        bound.listen(_BACKLOG)
        while True:
            accepted, _ = await loop.sock_accept(bound)
            task = loop.create_task(_answer(accepted, context, hellos))
            tasks.add(task)
            task.add_done_callback(tasks.discard)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
