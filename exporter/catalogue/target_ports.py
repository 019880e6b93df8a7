"""What a given target's ports should be, from its role, version and settings. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import chain, islice

from exporter.bounds import TARGET_PORTS
from exporter.catalogue.ambient_ports import AMBIENT_PORTS
from exporter.catalogue.control_plane_ports import CONTROL_PLANE
from exporter.catalogue.envoy_ports import ENVOY_PORTS
from exporter.catalogue.non_envoy_ports import NON_ENVOY_PORTS
from exporter.catalogue.port import ExtraPort, Port, TargetPort
from exporter.catalogue.versions import line_of
from exporter.model import Component, Expectation, Interception, PortName, ProbeKind, Role, Target
from exporter.model.interning import shared

PORTS: tuple[Port, ...] = (
    *sorted((*ENVOY_PORTS, *NON_ENVOY_PORTS, *AMBIENT_PORTS), key=lambda row: row.number),
    *CONTROL_PLANE,
)
PORT_NUMBERS = frozenset(row.number for row in PORTS)
"""The usual numbers of all of them."""

PORTS_BY_ROLE = {role: tuple(row for row in PORTS if row.role is role) for role in Role}
_FIRST_BY_NAME = {(row.role, row.name): row for row in reversed(PORTS)}

NEWEST_VERSION = (1, 32)
"""The newest Istio line that this catalogue was read from; newer ones are judged as this one."""

ALWAYS_EXCLUDED = (15090, 15021)
"""Never captured, however ports were moved (injection template `-d`, cni sidecar_redirect.go)."""


_HBONE = 15008


def is_newer_than_known(version: str) -> bool:
    """Whether the version is newer than the catalogue, so it is judged as the newest known."""
    line = line_of(version)
    return line is not None and line > NEWEST_VERSION


def is_captured(port: int, target: Target) -> bool:
    """Whether a connection from the network to this port is redirected to 15006.

    Source: tools/istio-iptables/pkg/capture/run.go; exclusions do not exist beside an include
    list; 15008 has its own RETURN rule, but in the table of REDIRECT alone, which TPROXY does not
    use for inbound connections. istio-cni's rules in an ambient pod leave 15008 out alone.
    """
    settings = target.settings
    if target.role is Role.AMBIENT:
        return target.captured and port != _HBONE
    if not target.captured or settings.interception is Interception.NONE:
        return False
    if port == _HBONE and settings.interception is Interception.REDIRECT:
        return False
    if settings.included_inbound_ports is not None:
        return port in settings.included_inbound_ports
    if any(first <= port <= last for first, last in settings.excluded_inbound_ranges):
        return False
    exempt = settings.exempt_ports
    usual = (*ALWAYS_EXCLUDED, settings.status_port) if exempt is None else exempt
    return port not in (*usual, *settings.excluded_inbound_ports)


def control_port(target: Target, preferred: int, configured: Iterable[int] = ()) -> int | None:
    """A port nobody uses whose answer can only be the redirection's; None where there is none.

    The preferred one, or the nearest below it that is captured and not known to be used;
    `configured` are the ports that the user has named.
    """
    if target.settings.included_inbound_ports is not None:
        return None
    used = {
        *PORT_NUMBERS,
        *(row.number_in(target.settings) for row in PORTS_BY_ROLE[target.role]),
        *target.settings.app_ports,
        *target.settings.application_ports,
        *target.settings.server_ports,
        *target.ignored_ports,
        *configured,
    }
    for port in range(preferred, max(0, preferred - 64), -1):
        if port not in used and is_captured(port, target):
            return port
    return None


def expectation(port: Port, target: Target) -> Expectation:
    """What this port of this target should be, from version and settings."""
    line = min(line_of(target.istio_version) or NEWEST_VERSION, NEWEST_VERSION)
    return port.expectation_in(target.settings, line)


def port_number_of(target: Target, name: PortName) -> int:
    """The number of the port of that name on this target; 0 where it is off or has none."""
    row = _FIRST_BY_NAME.get((target.role, name))
    return 0 if row is None else row.number_in(target.settings)


def ports_of(
    target: Target, extra: Iterable[ExtraPort] = (), *, applications: bool = False
) -> tuple[TargetPort, ...]:
    """Every port of the target with its expectation, the user's rows laid over the catalogue's.

    Ports expected absent are left out; a port that the target opted out of is too.
    `applications`: with the ports that the application's containers declare.
    """
    ports = {}
    for row in PORTS_BY_ROLE[target.role]:
        wanted = expectation(row, target)
        number = row.number_in(target.settings)
        if wanted is not Expectation.ABSENT:
            ports[number] = _target_port(row, number, wanted, target)
    further = chain(_servers(target), _application_ports(target) if applications else ())
    for port in islice(further, TARGET_PORTS):
        ports.setdefault(port.number, port)
    for own in extra:
        if own.selects(target):
            _overlay(ports, own, target)
    kept = (port for number, port in ports.items() if number not in target.ignored_ports)
    return shared(tuple(kept))


def _target_port(row: Port, number: int, wanted: Expectation, target: Target) -> TargetPort:
    is_loopback_by_settings = wanted is Expectation.LOOPBACK and row.bind != "loopback"
    return TargetPort(
        number=number,
        expectation=wanted,
        name=row.name,
        component=row.component,
        captured=is_captured(number, target),
        probe=None if is_loopback_by_settings else row.probe,
        pod_probe=row.pod_probe,
        path=row.path,
        by_hand=row.by_hand + _also_served(row, target),
    )


def _also_served(row: Port, target: Target) -> str:
    """What an istiod with an empty --grpcAddr serves on 8080 as well: xDS in plaintext."""
    if row.name is not PortName.HTTP_DEBUG or target.settings.grpc_xds_port:
        return ""
    return "; grpcurl -plaintext {address}:{port} list  # xDS in plaintext: --grpcAddr is empty"


def _servers(target: Target) -> Iterator[TargetPort]:
    """The servers that are to be there, and those that a gateway's container declares."""
    settings = target.settings
    yield from servers_of(target, dict.fromkeys(settings.server_ports, ""))
    if target.role is Role.GATEWAY:
        declared = [port for port in settings.app_ports if port not in settings.beside_gateway]
        yield from servers_of(target, dict.fromkeys(declared, ""), Expectation.OPTIONAL)


def _application_ports(target: Target) -> Iterator[TargetPort]:
    """The application's ports; behind redirection a connect from the network proves nothing."""
    for number in target.settings.app_ports:
        port = _own_port(number, "app", ProbeKind.TCP, target)
        probe = None if port.captured else port.probe
        yield replace(port, expectation=Expectation.OPTIONAL, probe=probe)


def servers_of(
    target: Target, listeners: Mapping[int, str], wanted: Expectation = Expectation.OPEN
) -> tuple[TargetPort, ...]:
    """A gateway's server ports, from port to the listener's name; empty for Istio's usual name.

    Gateways have no redirection of their own, so a connect is proof, but for one in ambient.
    """
    return tuple(
        replace(
            _own_port(number, Component.GATEWAY, ProbeKind.TCP, target),
            name=name or f"0.0.0.0_{number}",
            expectation=wanted,
        )
        for number, name in listeners.items()
    )


def _own_port(
    number: int, component: str, probe: ProbeKind, target: Target, path: str = "/"
) -> TargetPort:
    """A port of this installation, not of Istio."""
    return TargetPort(
        number=number,
        expectation=Expectation.OPEN,
        component=component,
        captured=is_captured(number, target) or _is_answered_by_ztunnel(probe, target),
        probe=probe,
        pod_probe=probe,
        path=path,
    )


def _is_answered_by_ztunnel(probe: ProbeKind, target: Target) -> bool:
    """Whether ambient's redirection accepts this probe's connection before anybody serves it.

    It relays what is sent, so that only a bare connect proves nothing.
    """
    return target.settings.ambient and probe is ProbeKind.TCP


def _overlay(ports: dict[int, TargetPort], own: ExtraPort, target: Target) -> None:
    if own.expect is Expectation.ABSENT:
        ports.pop(own.port, None)
        return
    port = ports.get(own.port)
    if port is None or own.probe:
        port = _own_port(
            own.port, own.component or "app", ProbeKind(own.probe or "tcp"), target, own.path
        )
    loopback = own.expect is Expectation.LOOPBACK
    ports[own.port] = replace(
        port,
        expectation=own.expect,
        probe=None if loopback else port.probe,
        component=own.component or port.component,
    )
