"""The pod's view: sockets made in its network namespace, used by the normal event loop.

One worker thread of its own enters a namespace, makes a socket and goes back; the event loop's
thread is never moved. A socket stays in the namespace it was made in, so connecting and talking
are ordinary. Needs CAP_SYS_ADMIN to enter; and where the processes are other users', CAP_SYS_PTRACE
to open their namespace and CAP_DAC_READ_SEARCH to name who holds a socket.
"""

import asyncio
import ctypes
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, contextmanager, nullcontext
from functools import partial
from typing import TypeVar

from msgspec.structs import replace

from exporter.access.cpu_throttling import read_throttling
from exporter.access.dialer import DatagramT, NoAccess
from exporter.access.direct import connect_datagram, family_of
from exporter.access.pod_processes import LocateNamespace, PodNamespace
from exporter.access.socket_table import read_sockets
from exporter.model import SocketTable, View
from exporter.transport.backend import connect_socket
from exporter.transport.protocols import StreamT

_CLONE_NEWNET = 0x40000000
_LOOPBACK = {False: "127.0.0.1", True: "::1"}
"""The loopback address by whether it is IPv6."""
_HOME = "/proc/thread-self/ns/net"

_libc = ctypes.CDLL(None, use_errno=True)
_worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="netns")
_reader = ThreadPoolExecutor(max_workers=1, thread_name_prefix="netns-table")

T = TypeVar("T")


class Netns:
    """Connects to a pod's loopback from within its network namespace.

    `netns` is a name under /run/netns, a path, a process id, or what finds it at each connection,
    because a pod's processes change. The loopback addresses are those of the target's families,
    IPv4 first: on a mixed pod Envoy binds admin to 127.0.0.1 unless both are configured (Istio
    pkg/bootstrap/config.go).
    """

    __slots__ = ("_locate", "_loopbacks", "address", "needs_attention", "view")

    reports_accept = True

    def __init__(self, netns: str | LocateNamespace, *addresses: str) -> None:
        self._locate = partial(PodNamespace, path_of(netns)) if isinstance(netns, str) else netns
        families = {":" in address for address in addresses}
        self._loopbacks = tuple(_LOOPBACK[is_six] for is_six in sorted(families))
        self.address = self._loopbacks[0]
        self.view = View.POD
        self.needs_attention = False

    def entered(
        self, together: Sequence[int], apart: Sequence[int], *, urgent: bool
    ) -> AbstractAsyncContextManager["Netns"]:
        """Nothing is opened in advance, and there is no budget."""
        del together, apart, urgent
        return nullcontext(self)

    def seconds_between_views(self) -> float:
        """0: every poll has one."""
        return 0.0

    async def connect(self, port: int, factory: Callable[[], StreamT]) -> StreamT:
        """Open a TCP connection in the namespace; refused when every loopback refuses."""
        *others, last = self._loopbacks
        for loopback in others:
            try:
                return await self._connect(loopback, port, factory)
            except ConnectionRefusedError:
                continue
        return await self._connect(last, port, factory)

    async def _connect(self, loopback: str, port: int, factory: Callable[[], StreamT]) -> StreamT:
        made = await self._socket(loopback, socket.SOCK_STREAM)
        return await connect_socket(made, (loopback, port), factory)

    async def datagram(self, port: int, factory: Callable[[], DatagramT]) -> DatagramT:
        """Open a UDP socket in the namespace, connected to the port."""
        made = await self._socket(self.address, socket.SOCK_DGRAM)
        return await connect_datagram(made, (self.address, port), factory)

    async def sockets(self) -> SocketTable:
        """Read who listens in the namespace; its own thread, because it scans /proc."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(_reader, _run_in_namespace, self._locate, _read_table)

    async def _socket(self, loopback: str, kind: socket.SocketKind) -> socket.socket:
        family = family_of(loopback)
        making = _worker.submit(
            _run_in_namespace,
            self._locate,
            lambda _place: socket.socket(family, kind | socket.SOCK_NONBLOCK),
        )
        try:
            return await asyncio.wrap_future(making)
        except BaseException:
            making.add_done_callback(_close)  # the thread may be making it at this moment
            raise


def _close(making: Future[socket.socket]) -> None:
    """Close a socket that nobody waits for any more, where it was made."""
    if not making.cancelled() and making.exception() is None:
        making.result().close()


def _read_table(namespace: PodNamespace) -> SocketTable:
    """The sockets of the namespace that this thread is in, and the throttling of the container."""
    throttling = read_throttling(namespace.own) if namespace.own else None
    return replace(read_sockets(namespace.processes), throttling=throttling)


def path_of(netns: str) -> str:
    """The namespace's file: of a process id, a path, or a name under /run/netns."""
    if netns.isdigit():
        return f"/proc/{netns}/ns/net"
    return netns if "/" in netns else f"/run/netns/{netns}"


def _run_in_namespace(locate: LocateNamespace, work: Callable[[PodNamespace], T]) -> T:
    namespace = locate()
    with _entered(namespace.path):
        return work(namespace)


@contextmanager
def _entered(path: str) -> Iterator[None]:
    """Move this thread into a namespace and back.

    Raises:
        NoAccess: there is no such namespace, or no right to enter it.
    """
    home = os.open(_HOME, os.O_RDONLY | os.O_CLOEXEC)
    try:
        try:
            there = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                _set(there)
            finally:
                os.close(there)
        except OSError as error:
            reason = error.strerror or str(error)
            message = f"The network namespace {path} cannot be entered: {reason}."
            raise NoAccess(message) from None
        try:
            yield
        finally:
            _set(home)
    finally:
        os.close(home)


def _set(descriptor: int) -> None:
    if _libc.setns(descriptor, _CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
