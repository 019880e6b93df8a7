"""What is asked of one target on every look: its ports by view, the ways to it, the options.

In: a target, the configuration, and the way into pods that have no network namespace here. Out: a
`Plan`, made once a target; `look` carries it out.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from exporter.access.dialer import Dialer, PodView
from exporter.access.direct import Direct
from exporter.access.netns import Netns
from exporter.access.pod_processes import processes_under
from exporter.catalogue import Port, TargetPort, control_port, ports_of
from exporter.catalogue.gateway_servers import configured_servers
from exporter.config import Config
from exporter.model import (
    SOCKETS_PORT,
    AdminFacts,
    Expectation,
    Role,
    Target,
)
from exporter.parsing import parse_address
from exporter.probes.attempt import MeshTrust, ProbeOptions


@dataclass(frozen=True, slots=True)
class Plan:
    """What is asked of one target on every look; made once a target.

    `control` is the control port's number, None where capture cannot be shown; `knock` is that port
    as one that is asked.
    """

    target: Target
    ports: tuple[TargetPort, ...]
    control: int | None
    knock: TargetPort | None
    network: tuple[TargetPort, ...]
    inside: tuple[TargetPort, ...]
    dialers: tuple[Dialer, ...]
    pod: PodView | None
    options: ProbeOptions


PodViewFactory = Callable[[Target], PodView | None]
"""The way into a target that has no netns; None for none."""


def no_pod_view(_target: Target) -> None:
    """No way into a target that has no netns."""
    return


def plan_of(target: Target, config: Config, forward: PodViewFactory = no_pod_view) -> Plan:
    """What to ask of this target, from its role, its settings and the configuration."""
    ports = ports_of(target, config.ports, applications=config.poll.application_ports)
    control = control_port(target, config.poll.control_port)
    asked = {"exposure": config.poll.exposure, "hello": config.poll.hello}
    network = tuple(port for port in ports if port.probe and asked.get(port.probe, True))
    addresses = tuple(address for address in target.addresses if parse_address(address))
    pod: PodView | None = _inside(target, addresses, config)
    tables = (SOCKETS,) if pod else ()
    if pod is None and addresses:
        pod = forward(target)
    inside = (*(port for port in ports if port.pod_probe), *tables) if pod else ()
    return Plan(
        target=target,
        ports=ports,
        control=control,
        knock=None if control is None else _bare(control, probe="connect"),
        network=network,
        inside=inside,
        dialers=tuple(Direct(address) for address in addresses),
        pod=pod,
        options=ProbeOptions(
            control=control,
            application_probes=config.poll.application_probes,
            trust=_trust_of(target, config),
        ),
    )


def with_servers(plan: Plan, admin: AdminFacts | None) -> Plan:
    """The plan with the servers that a gateway's Envoy was told of, which nothing else tells.

    A connect from the network is proof there, so inside they are asked only for want of one.
    """
    update = configured_servers(plan.target, plan.ports, admin)
    if not update:
        return plan
    numbers = {port.number for port in update}

    def with_learnt(ports: tuple[TargetPort, ...]) -> tuple[TargetPort, ...]:
        return (*(port for port in ports if port.number not in numbers), *update)

    return replace(
        plan,
        ports=with_learnt(plan.ports),
        network=with_learnt(plan.network),
        inside=plan.inside if plan.dialers else with_learnt(plan.inside),
    )


def _inside(target: Target, addresses: tuple[str, ...], config: Config) -> Netns | None:
    """How this target is seen from inside: by the namespace it names, or its pod's processes."""
    if not addresses:
        return None
    if target.netns:
        return Netns(target.netns, *addresses)
    if config.access.loopback == "netns" and target.container_id:
        node = processes_under(config.access.netns.proc)
        locate = partial(node.locate, target.uid, target.container_id)
        return Netns(locate, *addresses)
    return None


def _trust_of(target: Target, config: Config) -> MeshTrust | None:
    """How this target proves itself: istiod where it is expected, and the API's own for a token.

    Whose pod and service account it is, the API said when the target was found (`trusted`).
    """
    istiod, namespace = config.istiod, target.key.namespace
    if target.role is not Role.ISTIOD or namespace not in istiod.namespaces:
        return None
    services = ("istiod", f"istiod-{target.revision}") if target.revision else ("istiod",)
    return MeshTrust(
        root_file=istiod.root_cert_file,
        names=tuple(f"{service}.{namespace}.svc" for service in services),
        token_file=istiod.debug_token_file if target.trusted else "",
    )


def inside_only(plan: Plan) -> Plan:
    """The same without the network's view."""
    return replace(plan, control=None, knock=None, network=(), dialers=())


def _bare(number: int, *, probe: str = "", pod_probe: str = "") -> TargetPort:
    """A port that is no port of Istio's: the control port, the socket table."""
    row = Port(
        number=number,
        role=Role.SIDECAR,
        name="",
        component="",
        bind="all",
        protocol="TCP",
        category="control",
        purpose="",
    )
    return TargetPort(
        number=number,
        row=row,
        expectation=Expectation.OPTIONAL,
        probe=probe,
        pod_probe=pod_probe,
    )


SOCKETS = _bare(SOCKETS_PORT, pod_probe="sockets")
"""A pod's socket table, as a port that is asked inside."""
