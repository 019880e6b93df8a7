"""The network view: plain sockets from this process to the target's address."""

import asyncio
from collections.abc import Callable

from exporter.access import DatagramT, NoAccess, StreamT, close_with_reset
from exporter.model import SocketTable, View


class Direct:
    """Dials an address over the network that this process is in."""

    __slots__ = ("address", "view")

    tells_connect = True

    def __init__(self, address: str) -> None:
        self.address = address
        self.view = View.NETWORK

    async def connect(self, port: int, factory: Callable[[], StreamT]) -> StreamT:
        """Open a TCP connection; an IP literal is never looked up."""
        loop = asyncio.get_running_loop()
        transport, protocol = await loop.create_connection(factory, self.address, port)
        close_with_reset(transport)
        return protocol

    async def datagram(self, port: int, factory: Callable[[], DatagramT]) -> DatagramT:
        """Open a UDP socket connected to the port."""
        loop = asyncio.get_running_loop()
        remote = (self.address, port)
        return (await loop.create_datagram_endpoint(factory, remote_addr=remote))[1]

    async def sockets(self) -> SocketTable:
        """Never: the network does not show a pod's socket table."""
        raise NoAccess("The socket table is seen only inside the pod's network namespace.")
