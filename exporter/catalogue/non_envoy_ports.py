"""The ports of proxies that are no Envoy: ztunnel, and agentgateway.

Read from ztunnel src/config.rs and Istio's templates.
"""

from exporter.catalogue.movers import Switch, proxy_config, proxy_metadata
from exporter.catalogue.port import Line, Port
from exporter.model import Component, Expectation, PortName, ProbeKind, Role, Settings


def _optional(_settings: Settings, _line: Line) -> Expectation:
    return Expectation.OPTIONAL


WAYPOINT_LABELS = (
    ("gateway.networking.k8s.io/gateway-class-name", "istio-agentgateway-waypoint"),
    ("gateway.istio.io/managed", "istio.io-mesh-controller"),
    ("gateway.istio.io/managed", "istio.io-agentgateway-waypoint-controller"),
)
"""What an agentgateway that is a waypoint is labelled with."""

NON_ENVOY_PORTS: tuple[Port, ...] = (
    Port(
        number=15000,
        role=Role.ZTUNNEL,
        name=PortName.ADMIN,
        component=Component.ZTUNNEL,
        bind="loopback",
        category="debug",
        purpose="ztunnel's administration interface: workloads, certificates, connections.",
        setting="admin_port",
        moved_by=(proxy_config("proxyAdminPort"),),
        pod_probe=ProbeKind.ZTUNNEL_ADMIN,
        by_hand="istioctl ztunnel-config all {pod}.{namespace}",
    ),
    Port(
        number=15008,
        role=Role.ZTUNNEL,
        name=PortName.HBONE,
        component=Component.ZTUNNEL,
        protocol="TLS (HBONE)",
        category="traffic",
        purpose="HBONE for ztunnel's own pod; a hello brings ztunnel's own certificate.",
        escapes_capture=True,
        expected=_optional,
        probe=ProbeKind.TCP,
        by_hand="openssl s_client -connect {address}:{port} -tls1_3 -alpn h2 -noservername"
        " </dev/null",
    ),
    Port(
        number=15008,
        role=Role.AGENTGATEWAY,
        name=PortName.HBONE,
        component=Component.AGENTGATEWAY,
        protocol="TLS (HBONE)",
        category="traffic",
        purpose="HBONE of an agentgateway that is a waypoint.",
        escapes_capture=True,
        switches=(
            Switch(
                "hbone",
                (),
                "only as a waypoint (class or controller in its labels)",
                labels=WAYPOINT_LABELS,
            ),
        ),
        enabled=lambda settings: settings.hbone,
        probe=ProbeKind.TLS,
        pod_probe=ProbeKind.TLS,
        by_hand="openssl s_client -connect {address}:{port} -alpn h2 </dev/null",
    ),
    Port(
        number=15020,
        role=Role.ZTUNNEL,
        name=PortName.STATS,
        component=Component.ZTUNNEL,
        category="telemetry",
        purpose="ztunnel's metrics.",
        moved_by=(proxy_config("statsPort"),),
        setting="status_port",
        probe=ProbeKind.ZTUNNEL_STATS,
        pod_probe=ProbeKind.ZTUNNEL_STATS,
        path="/metrics",
        by_hand="curl -s http://{address}:{port}/metrics | head",
    ),
    Port(
        number=15020,
        role=Role.AGENTGATEWAY,
        name=PortName.METRICS,
        component=Component.AGENTGATEWAY,
        category="telemetry",
        purpose="agentgateway's metrics.",
        probe=ProbeKind.METRICS,
        pod_probe=ProbeKind.METRICS,
        path="/metrics",
        by_hand="curl -s http://{address}:{port}/metrics | head",
    ),
    Port(
        number=15021,
        role=Role.ZTUNNEL,
        name=PortName.READINESS,
        component=Component.ZTUNNEL,
        category="health",
        purpose="ztunnel's readiness; 500 names the tasks that are still pending.",
        probe=ProbeKind.ZTUNNEL_READY,
        pod_probe=ProbeKind.ZTUNNEL_READY,
        path="/healthz/ready",
        endpoint="ztunnel",
        by_hand="curl -s http://{address}:{port}/healthz/ready",
    ),
    Port(
        number=15021,
        role=Role.AGENTGATEWAY,
        name=PortName.READINESS,
        component=Component.AGENTGATEWAY,
        category="health",
        purpose="agentgateway's readiness.",
        probe=ProbeKind.HTTP_READY,
        pod_probe=ProbeKind.HTTP_READY,
        path="/healthz/ready",
        endpoint="agentgateway",
        by_hand="curl -s http://{address}:{port}/healthz/ready",
    ),
    Port(
        number=15053,
        role=Role.ZTUNNEL,
        name=PortName.DNS,
        component=Component.ZTUNNEL,
        bind="loopback",
        protocol="DNS (UDP and TCP)",
        category="traffic",
        purpose="ztunnel's DNS proxy; in shared mode it lives in the workloads' namespaces.",
        setting="dns_port",
        moved_by=(proxy_metadata("DNS_PROXY_ADDR"),),
        expected=_optional,
        pod_probe=ProbeKind.DNS,
        by_hand="kubectl -n {namespace} exec {pod} -- ss -lntu",
    ),
)
