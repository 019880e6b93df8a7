"""The ports that ztunnel opens in the network namespace of each workload in ambient.

Read from ztunnel src/config.rs and src/proxy, and istio-cni's rules (cni/pkg/iptables).
"""

from functools import partial

from exporter.catalogue.port import Port
from exporter.model import Component, PortName, ProbeKind, Role

_workload = partial(Port, role=Role.AMBIENT, component=Component.ZTUNNEL)

_SOCKETS = "kubectl debug -it -n {namespace} {pod} --image=busybox -- netstat -ltn"

AMBIENT_PORTS: tuple[Port, ...] = (
    _workload(
        number=15001,
        name=PortName.VIRTUAL_OUTBOUND,
        protocol="TCP",
        category="traffic",
        purpose="Receives the pod's redirected outbound connections.",
        by_hand=_SOCKETS,
    ),
    _workload(
        number=15006,
        name=PortName.VIRTUAL_INBOUND,
        protocol="TCP",
        category="traffic",
        purpose="Receives redirected plaintext: a connect to a port that nobody serves shows it.",
        by_hand=_SOCKETS,
    ),
    _workload(
        number=15008,
        name=PortName.HBONE,
        protocol="TLS (HBONE)",
        category="traffic",
        purpose="HBONE: mesh traffic to this workload; a hello brings the workload's certificate.",
        escapes_capture=True,
        probe=ProbeKind.TCP,
        by_hand="openssl s_client -connect {address}:{port} -tls1_3 -alpn h2 -noservername"
        " </dev/null",
    ),
    _workload(
        number=15053,
        name=PortName.DNS,
        bind="loopback",
        protocol="DNS (UDP and TCP)",
        category="traffic",
        purpose="ztunnel's DNS proxy; bound whether or not DNS is captured.",
        pod_probe=ProbeKind.DNS,
        by_hand=_SOCKETS,
    ),
)
"""No port is connected to but by half-open connects: a full one leaves an error in ztunnel's log,
and on a port that nobody serves a failed connection in the workload's telemetry."""
