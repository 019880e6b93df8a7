"""The one place that chooses the backend: epoll's where there is one, else the event loop's.

The environment variable is for `make bench`, which compares the two.
"""

import os
import select

VARIABLE = "ISTIO_PORT_EXPORTER_TRANSPORT"
NAME = os.environ.get(VARIABLE) or ("epoll" if hasattr(select, "epoll") else "event-loop")

if NAME == "epoll":
    from exporter.transport.connection import connect, connect_socket
elif NAME == "event-loop":
    from exporter.transport.event_loop import connect, connect_socket
else:
    raise ValueError(f"{VARIABLE} is neither epoll nor event-loop")

__all__ = ["NAME", "VARIABLE", "connect", "connect_socket"]
