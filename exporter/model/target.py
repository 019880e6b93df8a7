"""What is watched: a target, and what its pod configures of its ports."""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass

from msgspec import Struct

from exporter.model.enums import Interception, Redirection, Role
from exporter.model.interning import NO_ENTRIES
from exporter.model.lifecycle import Lifecycle


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a pod spec states about the ports of its part of Istio; the defaults are Istio's.

    A port of 0 means "not served". `included_inbound_ports` None means `*` (all).
    `exempt_ports` are those of the proxy's own that the rules leave alone, beside the user's
    `excluded_inbound_ports`; None where the rules were not read, so that they are the usual ones.
    `excluded_inbound_ranges` are further ones, each the first and the last port.
    `captures_outbound`: the rules redirect outbound connections, too.
    `beside_gateway` are the `app_ports` of a gateway pod's other containers. `ambient`:
    ztunnel's redirection accepts every connection to the pod. `loopback_ports` are fields of this
    class whose ports listen on loopback, though Istio's do not usually. `status_port` is
    pilot-agent's (/app-health, /healthz, merged statistics), `health_port` Envoy's readiness.
    `issued_elsewhere`: the pod names a certificate authority at another address than istiod's.
    Of a workload in ambient: `bypass_inbound_capture`: it receives plaintext past ztunnel.
    `application_ports` are the TCP ports that its containers declare. `identity` is how the SPIFFE
    ID in its certificate has to end: "/ns/shop/sa/web", or all of it; empty for any.
    """

    admin_port: int = 15000
    outbound_port: int = 15001
    inbound_port: int = 15006
    status_port: int = 15020
    health_port: int = 15021
    stats_port: int = 15090
    secure_stats_port: int = 0
    secure_merged_port: int = 0
    dns_port: int = 15053
    xds_debug_port: int = 15004
    http_debug_port: int = 8080
    grpc_xds_port: int = 15010
    tls_xds_port: int = 15012
    monitoring_port: int = 15014
    webhooks_port: int = 15017
    controlz_port: int = 9876
    metrics_localhost_only: bool = False
    dns_capture: bool = False
    dual_stack: bool = False
    hbone: bool = False
    xds_debug: bool = True
    interception: Interception = Interception.REDIRECT
    included_inbound_ports: tuple[int, ...] | None = None
    excluded_inbound_ports: tuple[int, ...] = ()
    excluded_inbound_ranges: tuple[tuple[int, int], ...] = ()
    exempt_ports: tuple[int, ...] | None = None
    captures_outbound: bool = True
    ambient: bool = False
    loopback_ports: tuple[str, ...] = ()
    server_ports: tuple[int, ...] = ()
    app_ports: tuple[int, ...] = ()
    beside_gateway: tuple[int, ...] = ()
    app_probe_paths: tuple[str, ...] = ()
    issued_elsewhere: bool = False
    bypass_inbound_capture: bool = False
    application_ports: tuple[int, ...] = ()
    identity: str = ""


class TargetKey(Struct, frozen=True, gc=False):
    """What identifies a target in metrics, pages and logs."""

    namespace: str
    pod: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.pod}"


_UNKNOWN = Lifecycle()


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One proxy, workload of an ambient mesh, agent of istio-cni or istiod replica to watch.

    `addresses` are IP literals, one per address family; `unserved_addresses` those of a family that
    the proxy was not configured to bind. `captured`: inbound redirection is
    expected. `netns`: a name under /run/netns, a path, or a pid; empty for none.
    `uid` orders and shards targets; static targets use their key. `container_id` is the proxy
    container's in its runtime, without a scheme; empty for a pod that is not in a cluster.
    `redirection` is what istio-cni has made of a pod in ambient, None for any other and where it is
    not known. `host_addresses` are those of its node, of a workload in ambient alone.
    """

    key: TargetKey
    role: Role
    addresses: tuple[str, ...]
    unserved_addresses: tuple[str, ...] = ()
    captured: bool = False
    settings: Settings = Settings()
    istio_version: str = ""
    netns: str = ""
    uid: str = ""
    container_id: str = ""
    node: str = ""
    workload: str = ""
    revision: str = ""
    cluster_id: str = ""
    native_sidecar: bool = False
    labels: Mapping[str, str] = NO_ENTRIES
    ignored_ports: tuple[int, ...] = ()
    trusted: bool = False
    redirection: Redirection | None = None
    host_addresses: tuple[str, ...] = ()
    lifecycle: Lifecycle = _UNKNOWN

    @property
    def remembered_as(self) -> tuple[str, tuple[str, ...], Role, str]:
        """Which pod it is, where it is polled, and as what: what polls leave is of that alone."""
        return self.uid, self.addresses, self.role, self.netns

    @property
    def spread(self) -> int:
        """A hash of its identity, 32 bits, by which what is done now and then for all is spread."""
        return zlib.crc32(self.uid.encode() or str(self.key).encode())
