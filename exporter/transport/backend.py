"""The one place that chooses the backend: epoll's where there is one, else the event loop's.

The environment variable is for `make bench`, which compares the two.
"""

import os
import select
from collections.abc import Callable

from exporter.transport.protocols import BareConnect, ConnectEnded

VARIABLE = "ISTIO_PORT_EXPORTER_TRANSPORT"
NAME = os.environ.get(VARIABLE) or ("epoll" if hasattr(select, "epoll") else "event-loop")

bare_connect: Callable[[int, tuple[str, int], ConnectEnded], BareConnect] | None = None
"""A half-open connect without a protocol; None where the backend has none cheaper than that."""

if NAME == "epoll":
    from exporter.transport.bare_connect import EpollBareConnect
    from exporter.transport.connection import connect, connect_socket

    bare_connect = EpollBareConnect
elif NAME == "event-loop":
    from exporter.transport.event_loop import connect, connect_socket
else:
    raise ValueError(f"{VARIABLE} is neither epoll nor event-loop")

__all__ = ["NAME", "VARIABLE", "bare_connect", "connect", "connect_socket"]
