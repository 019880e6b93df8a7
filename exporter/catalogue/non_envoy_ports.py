"""The ports of proxies that are no Envoy: ztunnel, and agentgateway.

Read from ztunnel src/config.rs and Istio's templates.
"""

from functools import partial

from exporter.catalogue.movers import Switch, proxy_config, proxy_metadata
from exporter.catalogue.port import Line, Port
from exporter.model import Component, Expectation, PortName, ProbeKind, Role, Settings

_ztunnel = partial(Port, role=Role.ZTUNNEL, component=Component.ZTUNNEL)
_agentgateway = partial(Port, role=Role.AGENTGATEWAY, component=Component.AGENTGATEWAY)


def _optional(_settings: Settings, _line: Line) -> Expectation:
    return Expectation.OPTIONAL


_WAYPOINT_LABELS = (
    ("gateway.networking.k8s.io/gateway-class-name", "istio-agentgateway-waypoint"),
    ("gateway.istio.io/managed", "istio.io-mesh-controller"),
    ("gateway.istio.io/managed", "istio.io-agentgateway-waypoint-controller"),
)
"""What an agentgateway that is a waypoint is labelled with."""

NON_ENVOY_PORTS: tuple[Port, ...] = (
    _ztunnel(
        number=15000,
        name=PortName.ADMIN,
        bind="loopback",
        category="debug",
        purpose="ztunnel's administration interface: workloads, certificates, connections.",
        setting="admin_port",
        moved_by=(proxy_config("proxyAdminPort"),),
        pod_probe=ProbeKind.ZTUNNEL_ADMIN,
        by_hand="istioctl ztunnel-config all {pod}.{namespace}",
    ),
    _ztunnel(
        number=15008,
        name=PortName.HBONE,
        protocol="TLS (HBONE)",
        category="traffic",
        purpose="HBONE for ztunnel's own pod; a hello brings ztunnel's own certificate.",
        escapes_capture=True,
        expected=_optional,
        probe=ProbeKind.TCP,
        by_hand="openssl s_client -connect {address}:{port} -tls1_3 -alpn h2 -noservername"
        " </dev/null",
    ),
    _agentgateway(
        number=15008,
        name=PortName.HBONE,
        protocol="TLS (HBONE)",
        category="traffic",
        purpose="HBONE of an agentgateway that is a waypoint.",
        escapes_capture=True,
        switches=(
            Switch(
                "hbone",
                (),
                "only as a waypoint (class or controller in its labels)",
                labels=_WAYPOINT_LABELS,
            ),
        ),
        enabled=lambda settings: settings.hbone,
        probe=ProbeKind.TLS,
        pod_probe=ProbeKind.TLS,
        by_hand="openssl s_client -connect {address}:{port} -alpn h2 </dev/null",
    ),
    _ztunnel(
        number=15020,
        name=PortName.STATS,
        category="telemetry",
        purpose="ztunnel's metrics.",
        moved_by=(proxy_config("statsPort"),),
        setting="status_port",
        probe=ProbeKind.ZTUNNEL_STATS,
        pod_probe=ProbeKind.ZTUNNEL_STATS,
        path="/metrics",
        by_hand="curl -s -m 5 http://{address}:{port}/metrics | head",
    ),
    _agentgateway(
        number=15020,
        name=PortName.METRICS,
        category="telemetry",
        purpose="agentgateway's metrics.",
        probe=ProbeKind.METRICS,
        pod_probe=ProbeKind.METRICS,
        path="/metrics",
        by_hand="curl -s -m 5 http://{address}:{port}/metrics | head",
    ),
    _ztunnel(
        number=15021,
        name=PortName.READINESS,
        category="health",
        purpose="ztunnel's readiness; 500 names the tasks that are still pending.",
        probe=ProbeKind.ZTUNNEL_READY,
        pod_probe=ProbeKind.ZTUNNEL_READY,
        path="/healthz/ready",
        endpoint="ztunnel",
        by_hand="curl -s -m 5 http://{address}:{port}/healthz/ready",
    ),
    _agentgateway(
        number=15021,
        name=PortName.READINESS,
        category="health",
        purpose="agentgateway's readiness.",
        probe=ProbeKind.HTTP_READY,
        pod_probe=ProbeKind.HTTP_READY,
        path="/healthz/ready",
        endpoint="agentgateway",
        by_hand="curl -s -m 5 http://{address}:{port}/healthz/ready",
    ),
    _ztunnel(
        number=15053,
        name=PortName.DNS,
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
