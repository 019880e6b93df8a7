"""The closed vocabularies: every enum that a target, a port or a cause is described with."""

from enum import StrEnum


class Role(StrEnum):
    """What a target is in the mesh; decides which ports it has (see `catalogue`)."""

    SIDECAR = "sidecar"
    GATEWAY = "gateway"
    WAYPOINT = "waypoint"
    PROXYLESS = "proxyless"
    AMBIENT = "ambient"
    ZTUNNEL = "ztunnel"
    AGENTGATEWAY = "agentgateway"
    ISTIOD = "istiod"
    CNI = "cni"


ALL_ROLES = tuple(Role)

ENVOY_ROLES = (Role.SIDECAR, Role.GATEWAY, Role.WAYPOINT)
"""Roles whose ports belong to an Envoy and its pilot-agent."""

AGENT_ROLES = (*ENVOY_ROLES, Role.PROXYLESS)
"""Roles with a pilot-agent."""

PROXY_ROLES = (*AGENT_ROLES, Role.ZTUNNEL, Role.AGENTGATEWAY)
"""Roles whose own processes carry the mesh's traffic; an ambient workload's are its ztunnel's."""


HBONE_ROLES = (Role.AMBIENT, Role.ZTUNNEL)
"""Roles on whose 15008 a ztunnel presents their certificate: the workload's, or its own."""


class Redirection(StrEnum):
    """What istio-cni has made of a pod that is to be in the ambient mesh.

    enabled, pending: as its annotation reports it; pending has rules and no ztunnel. missing: what
    enrols the pod is there, and no annotation.
    """

    ENABLED = "enabled"
    PENDING = "pending"
    MISSING = "missing"


class Component(StrEnum):
    """The process that owns a port."""

    ENVOY = "envoy"
    PILOT_AGENT = "pilot-agent"
    ZTUNNEL = "ztunnel"
    ISTIOD = "istiod"
    INSTALL_CNI = "install-cni"
    AGENTGATEWAY = "agentgateway"
    GATEWAY = "gateway"


class PortName(StrEnum):
    """The names of Istio's ports, one a purpose: the status port is `status` wherever it listens.

    What is served under a name on a proxy may be served under another number, and ztunnel's `stats`
    are on 15020. Gateways name their servers by their own listeners, which are not listed here.
    """

    ADMIN = "admin"
    VIRTUAL_OUTBOUND = "virtualOutbound"
    VIRTUAL_INBOUND = "virtualInbound"
    XDS_DEBUG = "xds-debug"
    CONNECT_TERMINATE = "connect_terminate"
    HBONE = "hbone"
    STATUS = "status"
    STATS = "stats"
    METRICS = "metrics"
    HEALTH = "health"
    READINESS = "readiness"
    DNS = "dns"
    SECURE_STATS = "secure-stats"
    SECURE_MERGED = "secure-merged"
    HTTP_DEBUG = "http-debug"
    GRPC_XDS = "grpc-xds"
    TLS_XDS = "tls-xds"
    HTTP_MONITORING = "http-monitoring"
    HTTPS_WEBHOOKS = "https-webhooks"
    CONTROLZ = "controlz"
    MONITORING = "monitoring"


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
    """How often a probe or a request is made: every poll, every few, or about once an hour.

    `PAGE` is that of the agent's page of metrics, which costs others.
    """

    FAST = "fast"
    DETAIL = "detail"
    PAGE = "page"
    IDENTITY = "identity"


EVERY_CADENCE = frozenset(Cadence)
FAST_ONLY = frozenset({Cadence.FAST})

_STARTED_BY = {"exposure": Cadence.IDENTITY, "sockets": Cadence.DETAIL}
_ANSWERED_BY_CLOSING = ("blackhole", "control", "tcp")
_ANSWERED_BY_REDIRECTION = ("control", "tcp", "tls")


class ProbeKind(StrEnum):
    """What a probe does: one kind a prober, named as the configuration and the API name it.

    `cadence`: the one that starts it. `is_answered_by_closing`: the port answers by closing the
    connection, or by accepting it. `is_answered_by_redirection`: redirection alone can answer it,
    so that it proves nothing of a captured port.
    """

    ADMIN = "admin"
    AGENT = "agent"
    BLACKHOLE = "blackhole"
    CONTROL = "control"
    CONTROLZ = "controlz"
    DNS = "dns"
    EXPOSURE = "exposure"
    GRPC = "grpc"
    GRPC_TLS = "grpc_tls"
    HBONE_HELLO = "hbone_hello"
    HELLO = "hello"
    HTTP = "http"
    HTTP_READY = "http_ready"
    ISTIOD = "istiod"
    METRICS = "metrics"
    READINESS = "readiness"
    SERVER_HELLO = "server_hello"
    SOCKETS = "sockets"
    STATS = "stats"
    TCP = "tcp"
    TLS = "tls"
    WEBHOOK = "webhook"
    XDS_DEBUG = "xds_debug"
    ZTUNNEL_ADMIN = "ztunnel_admin"
    ZTUNNEL_READY = "ztunnel_ready"
    ZTUNNEL_STATS = "ztunnel_stats"

    def __init__(self, value: str) -> None:
        self.cadence = _STARTED_BY.get(value, Cadence.FAST)
        self.is_answered_by_closing = value in _ANSWERED_BY_CLOSING
        self.is_answered_by_redirection = value in _ANSWERED_BY_REDIRECTION


_PROVING = ("ok", "not_ready", "forbidden")
_UNJUDGED = ("captured", "no_access", "blocked", "rejected", "lost")
_SILENT = ("timeout", "unreachable")


class Outcome(StrEnum):
    """How one probe ended. Closed: whatever a target does ends as one of these.

    `up`: whether a port with this outcome is up; None where it is unjudged. `proves`: the owner
    answered. `is_unjudged`: it proves nothing either way. `is_silent`: nothing at all came back.
    """

    OK = "ok"
    REFUSED = "refused"
    REJECTED = "rejected"
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
    LOST = "lost"

    def __init__(self, value: str) -> None:
        self.proves = value in _PROVING
        self.is_unjudged = value in _UNJUDGED
        self.is_silent = value in _SILENT
        self.up = None if self.is_unjudged else self.proves


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
