"""What of a node's kubelet the API server talks to: port-forward over a WebSocket.

The API server passes a client's upgrade on unchanged to the Node's kubelet endpoint. From then on
this answers as the kubelet's CRI streaming server does (k8s.io/cri-streaming, portforward/
websocket.go): channel 2n carries the data of the n-th port, 2n+1 its error; the first frame of
each names the port, little endian; a failure is one text on the error channel, which containerd
words (internal/cri/server/sandbox_portforward_linux.go); when every port is done it says goodbye
and drops the connection at once.
"""

import asyncio
import contextlib
import ctypes
import os
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from aiohttp import WSCloseCode, WSMsgType, web

from exporter.tls_contexts import server_context
from tests.real.kubernetes.authority import Authority

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
PROTOCOL = "v4.channel.k8s.io"
HOME = Path("/proc/thread-self/ns/net")
_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


class Kubelet:
    """Forwards into pods. Each is a network namespace's path, or an address of this machine.

    `places`: where a pod is, by (namespace, name). `opened`: the (namespace, name, port) of every
    forward so far, `connected` those of the ports that took a connection.
    """

    def __init__(self, authority: Authority, name: str) -> None:
        self.name = name
        self.places: dict[tuple[str, str], str] = {}
        self.opened: list[tuple[str, str, int]] = []
        self.connected: list[tuple[str, str, int]] = []
        self.port = 0
        self._tls = server_context()
        self._tls.load_verify_locations(authority.root)
        self._tls.load_cert_chain(*authority.issue(f"kubelet-{name}"))
        self._tls.verify_mode = ssl.CERT_REQUIRED
        self._open: set[asyncio.Transport] = set()
        # One thread enters namespaces, so that the event loop's own never does.
        self._inside = ThreadPoolExecutor(max_workers=1)

    @property
    def connections(self) -> int:
        """How many are open now."""
        return len(self._open)

    def node(self, *, ready: bool = True) -> dict[str, Any]:
        """The Node's document, status included."""
        return {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": self.name},
            "status": {
                "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
                "conditions": [{"type": "Ready", "status": str(ready)}],
                "daemonEndpoints": {"kubeletEndpoint": {"Port": self.port}},
            },
        }

    def drop(self) -> None:
        """Break every forward that is open, without a closing word."""
        for transport in self._open:
            transport.abort()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """One forward, from the upgrade to its end."""
        pod = (request.match_info["namespace"], request.match_info["pod"])
        ports = [int(text) for row in request.query.getall("port", []) for text in row.split(",")]
        forward = web.WebSocketResponse(protocols=(PROTOCOL,))
        await forward.prepare(request)
        transport = request.transport
        assert isinstance(transport, asyncio.Transport)
        self._open.add(transport)
        try:
            for index, port in enumerate(ports):
                self.opened.append((*pod, port))
                for channel in (2 * index, 2 * index + 1):
                    await forward.send_bytes(bytes([channel]) + struct.pack("<H", port))
            await self._forward(forward, pod, ports)
        finally:
            self._open.discard(transport)
            await _leave(forward, transport)
        return forward

    async def _forward(
        self, forward: web.WebSocketResponse, pod: tuple[str, str], ports: list[int]
    ) -> None:
        writers: dict[int, asyncio.StreamWriter] = {}
        tasks: list[asyncio.Future[Any]] = []
        try:
            for index, port in enumerate(ports):
                try:
                    reader, writers[2 * index] = await self._connect(pod, port)
                except OSError as error:
                    words = self._failure(pod, port, error).encode()
                    await forward.send_bytes(bytes([2 * index + 1]) + words)
                    continue
                self.connected.append((*pod, port))
                tasks.append(asyncio.create_task(_pass_back(forward, 2 * index, reader)))
            back = asyncio.gather(*tasks)
            tasks += [back, asyncio.create_task(_pass_on(forward, writers))]
            await asyncio.wait(tasks[-2:], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for writer in writers.values():
                writer.transport.abort()

    async def _connect(
        self, pod: tuple[str, str], port: int
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """To the pod's loopback, IPv4 first as containerd does."""
        place = self.places.get(pod, "")
        if not place.startswith("/"):
            return await asyncio.open_connection(place or "127.0.0.1", port)
        loop = asyncio.get_running_loop()
        for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
            made = await loop.run_in_executor(self._inside, _socket_in, place, family)
            made.settimeout(0)
            try:
                await loop.sock_connect(made, (host, port))
            except OSError as error:
                made.close()
                refused = error
            else:
                return await asyncio.open_connection(sock=made)
        raise refused

    def _failure(self, pod: tuple[str, str], port: int, error: OSError) -> str:
        reason = os.strerror(error.errno).lower() if error.errno else str(error)
        place = self.places.get(pod, "/var/run/netns/cni-0")
        return (
            f"error forwarding port {port} to pod {pod[1]}, uid : failed to execute portforward in "
            f'network namespace "{place}": failed to connect to localhost:{port} inside namespace '
            f'"{pod[1]}", IPv4: dial tcp4 127.0.0.1:{port}: connect: {reason} '
            f"IPv6 dial tcp6 [::1]:{port}: connect: {reason} "
        )

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Listen on a port of 127.0.0.1."""
        application = web.Application(middlewares=[acceptable])
        application.router.add_get("/portForward/{namespace}/{pod}", self.answer)
        runner = web.AppRunner(application, shutdown_timeout=0.1, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=self._tls)
        await site.start()
        self.port = runner.addresses[0][1]
        try:
            yield
        finally:
            await runner.cleanup()
            self._inside.shutdown()


@web.middleware
async def acceptable(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse who asks for a type, as the kubelet's route of port-forwards does.

    It says of no type that it produces it (pkg/kubelet/server/server.go, "/portForward"), and
    go-restful then takes no Accept but one with */* in it, or none (jsr311.go `detectRoute`,
    route.go `matchesAccept`).
    """
    types = (row.partition(";")[0].strip() for row in request.headers.get("Accept", "").split(","))
    if request.headers.get("Accept") and "*/*" not in types:
        return web.Response(status=406, text="406: Not Acceptable\n\nAvailable representations: ")
    return await handler(request)


async def _leave(forward: web.WebSocketResponse, transport: asyncio.Transport) -> None:
    """Close as golang.org/x/net/websocket does: a CLOSE frame, and no waiting for an answer."""
    with contextlib.suppress(ConnectionError):
        await forward.send_frame(struct.pack(">H", WSCloseCode.OK), WSMsgType.CLOSE)
    transport.abort()


async def _pass_back(
    forward: web.WebSocketResponse, channel: int, reader: asyncio.StreamReader
) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65536):
            await forward.send_bytes(bytes([channel]) + data)


async def _pass_on(
    forward: web.WebSocketResponse, writers: dict[int, asyncio.StreamWriter]
) -> None:
    """Until the client goes away."""
    async for message in forward:
        if message.type is not WSMsgType.BINARY:
            return
        writer = writers.get(message.data[0])
        if writer and message.data[1:]:
            writer.write(message.data[1:])


def _socket_in(netns: str, family: int) -> socket.socket:
    """A socket made inside a network namespace; the thread is back outside afterwards."""
    with HOME.open() as home, Path(netns).open() as inside:
        _enter(inside.fileno())
        try:
            return socket.socket(family, socket.SOCK_STREAM)
        finally:
            _enter(home.fileno())


def _enter(namespace: int) -> None:
    if _libc.setns(namespace, _CLONE_NEWNET):
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
