"""The network view: plain sockets from this process to the target's address."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from ipaddress import ip_address

from exporter.access.dialer import DatagramT, NoAccess
from exporter.model import SocketTable, View
from exporter.transport import backend
from exporter.transport.protocols import StreamT


class Direct:
    """Connects to an address over the network that this process is in.

    An IPv4 address that is written as an IPv6 one is used as what it is: a socket that was
    connected to one can never be used for IPv6 again.
    """

    __slots__ = ("address", "family", "host", "view")

    reports_accept = True

    def __init__(self, address: str) -> None:
        mapped = getattr(ip_address(address), "ipv4_mapped", None)
        self.host = str(mapped or address)
        self.family = family_of(self.host)
        self.address = address
        self.view = View.NETWORK

    def connect(self, port: int, factory: Callable[[], StreamT]) -> Awaitable[StreamT]:
        """Connect; an IP literal is never resolved."""
        return backend.connect(self.family, (self.host, port), factory)

    async def datagram(self, port: int, factory: Callable[[], DatagramT]) -> DatagramT:
        """Open a UDP socket connected to the port."""
        own = socket.socket(self.family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        return await connect_datagram(own, (self.host, port), factory)

    async def sockets(self) -> SocketTable:
        """Never: the network does not show a pod's socket table."""
        raise NoAccess("The socket table is seen only inside the pod's network namespace.")


def family_of(address: str) -> socket.AddressFamily:
    """The family of sockets that reach an IP literal."""
    return socket.AF_INET6 if ":" in address else socket.AF_INET


async def connect_datagram(
    own: socket.socket, remote: tuple[str, int], factory: Callable[[], DatagramT]
) -> DatagramT:
    """Connect a fresh non-blocking UDP socket, which is taken over; returns its protocol."""
    loop = asyncio.get_running_loop()
    try:
        own.connect(remote)
        return (await loop.create_datagram_endpoint(factory, sock=own))[1]
    except BaseException:
        own.close()
        raise


_DISCARD = 9


def source_address(address: str) -> str:
    """The address from which the kernel would send to this one; empty without a route to it.

    Nothing is sent to find out.
    """
    try:
        with socket.socket(family_of(address), socket.SOCK_DGRAM) as asking:
            asking.connect((address, _DISCARD))
            own: str = asking.getsockname()[0]
    except OSError:
        return ""
    return own


def is_own_address(address: str) -> bool:
    """Whether this process's network has the address: the kernel would send from it to itself.

    A pod with a network of its own does not have its node's, though it runs there.
    """
    return source_address(address) == address
