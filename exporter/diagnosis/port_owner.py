"""Whose socket a port is, by the socket table and by admin, and what proves the agent's. Pure.

An unknown or empty process name proves nothing; a known one that is not the owner's does.
"""

import re
from collections.abc import Mapping

from exporter.catalogue import TargetPort
from exporter.model import Component, Memory, Outcome, PortName

OWNERS: Mapping[str, str] = {
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
    owner, names = OWNERS.get(port.component, ""), _listeners(memory, port)
    if not owner or not names or any(name.startswith(owner) for name in names):
        return ""
    return f"{', '.join(sorted(names))} listens on {port.number}, not {owner}"


def unproved_agent(memory: Memory, port: TargetPort) -> str:
    """Why nothing proves that the agent holds its port, as a sentence; empty where something does.

    Its readiness answer is a bare status, which any process can send; its metrics page is the
    proof, and the socket table is one. A page over the limit is not the agent's doing.
    """
    page = memory.page
    if port.name != PortName.STATUS or page is None or page.proves or page is Outcome.TOO_LARGE:
        return ""
    if port.number in memory.proofs or OWNERS.get(port.component) in _listeners(memory, port):
        return ""
    ended = str(page).replace("_", " ")
    return f"the page of {port.number} that would prove the agent could not be read: {ended}"


def bind_failures(memory: Memory) -> dict[str, str]:
    """Envoy's reasons by listener where a bind failed because the address is in use."""
    rejected = (memory.admin.value.rejected or {}) if memory.admin else {}
    return {name: reason for name, reason in rejected.items() if _IN_USE.search(reason)}


def holder_of_inbound(memory: Memory, port: TargetPort, *, accepts: bool) -> str:
    """Why 15006 is not Envoy's by what admin reported; empty where nothing shows that.

    `accepts`: something accepts there, which is another process if Envoy lacks the listener.
    """
    for name, reason in bind_failures(memory).items():
        if name == port.name or re.search(rf":{port.number}\b", reason):
            return reason
    admin, stats = memory.admin, memory.stats
    if not accepts or admin is None or admin.value.listeners is None or stats is None:
        return ""
    is_listed = any(listener.name == port.name for listener in admin.value.listeners)
    if is_listed or not stats.value.listener_create_failures:
        return ""
    return f"Envoy could not create {port.name}, and another process accepts on {port.number}"


def _listeners(memory: Memory, port: TargetPort) -> set[str]:
    """The names of the processes that listen on the port, as far as the socket table has them."""
    table = memory.listening
    return {socket.process for socket in table if socket.port == port.number and socket.process}


_IN_USE = re.compile(r"address (already )?in use", re.IGNORECASE)


def foreign_connection(memory: Memory, port: TargetPort) -> str:
    """Which connection of another process holds a port that nobody listens on, as a sentence.

    What Envoy or the agent hold may be left of connections that they accepted there before.
    """
    if memory.sockets is None:
        return ""
    for connection in memory.sockets.value.outgoing:
        ours = connection.process.startswith(tuple(OWNERS.values()))
        if connection.port == port.number and not ours:
            return f"an outgoing connection of {connection.process or 'a process'} holds it"
    return ""
