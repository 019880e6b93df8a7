"""Whose socket a port is, by the pod's socket table. Pure.

An unknown or empty process name proves nothing; a known one that is not the owner's does.
"""

from exporter.catalogue import TargetPort
from exporter.model import Component, Memory

OWNERS = {
    Component.ENVOY: "envoy",
    Component.GATEWAY: "envoy",
    Component.PILOT_AGENT: "pilot-agent",
    Component.ZTUNNEL: "ztunnel",
    Component.ISTIOD: "pilot-discovery",
    Component.INSTALL_CNI: "install-cni",
}
"""The process name (comm, at most 15 characters) of each component whose name is known."""


def foreign_listener(memory: Memory, port: TargetPort) -> str:
    """Which other process listens on the port, as a sentence; empty where none is known to."""
    if memory.sockets is None:
        return ""
    owner = OWNERS.get(Component(port.component)) if port.component in _COMPONENTS else None
    if owner is None:
        return ""
    names = {
        socket.process
        for socket in memory.sockets.value.listening
        if socket.port == port.number and socket.process
    }
    if not names or any(name.startswith(owner) for name in names):
        return ""
    return f"{', '.join(sorted(names))} listens on {port.number}, not {owner}"


_COMPONENTS = frozenset(component.value for component in Component)
