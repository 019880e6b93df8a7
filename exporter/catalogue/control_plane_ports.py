"""The ports of istiod and of the istio-cni node agent.

Read from pilot/cmd/pilot-discovery/app/cmd.go, pilot/pkg/bootstrap and cni/pkg.
"""

from dataclasses import replace
from functools import partial

from exporter.catalogue.movers import argument, port_number, port_or_off, variable
from exporter.catalogue.port import Port
from exporter.model import Component, PortName, ProbeKind, Role

_istiod = partial(Port, role=Role.ISTIOD, component=Component.ISTIOD)
_cni = partial(Port, role=Role.CNI, component=Component.INSTALL_CNI)

_CONTROLZ = _istiod(
    number=9876,
    name=PortName.CONTROLZ,
    bind="loopback",
    category="debug",
    purpose="ControlZ: log scopes and process information.",
    setting="controlz_port",
    moved_by=(argument("--ctrlz_port", port_number),),
    pod_probe=ProbeKind.CONTROLZ,
    by_hand="kubectl -n {namespace} port-forward {pod} {port}",
)

CONTROL_PLANE: tuple[Port, ...] = (
    _istiod(
        number=8080,
        name=PortName.HTTP_DEBUG,
        category="health",
        purpose="istiod's readiness; served long before the other ports. Also xDS in"
        " plaintext where --grpcAddr is empty, and the webhooks where --httpsAddr is.",
        setting="http_debug_port",
        moved_by=(argument("--httpAddr"),),
        probe=ProbeKind.HTTP_READY,
        pod_probe=ProbeKind.HTTP_READY,
        path="/ready",
        endpoint="istiod",
        by_hand="curl -s -m 5 -o /dev/null -w '%{{http_code}}\\n' http://{address}:{port}/ready",
    ),
    _istiod(
        number=15010,
        name=PortName.GRPC_XDS,
        protocol="gRPC",
        category="control",
        purpose="xDS and certificates in plaintext; off where --grpcAddr is empty.",
        setting="grpc_xds_port",
        moved_by=(argument("--grpcAddr"),),
        probe=ProbeKind.GRPC,
        pod_probe=ProbeKind.GRPC,
        by_hand="grpcurl -plaintext {address}:{port} list",
    ),
    _istiod(
        number=15012,
        name=PortName.TLS_XDS,
        protocol="gRPC over TLS",
        category="control",
        purpose="xDS and certificates over TLS: what every proxy connects to.",
        setting="tls_xds_port",
        moved_by=(argument("--secureGRPCAddr"),),
        probe=ProbeKind.GRPC_TLS,
        pod_probe=ProbeKind.GRPC_TLS,
        by_hand="openssl s_client -connect {address}:{port} -alpn h2 </dev/null",
    ),
    _istiod(
        number=15014,
        name=PortName.HTTP_MONITORING,
        category="telemetry",
        purpose="istiod's metrics, version and (with a token) debug interface.",
        setting="monitoring_port",
        moved_by=(argument("--monitoringAddr"),),
        probe=ProbeKind.ISTIOD,
        pod_probe=ProbeKind.ISTIOD,
        by_hand="curl -s -m 5 http://{address}:{port}/version",
    ),
    _istiod(
        number=15017,
        name=PortName.HTTPS_WEBHOOKS,
        protocol="HTTPS",
        category="control",
        purpose="The injection and validation webhooks, which the API server calls.",
        setting="webhooks_port",
        moved_by=(argument("--httpsAddr"),),
        probe=ProbeKind.WEBHOOK,
        pod_probe=ProbeKind.WEBHOOK,
        path="/ready",
        endpoint="webhook",
        by_hand="curl -sk -m 5 -o /dev/null -w '%{{http_code}}\\n' https://{address}:{port}/ready",
    ),
    _CONTROLZ,
    replace(_CONTROLZ, role=Role.CNI, component=Component.INSTALL_CNI),
    _cni(
        number=8000,
        name=PortName.READINESS,
        category="health",
        purpose="The CNI agent's readiness: 503 until the node's CNI configuration is installed.",
        probe=ProbeKind.HTTP_READY,
        pod_probe=ProbeKind.HTTP_READY,
        path="/readyz",
        endpoint="cni",
        by_hand="curl -s -m 5 -o /dev/null -w '%{{http_code}}\\n' http://{address}:{port}/readyz",
    ),
    _cni(
        number=15014,
        name=PortName.MONITORING,
        category="telemetry",
        purpose="The CNI agent's metrics.",
        since=(1, 11),
        setting="monitoring_port",
        moved_by=(
            argument("--monitoring-port", port_or_off),
            variable("MONITORING_PORT", port_or_off),
        ),
        probe=ProbeKind.METRICS,
        pod_probe=ProbeKind.METRICS,
        path="/metrics",
        by_hand="curl -s -m 5 http://{address}:{port}/metrics | head",
    ),
)
