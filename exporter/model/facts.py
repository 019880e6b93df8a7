"""What a probe can find beside its outcome, one type per prober."""

from collections.abc import Mapping
from typing import Generic, TypeVar

from msgspec import Struct

from exporter.model.enums import Outcome
from exporter.model.interning import NO_ENTRIES

T = TypeVar("T")


def is_loopback(address: str) -> bool:
    """Whether an address is in 127.0.0.0/8, or ::1."""
    return address.startswith("127.") or address == "::1"


class Timestamped(Struct, Generic[T], frozen=True, gc=False):
    """Something that a slower cadence read, and when (seconds since the epoch)."""

    value: T
    at: float


class Certificate(Struct, frozen=True, kw_only=True, gc=False):
    """A certificate that a port presented or Envoy named. Times in seconds since the epoch."""

    not_before: float
    not_after: float
    uris: tuple[str, ...] = ()
    dns_names: tuple[str, ...] = ()

    @property
    def spiffe_id(self) -> str:
        """The first SPIFFE URI, or empty (spiffe://<trust domain>/ns/<ns>/sa/<account>)."""
        return next((uri for uri in self.uris if uri.startswith("spiffe://")), "")


class ReadinessFacts(Struct, frozen=True, kw_only=True, gc=False):
    """An HTTP answer's status and the tasks that it names as pending (ztunnel does)."""

    status: int
    pending: tuple[str, ...] = ()


CERTIFICATE_RESOURCES = ("default", "ROOTCA")
"""The resources that bring an agent a workload certificate, by their names in its metrics."""


class AgentMetrics(Struct, frozen=True, kw_only=True, gc=False):
    """The agent's own part of 15020's page (`istio_agent_*`); 0 where it has none.

    Names: Istio pkg/monitoring, pilot/cmd/pilot-agent/status; recorded pages.
    `certificate_seconds`: how long workload certificates are valid yet, by the resource whose
    request brought each. "ROOTCA", which agents up to 1.22 have, is no root's (registerSecret in
    security/pkg/nodeagent/cache/secretcache.go).
    """

    scrape_failures: Mapping[str, float] = NO_ENTRIES
    istiod_terminations_by_error: float = 0.0
    csr_failures: float = 0.0
    csr_retries: float = 0.0
    xds_requests: float = 0.0
    xds_responses: float = 0.0
    dns_upstream_requests: float = 0.0
    dns_upstream_failures: float = 0.0
    certificate_seconds: Mapping[str, float] = NO_ENTRIES

    @property
    def workload_certificate_seconds(self) -> float | None:
        """How long the workload's certificate is valid yet; None where none was issued.

        The newest counts: the gauge of a resource stays when another one's request renews it.
        """
        known = self.certificate_seconds
        return max((known[name] for name in CERTIFICATE_RESOURCES if name in known), default=None)


class AgentFacts(Struct, frozen=True, kw_only=True, gc=False):
    """What 15020 returned in one poll; a part that was not requested or did not come is None.

    `page` is how the request for the metrics page ended, where it was made; `app_health` maps
    /app-health paths to their status codes.
    """

    status: int | None = None
    page: Outcome | None = None
    metrics: AgentMetrics | None = None
    app_health: Mapping[str, int] = NO_ENTRIES


class EnvoyStats(Struct, frozen=True, kw_only=True, gc=False):
    """Envoy's own statistics, from 15090 or admin; None where the page does not have it.

    `state`: 0 LIVE, 1 DRAINING, 2 PRE_INITIALIZING, 3 INITIALIZING (envoy server.state).
    `complete` is True for the detail page, False for the fast one (server.*, and of a gateway the
    listeners that are active or warm, and accepted updates). `build`: Istio's version by Envoy's
    own `istio_build`.
    """

    complete: bool = False
    live: bool | None = None
    state: int | None = None
    workers_started: bool | None = None
    listeners_active: float | None = None
    listeners_warming: float | None = None
    listeners_draining: float | None = None
    listener_create_failures: float = 0.0
    cds_success: float | None = None
    cds_rejected: float | None = None
    cds_failure: float | None = None
    lds_success: float | None = None
    lds_rejected: float | None = None
    lds_failure: float | None = None
    xds_connections: float | None = None
    build: str = ""


class BoundListener(Struct, frozen=True, kw_only=True, gc=False):
    """One row of admin /listeners: a name and where it listens."""

    name: str
    address: str
    port: int

    @property
    def is_loopback(self) -> bool:
        """Bound to loopback, so the network cannot reach it."""
        return is_loopback(self.address)


class AdminFacts(Struct, frozen=True, kw_only=True, gc=False):
    """What 15000 returned in the pod view; parts not requested in this poll are None.

    `state` is /ready's word (LIVE, INITIALIZING, ...). `rejected` maps a listener's name to
    Envoy's reason.
    """

    state: str | None = None
    stats: EnvoyStats | None = None
    listeners: tuple[BoundListener, ...] | None = None
    warming: tuple[str, ...] | None = None
    rejected: Mapping[str, str] | None = None
    workload_certificate: Certificate | None = None
    server_certificates: tuple[Certificate, ...] | None = None
    istio_version: str = ""
    root_certificate: Certificate | None = None


class ZtunnelFacts(Struct, frozen=True, kw_only=True, gc=False):
    """What a ztunnel's page of metrics has of its node; None where the page does not have it.

    `page` is how the request for it ended. `active` workloads are pods that it serves, `pending`
    those that it could not start to serve. `terminations`: how often its connection to istiod
    ended, by reason; a `Reconnect` is istiod's usual end of a connection.
    Names: ztunnel src/inpod/metrics.rs, src/xds/metrics.rs; recorded pages.
    """

    page: Outcome
    active: float | None = None
    pending: float | None = None
    terminations: Mapping[str, float] = NO_ENTRIES


class CniFacts(Struct, frozen=True, kw_only=True, gc=False):
    """How many ztunnels of its node a CNI agent's page of metrics counts as connected to it.

    The gauge is there once a ztunnel has connected (cni/pkg/nodeagent/ztunnelserver.go).
    """

    ztunnels: float


class TlsFacts(Struct, frozen=True, kw_only=True, gc=False):
    """What a TLS handshake showed.

    `root` names the key of the authority behind the chain, in 16 hex digits.
    """

    certificate: Certificate | None = None
    root: str = ""


class XdsResource(Struct, frozen=True, kw_only=True, gc=False):
    """One resource type of one proxy in istiod's syncz (nonces compared, not versions).

    `behind`: the nonce that it acknowledged last, where another one was sent since.
    """

    synced: bool
    error: str = ""
    behind: str = ""


class SyncStatus(Struct, frozen=True, kw_only=True, gc=False):
    """One proxy as one istiod replica sees it; resources by short name (cds, lds, rds, eds)."""

    proxy: str
    cluster_id: str
    version: str
    resources: Mapping[str, XdsResource]


class IstiodFacts(Struct, frozen=True, kw_only=True, gc=False):
    """What 15014 returned; None where it was not requested. `syncz` is None without a token or 200.

    `syncz_outcome` keeps 401 and 403 (forbidden) apart from 404 (http_error); `syncz_status`
    is the code itself.
    """

    version: str | None = None
    connected_proxies: float | None = None
    xds_rejects: Mapping[str, float] | None = None
    push_errors: float | None = None
    build: str = ""
    syncz: tuple[SyncStatus, ...] | None = None
    syncz_outcome: Outcome | None = None
    syncz_status: int | None = None


class ListeningSocket(Struct, frozen=True, kw_only=True, gc=False):
    """One listening socket of a pod, worker duplicates merged: what `lsof -i` shows."""

    port: int
    address: str
    process: str
    protocol: str = "tcp"

    @property
    def is_loopback(self) -> bool:
        """Bound to loopback, so the network cannot reach it."""
        return is_loopback(self.address)


class OutgoingConnection(Struct, frozen=True, kw_only=True, gc=False):
    """A connection whose local port is one of Istio's: nobody can listen there meanwhile.

    `process` is empty where its owner is not known.
    """

    port: int
    process: str


class LocalPortUse(Struct, frozen=True, kw_only=True, gc=False):
    """How many of a pod's `size` local ports its connections from `client` to one place use."""

    client: str
    server: str
    port: int
    used: int
    size: int


class CpuThrottling(Struct, frozen=True, kw_only=True, gc=False):
    """What a container's CPU limit has done since its start.

    `throttled` of the `periods` in which it ran, for `seconds` of its threads together.
    """

    periods: int
    throttled: int
    seconds: float


class SocketTable(Struct, frozen=True, kw_only=True, gc=False):
    """A pod's sockets: who listens, where the agent is connected, whose local ports are scarce.

    `throttling`: what holds the proxy's container back; None where that is not known.
    """

    listening: tuple[ListeningSocket, ...]
    agent_connections: tuple[tuple[str, int], ...] = ()
    outgoing: tuple[OutgoingConnection, ...] = ()
    local_ports: tuple[LocalPortUse, ...] = ()
    throttling: CpuThrottling | None = None


ProxyListing = tuple[SyncStatus, ...]
"""Every proxy that one istiod replica named in one answer."""

Facts = (
    ReadinessFacts
    | AgentFacts
    | EnvoyStats
    | AdminFacts
    | ZtunnelFacts
    | CniFacts
    | TlsFacts
    | IstiodFacts
    | SocketTable
    | None
)
