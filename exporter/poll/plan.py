"""What is sent to one target in every poll: its probes by view, the ways to it, the options.

In: a target, the configuration, and the way into pods that have no network namespace here. Out: a
`Plan`, made once a target; `poll_target` carries it out.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from msgspec import structs

from exporter.access.dialer import Dialer, PodView
from exporter.access.direct import Direct, is_own_address
from exporter.access.netns import Netns
from exporter.access.pod_processes import processes_under
from exporter.catalogue import TargetPort, control_port, port_number_of, ports_of
from exporter.catalogue.gateway_servers import configured_servers
from exporter.config import Config
from exporter.model import (
    EVERY_CADENCE,
    AdminFacts,
    Cadence,
    Component,
    PortName,
    Probe,
    ProbeKind,
    Role,
    Target,
    View,
)
from exporter.parsing import parse_address
from exporter.probes.attempt import MeshTrust, ProbeOptions, nobody_names


@dataclass(frozen=True, slots=True)
class AddressPlan:
    """What is sent to one address of a target over the network.

    `probes` are started by their cadences, the control port's among them. What the control port
    answers decides between two probes of 15006: a TLS `hello` through the control port, or a
    `direct` connection. `spared` are ports of a workload's application, which show something only
    where another port of this address does not accept.
    """

    dialer: Dialer
    probes: tuple[Probe, ...]
    hello: Probe | None = None
    direct: Probe | None = None
    spared: frozenset[int] = frozenset()


_OF_CONNECTS = frozenset({Cadence.FAST, Cadence.IDENTITY})
"""Those of a workload in ambient whose pod there is no way into: connects, and a hello."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is sent to one target in every poll; made once a target.

    `network` has one part for each address, `in_pod` what is sent through the `pod` view, and
    `on_doubt` what shows there whether ztunnel serves a workload that strangers seem to reach.
    `cadences` are those at which there is anything to read.
    """

    target: Target
    ports: tuple[TargetPort, ...]
    network: tuple[AddressPlan, ...]
    pod: PodView | None
    in_pod: tuple[Probe, ...]
    options: ProbeOptions
    on_doubt: Probe | None = None
    cadences: frozenset[Cadence] = EVERY_CADENCE


PodViewFactory = Callable[[Target], PodView | None]
"""The way into a target that has no netns; None for none."""

_SOCKETS = Probe(0, ProbeKind.SOCKETS, View.POD)


def no_pod_view(_target: Target) -> None:
    """No way into a target that has no netns."""
    return


_IsNamed = Callable[[Target, str], bool]
"""Whether the API names this target, as it was found, at this address now."""

_CalledNames = Callable[[], tuple[str, ...]]
"""By which names the API server calls the injection webhook, as far as that is known."""


def _never_named(_target: Target, address: str) -> bool:
    """Without a current discovery nobody is named."""
    return nobody_names(address)


def plan_of(
    target: Target,
    config: Config,
    forward: PodViewFactory = no_pod_view,
    is_named: _IsNamed = _never_named,
    called: _CalledNames = tuple,
) -> Plan:
    """What to send to this target, by its role, its settings and the configuration."""
    ports = ports_of(target, config.ports, applications=config.poll.application_ports)
    configured = (own.port for own in config.ports if own.selects(target))
    control = control_port(target, config.poll.control_port, configured)
    addresses = tuple(address for address in target.addresses if parse_address(address))
    pod: PodView | None = _namespace_of(target, addresses, config)
    in_pod = _probes_in_pod(ports)
    if pod:
        in_pod = (*in_pod, _SOCKETS)
    elif addresses:
        pod = forward(target)
    if target.role is Role.AMBIENT:
        network = _to_workload(target, addresses, ports, control)
        in_pod = in_pod if _SOCKETS in in_pod else ()
    else:
        network = tuple(_address_plan(address, ports, control, config) for address in addresses)
    return Plan(
        target=target,
        ports=ports,
        network=network,
        pod=pod,
        in_pod=in_pod if pod else (),
        on_doubt=_on_doubt(target, in_pod),
        cadences=_OF_CONNECTS if target.role is Role.AMBIENT and pod is None else EVERY_CADENCE,
        options=ProbeOptions(
            application_probes=config.poll.application_probes,
            trust=_trust_of(target, config, is_named, called),
        ),
    )


def _address_plan(
    address: str, ports: Sequence[TargetPort], control: int | None, config: Config
) -> AddressPlan:
    enabled = {ProbeKind.EXPOSURE: config.poll.exposure, ProbeKind.HELLO: config.poll.hello}
    probes = [p for p in _network_probes(address, ports) if enabled.get(p.kind, True)]
    inbound = next((probe for probe in probes if probe.kind is ProbeKind.HELLO), None)
    started = tuple(probe for probe in probes if probe is not inbound)
    if control is None:
        return AddressPlan(Direct(address), started, hello=_hello_to_ztunnel(address, ports))
    connect = Probe(control, ProbeKind.CONTROL, View.NETWORK, address)
    if inbound is None:
        return AddressPlan(Direct(address), (*started, connect))
    return AddressPlan(
        Direct(address),
        (*started, connect),
        hello=Probe(inbound.port, ProbeKind.HELLO, View.NETWORK, address, via=control),
        direct=Probe(inbound.port, ProbeKind.BLACKHOLE, View.NETWORK, address),
    )


def _hello_to_ztunnel(address: str, ports: Sequence[TargetPort]) -> Probe | None:
    """A hello to a ztunnel's own 15008, which shows whether it gets certificates."""
    for port in ports:
        if port.name == PortName.HBONE and port.component == Component.ZTUNNEL:
            return Probe(port.number, ProbeKind.HBONE_HELLO, View.NETWORK, address)
    return None


_MOST_APPLICATION_PORTS = 4
"""So many of an ambient workload's declared ports show whether strangers get in."""


def _to_workload(
    target: Target, addresses: Sequence[str], ports: Sequence[TargetPort], control: int | None
) -> tuple[AddressPlan, ...]:
    """Half-open connects alone, and a hello where it is due.

    What a process of the pod's own node sends, its kernel rewrites to an address that the
    redirection lets through: there neither the control port nor the application's show anything.
    """
    known = {port.number for port in ports}
    others = [port for port in target.settings.application_ports if port not in known]
    if any(map(is_own_address, target.host_addresses)):
        control, others = None, []
    kinds = dict.fromkeys(others[:_MOST_APPLICATION_PORTS], ProbeKind.TCP)
    if control:
        kinds[control] = ProbeKind.CONTROL
    number = port_number_of(target, PortName.HBONE)
    has_hbone = number in known
    return tuple(
        AddressPlan(
            Direct(address),
            (
                *_network_probes(address, ports),
                *(Probe(port, kind, View.NETWORK, address) for port, kind in kinds.items()),
            ),
            Probe(number, ProbeKind.HBONE_HELLO, View.NETWORK, address) if has_hbone else None,
            spared=frozenset(others[:_MOST_APPLICATION_PORTS]) - {control},
        )
        for address in addresses
    )


def _on_doubt(target: Target, in_pod: Sequence[Probe]) -> Probe | None:
    """The socket table where there is one, else a hello in the pod."""
    if target.role is not Role.AMBIENT:
        return None
    if _SOCKETS in in_pod:
        return _SOCKETS
    return Probe(port_number_of(target, PortName.HBONE), ProbeKind.HBONE_HELLO, View.POD)


def _network_probes(address: str, ports: Sequence[TargetPort]) -> tuple[Probe, ...]:
    return tuple(
        Probe(port.number, port.probe, View.NETWORK, address, port.path, port.captured)
        for port in ports
        if port.probe
    )


def _probes_in_pod(ports: Sequence[TargetPort]) -> tuple[Probe, ...]:
    return tuple(
        Probe(port.number, port.pod_probe, View.POD, path=port.path)
        for port in ports
        if port.pod_probe
    )


def with_servers(plan: Plan, admin: AdminFacts | None) -> Plan:
    """The plan with the servers in the listeners of a gateway's Envoy, which nothing else shows.

    A connect from the network is proof there, so the pod view probes them only for want of one.
    """
    servers = configured_servers(plan.target, plan.ports, admin)
    if not servers:
        return plan
    numbers = {port.number for port in servers}
    kept = tuple(port for port in plan.ports if port.number not in numbers)

    def merged(probes: tuple[Probe, ...], more: tuple[Probe, ...]) -> tuple[Probe, ...]:
        return (*(probe for probe in probes if probe.port not in numbers), *more)

    network = tuple(
        replace(part, probes=merged(part.probes, _network_probes(part.dialer.address, servers)))
        for part in plan.network
    )
    listed = {one.port for one in (admin.listeners if admin else None) or ()}
    probes = tuple(
        structs.replace(probe, is_listed=probe.port in listed) for probe in _probes_in_pod(servers)
    )
    in_pod = plan.in_pod if network else merged(plan.in_pod, probes)
    return replace(plan, ports=(*kept, *servers), network=network, in_pod=in_pod)


def _namespace_of(target: Target, addresses: tuple[str, ...], config: Config) -> Netns | None:
    """The pod's own view: by the namespace that the target names, or by its pod's processes."""
    if not addresses:
        return None
    if target.netns:
        return Netns(target.netns, *addresses)
    if config.access.loopback == "netns" and target.container_id:
        node = processes_under(config.access.netns.proc)
        locate = partial(node.locate, target.uid, target.container_id)
        return Netns(locate, *addresses)
    return None


def _trust_of(
    target: Target, config: Config, is_named: _IsNamed, called: _CalledNames
) -> MeshTrust | None:
    """How this target proves itself: istiod where it is expected, and the API's own for a token.

    The API reported whose pod and service account it is when the target was found (`trusted`).
    """
    istiod, namespace, port = config.istiod, target.key.namespace, target.settings.tls_xds_port
    if target.role is not Role.ISTIOD or namespace not in istiod.namespaces:
        return None
    services = ("istiod", f"istiod-{target.revision}") if target.revision else ("istiod",)
    return MeshTrust(
        root_file=istiod.root_cert_file,
        names=tuple(f"{service}.{namespace}.svc" for service in services),
        token_file=istiod.debug_token_file if target.trusted and port else "",
        port=port,
        webhook_names=istiod.webhook_names,
        is_named=partial(is_named, target),
        called_names=called,
    )


def pod_only(plan: Plan) -> Plan:
    """The same without the network's view."""
    return replace(plan, network=())
