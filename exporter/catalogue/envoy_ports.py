"""The ports of Envoy and its agent: sidecars, gateways, waypoints, proxyless agents.

Read from tools/packaging/common/envoy_bootstrap.json and pilot/cmd/pilot-agent.
"""

from dataclasses import replace

from exporter.catalogue.movers import (
    Switch,
    annotation,
    argument,
    iptables,
    port_number,
    port_of_address,
    proxy_config,
    variable,
)
from exporter.catalogue.port import Line, Port, rows_for
from exporter.model import (
    AGENT_ROLES,
    ENVOY_ROLES,
    Component,
    Expectation,
    Interception,
    PortName,
    ProbeKind,
    Role,
    Settings,
)


def _redirects(settings: Settings) -> bool:
    return settings.interception is not Interception.NONE


def _of_metrics(settings: Settings, line: Line) -> Expectation:
    is_on_loopback = settings.metrics_localhost_only and line >= _LOCALHOST_ONLY_SINCE
    return Expectation.LOOPBACK if is_on_loopback else Expectation.OPEN


_LOCALHOST_ONLY_SINCE = (1, 22)


_EXEC = "kubectl -n {namespace} exec {pod} "
_IN_PROXY = _EXEC + "-c istio-proxy -- "
_CURL_IN_POD = _IN_PROXY + "pilot-agent request GET "

_HBONE = Port(
    role=Role.SIDECAR,
    number=15008,
    name=PortName.CONNECT_TERMINATE,
    component=Component.ENVOY,
    protocol="TLS (HBONE)",
    category="traffic",
    purpose="HBONE: mesh traffic tunnelled in HTTP/2 CONNECT over mutual TLS.",
    escapes_capture=True,
    switches=(
        Switch("hbone", ("ISTIO_META_ENABLE_HBONE",), "ISTIO_META_ENABLE_HBONE switches it on"),
    ),
    enabled=lambda settings: settings.hbone,
    probe=ProbeKind.TLS,
    pod_probe=ProbeKind.TLS,
    by_hand="openssl s_client -connect {address}:{port} -alpn h2 </dev/null",
)

_DNS = Port(
    role=Role.SIDECAR,
    number=15053,
    name=PortName.DNS,
    component=Component.PILOT_AGENT,
    bind="loopback",
    protocol="DNS (UDP and TCP)",
    category="traffic",
    purpose="The agent's DNS proxy; only where DNS capture is on.",
    setting="dns_port",
    moved_by=(variable("DNS_PROXY_ADDR", port_of_address),),
    switches=(
        Switch(
            "dns_capture",
            ("ISTIO_META_DNS_CAPTURE", "ISTIO_META_ENABLE_DNS_SERVER"),
            "ISTIO_META_DNS_CAPTURE or ISTIO_META_ENABLE_DNS_SERVER switches it on",
        ),
    ),
    enabled=lambda settings: settings.dns_capture,
    pod_probe=ProbeKind.DNS,
    by_hand=_IN_PROXY + "kdig @127.0.0.1 -p {port} kubernetes.default",
)

_DNS_SERVER = Switch(
    "dns_capture",
    ("ISTIO_META_ENABLE_DNS_SERVER",),
    "ISTIO_META_ENABLE_DNS_SERVER switches it on",
)
"""Capture starts it on sidecars alone (pkg/istio-agent/agent.go, isDNSServerEnabled)."""

ENVOY_PORTS: tuple[Port, ...] = (
    *rows_for(
        ENVOY_ROLES,
        number=15000,
        name=PortName.ADMIN,
        component=Component.ENVOY,
        bind="loopback",
        category="debug",
        purpose="Envoy's administration interface: configuration, listeners, certificates.",
        setting="admin_port",
        moved_by=(proxy_config("proxyAdminPort"), argument("--proxyAdminPort", port_number)),
        probe=ProbeKind.EXPOSURE,
        pod_probe=ProbeKind.ADMIN,
        by_hand=_CURL_IN_POD + "ready",
    ),
    Port(
        number=15001,
        role=Role.SIDECAR,
        name=PortName.VIRTUAL_OUTBOUND,
        component=Component.ENVOY,
        protocol="TCP",
        category="traffic",
        purpose="Receives the pod's captured outbound connections.",
        setting="outbound_port",
        moved_by=(iptables("-p", "--envoy-port", origin="MeshConfig proxyListenPort"),),
        enabled=_redirects,
        pod_probe=ProbeKind.BLACKHOLE,
        by_hand=_CURL_IN_POD + "listeners",
    ),
    *rows_for(
        ENVOY_ROLES,
        number=15004,
        name=PortName.XDS_DEBUG,
        component=Component.PILOT_AGENT,
        bind="loopback",
        category="debug",
        purpose="The agent's tap on istiod's debug interface; removed in Istio 1.25.",
        since=(1, 11),
        until=(1, 24),
        setting="xds_debug_port",
        moved_by=(variable("PROXY_XDS_DEBUG_VIA_AGENT_PORT"),),
        switches=(
            Switch(
                "xds_debug",
                ("PROXY_XDS_DEBUG_VIA_AGENT",),
                "PROXY_XDS_DEBUG_VIA_AGENT=false switches it off",
                default=True,
            ),
        ),
        enabled=lambda settings: settings.xds_debug,
        pod_probe=ProbeKind.XDS_DEBUG,
        by_hand=_IN_PROXY + "pilot-agent request --debug-port {port} GET /",
    ),
    Port(
        number=15006,
        role=Role.SIDECAR,
        name=PortName.VIRTUAL_INBOUND,
        component=Component.ENVOY,
        protocol="TCP",
        category="traffic",
        purpose="Receives the pod's captured inbound connections.",
        setting="inbound_port",
        moved_by=(
            iptables("-z", "--inbound-capture-port", origin="MeshConfig proxyInboundListenPort"),
        ),
        enabled=_redirects,
        probe=ProbeKind.HELLO,
        pod_probe=ProbeKind.BLACKHOLE,
        by_hand=_CURL_IN_POD + "listeners",
    ),
    _HBONE,
    replace(_HBONE, role=Role.WAYPOINT, switches=(), enabled=None),
    *rows_for(
        AGENT_ROLES,
        number=15020,
        name=PortName.STATUS,
        component=Component.PILOT_AGENT,
        category="health",
        purpose="The agent's readiness, application probes and merged metrics.",
        escapes_capture=True,
        setting="status_port",
        moved_by=(
            annotation("status.sidecar.istio.io/port"),
            proxy_config("statusPort"),
            argument("--statusPort", port_number),
        ),
        probe=ProbeKind.AGENT,
        pod_probe=ProbeKind.AGENT,
        endpoint="agent",
        by_hand="curl -s -m 5 -o /dev/null -w '%{{http_code}}\\n' http://{address}:{port}/healthz/ready",
    ),
    *rows_for(
        ENVOY_ROLES,
        number=15021,
        name=PortName.HEALTH,
        component=Component.ENVOY,
        category="health",
        purpose="Readiness through Envoy: relays /healthz/ready to the agent.",
        since=(1, 6),
        escapes_capture=True,
        setting="health_port",
        moved_by=(variable("ENVOY_STATUS_PORT"),),
        probe=ProbeKind.READINESS,
        pod_probe=ProbeKind.READINESS,
        path="/healthz/ready",
        endpoint="envoy",
        by_hand="curl -s -m 5 -o /dev/null -w '%{{http_code}}\\n' http://{address}:{port}/healthz/ready",
    ),
    _DNS,
    replace(_DNS, role=Role.PROXYLESS),
    *(replace(_DNS, role=role, switches=(_DNS_SERVER,)) for role in (Role.GATEWAY, Role.WAYPOINT)),
    *rows_for(
        ENVOY_ROLES,
        number=15090,
        name=PortName.STATS,
        component=Component.ENVOY,
        category="telemetry",
        purpose="Envoy's statistics, relayed from admin: an answer proves 15000 alive.",
        escapes_capture=True,
        setting="stats_port",
        moved_by=(variable("ENVOY_PROMETHEUS_PORT"),),
        switches=(
            Switch(
                "metrics_localhost_only",
                ("METRICS_LOCALHOST_ACCESS_ONLY",),
                "METRICS_LOCALHOST_ACCESS_ONLY moves it to loopback since 1.22",
            ),
        ),
        expected=_of_metrics,
        probe=ProbeKind.STATS,
        pod_probe=ProbeKind.STATS,
        by_hand="curl -s -m 5 'http://{address}:{port}/stats/prometheus?filter=%5Eserver%5C.'",
    ),
    *rows_for(
        ENVOY_ROLES,
        number=15091,
        name=PortName.SECURE_STATS,
        component=Component.ENVOY,
        protocol="HTTPS (client certificate)",
        category="telemetry",
        purpose="Envoy's statistics over mutual TLS; opt-in.",
        setting="secure_stats_port",
        moved_by=(variable("ENVOY_SECURE_METRICS_PORT"),),
        since=(1, 31),
        probe=ProbeKind.TLS,
        pod_probe=ProbeKind.TLS,
        by_hand="openssl s_client -connect {address}:{port} </dev/null",
    ),
    *rows_for(
        ENVOY_ROLES,
        number=15092,
        name=PortName.SECURE_MERGED,
        component=Component.ENVOY,
        protocol="HTTPS (client certificate)",
        category="telemetry",
        purpose="The merged metrics over mutual TLS; opt-in.",
        setting="secure_merged_port",
        moved_by=(variable("ENVOY_SECURE_MERGED_METRICS_PORT"),),
        since=(1, 31),
        probe=ProbeKind.TLS,
        pod_probe=ProbeKind.TLS,
        by_hand="openssl s_client -connect {address}:{port} </dev/null",
    ),
)
