"""How connections to one target are made: a `Dialer` per target address and view.

Probers use the Dialer alone, whether a socket is opened from here or inside the pod's network
namespace. Its rule: every connection dies with a reset when it is
closed, so that no TIME_WAIT entry stays behind.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol, TypeVar, runtime_checkable

from exporter.model import SocketTable, View
from exporter.transport.protocols import StreamT

DatagramT = TypeVar("DatagramT", bound=asyncio.DatagramProtocol)


class NoAccess(Exception):  # noqa: N818 - a fact about us, not a failure of the target
    """This view of the target is not open to us; the message is one sentence saying why."""


@runtime_checkable
class Dialer(Protocol):
    """Opens connections to one address of one target, as seen from one view.

    `address` is the IP literal that it connects to. Failures are `OSError` (the target's or the
    network's) or `NoAccess` (ours). `reports_accept`: that `connect` returns proves that the port
    accepted; elsewhere only what the protocol receives afterwards does.
    """

    view: View
    address: str
    reports_accept: bool

    def connect(self, port: int, factory: Callable[[], StreamT]) -> Awaitable[StreamT]:
        """Connect to a TCP port; awaited, it returns the protocol, as `transport` promises."""
        ...

    async def datagram(self, port: int, factory: Callable[[], DatagramT]) -> DatagramT:
        """Open a UDP socket connected to the port and return its protocol."""
        ...

    async def sockets(self) -> SocketTable:
        """Read the target's own socket table; only a namespace has one, else `NoAccess`."""
        ...


class PodView(Protocol):
    """How a target's pod view is reached; one per target.

    `needs_attention`: what was last observed there calls for another poll soon.
    """

    needs_attention: bool

    def seconds_between_views(self) -> float:
        """The interval between two views that the budget allows; 0 where each poll has one."""
        ...

    def entered(
        self, together: Sequence[int], apart: Sequence[int], *, urgent: bool
    ) -> AbstractAsyncContextManager[Dialer | None]:
        """Enter for one poll of these ports; None where it has to be skipped this time.

        `apart` are the ports whose closing has to be seen. `urgent`: the network's evidence is
        abnormal.
        """
        ...
