"""One thing that is sent to one port: planned once a target, and named by what came of it."""

from msgspec import Struct

from exporter.model.enums import ProbeKind, View


class Probe(Struct, frozen=True, gc=False):
    """What is sent to one port, from one view, at one address of a target.

    `port` is the port that it is about; 0 for the socket table, which is no port's. `address` is
    empty in the pod view, where a port may listen on either loopback. `path` is what is requested
    where the kind leaves that open. `captured`: redirection answers a connection to the port first.
    `via`: the port that is connected to in its place, the control port for a hello; 0 for none.
    `is_listed`: Envoy's admin lists an active listener on the port.
    """

    port: int
    kind: ProbeKind
    view: View
    address: str = ""
    path: str = ""
    captured: bool = False
    via: int = 0
    is_listed: bool = False
