"""The words of the product as data: targets, ports, observations, verdicts, diagnoses.

Everything here is a frozen value or a closed enum. Data flows through these types one way:
a `Target` is looked at, each probe leaves an `Observation`, `diagnosis` turns a target's
observations and `Memory` into a `TargetRecord`, `exposition` renders the record.
No I/O, no clock, no imports beyond the standard library.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Generic, TypeVar

T = TypeVar("T")


class Role(StrEnum):
    """What a target is in the mesh; decides which ports it has (see `catalogue`)."""

    SIDECAR = "sidecar"
    GATEWAY = "gateway"
    WAYPOINT = "waypoint"
    PROXYLESS = "proxyless"
    ZTUNNEL = "ztunnel"
    AGENTGATEWAY = "agentgateway"
    ISTIOD = "istiod"
    CNI = "cni"


class Component(StrEnum):
    """The process that owns a port."""

    ENVOY = "envoy"
    PILOT_AGENT = "pilot-agent"
    ZTUNNEL = "ztunnel"
    ISTIOD = "istiod"
    INSTALL_CNI = "install-cni"
    AGENTGATEWAY = "agentgateway"
    GATEWAY = "gateway"


class Expectation(StrEnum):
    """What a port of this target should be.

    open: reachable from the network; loopback: served inside the pod only;
    absent: not served at all; optional: either is fine, only an answer is reported.
    """

    OPEN = "open"
    LOOPBACK = "loopback"
    ABSENT = "absent"
    OPTIONAL = "optional"


class View(StrEnum):
    """Where a port is seen from: another host's network, or the pod's own namespace."""

    NETWORK = "network"
    POD = "pod"


class Cadence(StrEnum):
    """How often a question is asked: every poll, every few, or about once an hour."""

    FAST = "fast"
    DETAIL = "detail"
    IDENTITY = "identity"


class Outcome(StrEnum):
    """How one probe ended. Closed: whatever a target does ends as one of these."""

    OK = "ok"
    REFUSED = "refused"
    TIMEOUT = "timeout"
    RESET = "reset"
    CLOSED = "closed"
    TLS_ERROR = "tls_error"
    NOT_READY = "not_ready"
    HTTP_ERROR = "http_error"
    FORBIDDEN = "forbidden"
    WRONG_PROTOCOL = "wrong_protocol"
    WRONG_IDENTITY = "wrong_identity"
    TOO_LARGE = "too_large"
    UNREACHABLE = "unreachable"
    NO_ACCESS = "no_access"
    CAPTURED = "captured"
    BLOCKED = "blocked"


PROVING = frozenset({Outcome.OK, Outcome.NOT_READY, Outcome.FORBIDDEN})
"""Outcomes that prove the owner answered: the port is up."""

UNJUDGING = frozenset({Outcome.CAPTURED, Outcome.NO_ACCESS, Outcome.BLOCKED})
"""Outcomes that prove nothing either way: the port is unjudged."""

SILENT = frozenset({Outcome.TIMEOUT, Outcome.UNREACHABLE})
"""Outcomes that mean nothing at all came back."""


class CauseClass(StrEnum):
    """Who has to act on a cause."""

    FAULT = "fault"
    TRANSITION = "transition"
    POLICY = "policy"
    APPLICATION = "application"
    EXPORTER = "exporter"


class Interception(StrEnum):
    """How a sidecar's inbound traffic is captured (ISTIO_META_INTERCEPTION_MODE)."""

    REDIRECT = "REDIRECT"
    TPROXY = "TPROXY"
    NONE = "NONE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a pod spec says about a proxy's ports; the defaults are Istio's.

    A port of 0 means "not served". `included_inbound_ports` None means `*` (all).
    """

    admin_port: int = 15000
    outbound_port: int = 15001
    inbound_port: int = 15006
    status_port: int = 15020
    health_port: int = 15021
    stats_port: int = 15090
    secure_stats_port: int = 0
    secure_merged_port: int = 0
    metrics_localhost_only: bool = False
    dns_capture: bool = False
    hbone: bool = False
    xds_debug: bool = True
    interception: Interception = Interception.REDIRECT
    included_inbound_ports: tuple[int, ...] | None = None
    excluded_inbound_ports: tuple[int, ...] = ()
    server_ports: tuple[int, ...] = ()
    app_ports: tuple[int, ...] = ()
    app_probe_paths: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TargetKey:
    """What identifies a target in metrics, pages and logs."""

    namespace: str
    pod: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.pod}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lifecycle:
    """What Kubernetes says of the pod and its node; None where it was not asked.

    `started` is the proxy container's start, seconds since the epoch.
    """

    container_ready: bool | None = None
    node_ready: bool | None = None
    terminating: bool | None = None
    started: float | None = None
    restarts: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One proxy or istiod replica whose ports are watched.

    `addresses` are IP literals, one per address family. `captured`: inbound redirection is
    expected. `netns`: a name under /run/netns, a path, or a pid; empty for none.
    `uid` orders and shards targets; static targets use their key.
    """

    key: TargetKey
    role: Role
    addresses: tuple[str, ...]
    captured: bool = False
    settings: Settings = Settings()
    istio_version: str = ""
    netns: str = ""
    uid: str = ""
    node: str = ""
    workload: str = ""
    revision: str = ""
    cluster_id: str = ""
    native_sidecar: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)
    ignored_ports: tuple[int, ...] = ()
    trusted: bool = False
    lifecycle: Lifecycle = Lifecycle()


# --- What a probe can learn beside its outcome -------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """A certificate seen on the wire or named by Envoy. Times in seconds since the epoch."""

    not_before: float
    not_after: float
    uris: tuple[str, ...] = ()
    dns_names: tuple[str, ...] = ()

    @property
    def spiffe_id(self) -> str:
        """The first SPIFFE URI, or empty (spiffe://<trust domain>/ns/<ns>/sa/<account>)."""
        return next((uri for uri in self.uris if uri.startswith("spiffe://")), "")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadinessFacts:
    """An HTTP answer's status and what it says is pending (ztunnel names its tasks)."""

    status: int
    pending: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentMetrics:
    """The agent's own part of 15020's page (`istio_agent_*`); None where never counted.

    Names: Istio pkg/monitoring, pilot/cmd/pilot-agent/status; recorded pages.
    """

    has_envoy: bool = False
    scrape_failures: Mapping[str, float] = field(default_factory=dict)
    istiod_terminations_by_error: float = 0.0
    csr_requests: float = 0.0
    csr_failures: float = 0.0
    csr_retries: float = 0.0
    xds_requests: float = 0.0
    xds_responses: float = 0.0
    dns_upstream_failures: float = 0.0
    certificate_seconds: Mapping[str, float] = field(default_factory=dict)
    startup_seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentFacts:
    """What 15020 told in one poll; a part that was not asked or did not come is None.

    `page` is how the metrics page ended where it was asked; `app_health` maps
    /app-health paths to their status codes.
    """

    status: int | None = None
    page: Outcome | None = None
    metrics: AgentMetrics | None = None
    app_health: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvoyStats:
    """Envoy's own statistics, from 15090 or admin; None where the page does not have it.

    `state`: 0 LIVE, 1 DRAINING, 2 PRE_INITIALIZING, 3 INITIALIZING (envoy server.state).
    `complete` is True for the detail page, False for the fast one (server.* only).
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
    bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundListener:
    """One row of admin /listeners: a name and where it listens."""

    name: str
    address: str
    port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AdminFacts:
    """What 15000 told, from inside the pod; parts not asked in this poll are None.

    `state` is /ready's word (LIVE, INITIALIZING, ...). `rejected` maps a listener's name to
    Envoy's reason. `unready` is /init_dump. `exposed`: the bytes that are not HTTP were
    answered from the network, so admin is open to it.
    """

    state: str | None = None
    stats: EnvoyStats | None = None
    listeners: tuple[BoundListener, ...] | None = None
    warming: tuple[str, ...] | None = None
    draining: tuple[str, ...] | None = None
    rejected: Mapping[str, str] | None = None
    workload_certificate: Certificate | None = None
    root_certificate: Certificate | None = None
    unready: tuple[str, ...] | None = None
    exposed: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsFacts:
    """What a TLS handshake showed. `via` is the port that was dialled for it."""

    certificate: Certificate | None = None
    alpn: str = ""
    via: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class XdsResource:
    """One resource type of one proxy in istiod's syncz (nonces compared, not versions)."""

    sent: bool
    acked: bool
    synced: bool
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncStatus:
    """One proxy as one istiod replica sees it; resources by short name (cds, lds, rds, eds)."""

    proxy: str
    cluster_id: str
    version: str
    resources: Mapping[str, XdsResource]


@dataclass(frozen=True, slots=True, kw_only=True)
class IstiodFacts:
    """What 15014 told; None where it was not asked. `syncz` is None without a token or 200.

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


@dataclass(frozen=True, slots=True, kw_only=True)
class ListeningSocket:
    """One listening socket of a pod, worker duplicates merged: what `lsof -i` shows."""

    port: int
    address: str
    process: str
    protocol: str = "tcp"

    @property
    def is_loopback(self) -> bool:
        """Bound to 127.0.0.0/8 or ::1, so the network cannot reach it."""
        return self.address.startswith("127.") or self.address == "::1"


@dataclass(frozen=True, slots=True, kw_only=True)
class SocketTable:
    """A pod's sockets: who listens, and the remote ports of the agent's connections."""

    listening: tuple[ListeningSocket, ...]
    agent_connections: tuple[tuple[str, int], ...] = ()


Facts = (
    ReadinessFacts
    | AgentFacts
    | EnvoyStats
    | AdminFacts
    | TlsFacts
    | IstiodFacts
    | SocketTable
    | None
)


@dataclass(frozen=True, slots=True)
class Observation:
    """What one probe saw of one port from one view at one address.

    `seconds` is the probe's duration, for HTTP without the connect; `detail` is for people: short,
    no secrets.
    `connected`: whether a TCP connection came about, which is all that a naive prober asks;
    None where none was tried.
    """

    port: int
    view: View
    outcome: Outcome
    seconds: float = 0.0
    detail: str = ""
    facts: Facts = None
    address: str = ""
    connected: bool | None = None


SOCKETS_PORT = 0
"""The pseudo port under which a pod's socket table is observed."""


# --- What the observations mean -------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Verdict:
    """What can be said of one port. `up` None: unjudged, and `outcome` says why.

    `view` is the view that decided. `naive`: what a plain connect from the network said
    (True it connects, False it does not, None it was not tried). `seconds` and `detail`
    are the deciding probe's. `structural`: unjudged by configuration for a whole role, so it
    is said once per exporter and not per target.
    """

    port: int
    component: str
    up: bool | None
    outcome: Outcome
    view: View
    seconds: float = 0.0
    detail: str = ""
    naive: bool | None = None
    exposed: bool = False
    structural: bool = False


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The one most likely cause, with the evidence it rests on.

    `cause` is a stable id from `diagnosis.causes`; evidence is short sentences.
    """

    cause: str
    cause_class: CauseClass
    sentence: str
    advice: str
    evidence: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Growth:
    """A counter between detail polls: its last value, last step, and how often in a row it grew."""

    value: float
    step: float = 0.0
    streak: int = 0


@dataclass(frozen=True, slots=True)
class Seen(Generic[T]):
    """Something that a slower cadence learnt, and when (seconds since the epoch)."""

    value: T
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """What a target's last polls left that the next one needs. Pure data, replaced each poll.

    `proofs` maps ports to when their identity was last proved; `growth` maps counter names
    to their growth; `rejected` maps cds and lds to "the last update was rejected".
    `hello` is the last decided TLS hello per address, `hello_asked` the last attempt.
    `hello_missed`: addresses whose last hello timed out although the one before is believed.
    `disproved` maps ports that another process answered to what was seen; `page` is how 15020's
    page ended when it was last asked, `page_asked` when that was.
    """

    polls: int = 0
    agent: Seen[AgentMetrics] | None = None
    page: Outcome | None = None
    page_asked: float = 0.0
    stats: Seen[EnvoyStats] | None = None
    admin: Seen[AdminFacts] | None = None
    sockets: Seen[SocketTable] | None = None
    istiod: Seen[IstiodFacts] | None = None
    app_health: Seen[Mapping[str, int]] | None = None
    hello: Mapping[str, Seen[Observation]] = field(default_factory=dict)
    hello_asked: float = 0.0
    hello_missed: frozenset[str] = frozenset()
    exposure: Seen[Observation] | None = None
    serving: Mapping[int, Seen[Certificate]] = field(default_factory=dict)
    proofs: Mapping[int, float] = field(default_factory=dict)
    disproved: Mapping[int, str] = field(default_factory=dict)
    growth: Mapping[str, Growth] = field(default_factory=dict)
    rejected: Mapping[str, bool] = field(default_factory=dict)
    warming_polls: int = 0
    initializing_since: float | None = None
    last_ok: Mapping[int, float] = field(default_factory=dict)
    polled: Mapping[Cadence, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateLife:
    """One certificate of a target: which (workload, root, serving), told by whom, how long."""

    certificate: str
    source: str
    not_after: float
    not_before: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxyStatus:
    """What is known of an Envoy or ztunnel beyond its ports; None and empty mean not known."""

    captured: bool | None = None
    envoy_live: bool | None = None
    listeners: Mapping[str, float] = field(default_factory=dict)
    bound: Mapping[str, bool] = field(default_factory=dict)
    rejected: Mapping[str, bool] = field(default_factory=dict)
    updates: Mapping[str, float] = field(default_factory=dict)
    rejects: Mapping[str, float] = field(default_factory=dict)
    xds_connected: bool | None = None
    xds_synced: Mapping[str, bool] = field(default_factory=dict)
    xds_known: bool | None = None
    agent_scrape_failures: Mapping[str, float] = field(default_factory=dict)
    rejected_reasons: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetRecord:
    """Everything one look said of one target: what `exposition` renders and the API serves.

    `ready` maps an endpoint (envoy, agent, istiod, webhook, ztunnel, cni) to its readiness.
    `polled` holds when each cadence last ran, seconds since the epoch.
    """

    target: Target
    verdicts: tuple[Verdict, ...] = ()
    ready: Mapping[str, bool] = field(default_factory=dict)
    diagnosis: Diagnosis | None = None
    proxy: ProxyStatus = ProxyStatus()
    control_plane: IstiodFacts | None = None
    certificates: tuple[CertificateLife, ...] = ()
    spiffe_id: str = ""
    listening: tuple[ListeningSocket, ...] = ()
    polled: Mapping[Cadence, float] = field(default_factory=dict)
    last_ok: Mapping[int, float] = field(default_factory=dict)
    unseen: tuple[str, ...] = ()


# --- The Kubernetes API, for those that are handed one -----------------------------------


class KubernetesError(Exception):
    """The API server refused, or did not answer. Its text is one short line without secrets.

    `status` is that of HTTP, 0 where no answer came. `retry_after`: seconds, when it said so.
    """

    def __init__(self, status: int, text: str, retry_after: float | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.retry_after = retry_after

    @classmethod
    def of(cls, status: int, text: str, retry_after: float | None = None) -> "KubernetesError":
        """The error of the class that this status belongs to."""
        kinds: dict[int, type[KubernetesError]] = {
            0: UnreachableError,
            401: UnauthorizedError,
            403: ForbiddenError,
            410: GoneError,
            429: TooManyRequestsError,
        }
        return kinds.get(status, KubernetesError)(status, text, retry_after)


class UnreachableError(KubernetesError):
    """No answer came, or what came was not an answer of Kubernetes."""


class UnauthorizedError(KubernetesError):
    """It does not know us: the credentials ended or are wrong."""


class ForbiddenError(KubernetesError):
    """It knows us and does not let us."""


class GoneError(KubernetesError):
    """The version asked for is not there any more: the list has to be read anew."""


class TooManyRequestsError(KubernetesError):
    """It is busy; `retry_after` says for how long."""
