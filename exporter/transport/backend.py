"""The one place that chooses the backend: epoll's where there is one, else the event loop's.

The environment variable is for `make bench`, which compares the two.
"""

import os
import select
from collections.abc import Callable

from exporter.transport.protocols import BareConnects

VARIABLE = "ISTIO_PORT_EXPORTER_TRANSPORT"
NAME = os.environ.get(VARIABLE) or ("epoll" if hasattr(select, "epoll") else "event-loop")

bare_connects: Callable[[], BareConnects] | None = None
"""Half-open connects without a protocol; None where the backend has none cheaper than that."""

if NAME == "epoll":
    from exporter.transport.connection import connect, connect_socket
    from exporter.transport.epoll import current_sockets

    bare_connects = current_sockets
elif NAME == "event-loop":
    from exporter.transport.event_loop import connect, connect_socket
else:
    raise ValueError(f"{VARIABLE} is neither epoll nor event-loop")

__all__ = ["NAME", "VARIABLE", "bare_connects", "connect", "connect_socket"]
