"""A gateway's servers: the listeners in its Envoy's configuration, by admin. Pure.

In: admin's facts. Out: the ports that have to be open. The list of listeners alone is not
enough: one that is warming, or was rejected, is not in it, and one that is in it may not be bound
(recorded: a gateway whose secret is missing).
"""

import re
from collections.abc import Iterable, Sequence

from exporter.bounds import TARGET_PORTS
from exporter.catalogue import TargetPort, servers_of
from exporter.model import AdminFacts, Component, Expectation, Observation, Role, Target, View
from exporter.parsing import parse_port

_NAME = re.compile(r"(?!udp_).+_([0-9]{1,5})")
"""`<bind>_<port>` (pilot/pkg/networking/core/gateway.go); `udp_` ones are HTTP/3."""


def configured_servers(
    target: Target, ports: Sequence[TargetPort], admin: AdminFacts | None
) -> tuple[TargetPort, ...]:
    """The server ports of a gateway that are not among the ports that it has to have anyway."""
    if target.role is not Role.GATEWAY or admin is None:
        return ()
    expected = {port.number for port in ports if port.expectation is not Expectation.OPTIONAL}
    hidden = expected.union(target.ignored_ports)
    found = {number: name for number, name in _configured(admin) if number not in hidden}
    return servers_of(target, dict(sorted(found.items())[:TARGET_PORTS]))


def _configured(admin: AdminFacts) -> Iterable[tuple[int, str]]:
    """Ports with their listeners' names; active listeners come last, so that theirs count."""
    for name in (*(admin.warming or ()), *(admin.rejected or {})):
        named = _NAME.fullmatch(name)
        if named and (port := parse_port(named[1])):
            yield port, name
    for listener in admin.listeners or ():
        port = parse_port(listener.port)
        if port and _NAME.fullmatch(listener.name) and not listener.is_loopback:
            yield port, listener.name


def newest_admin(observations: Iterable[Observation]) -> AdminFacts | None:
    """Admin's facts with its listeners from this poll; None where they were not requested."""
    for seen in observations:
        if seen.view is View.POD and isinstance(seen.facts, AdminFacts):
            return seen.facts if seen.facts.listeners is not None else None
    return None


def is_server(port: TargetPort) -> bool:
    """Whether the port is one of a gateway's servers."""
    return port.component == Component.GATEWAY
