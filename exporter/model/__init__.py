"""The words of the product as data: targets, ports, observations, verdicts, diagnoses.

Everything here is a frozen value or a closed enum. Data flows through these types one way:
a `Target` is polled, each `Probe` leaves an `Observation`, `diagnosis` turns a target's
observations and `Memory` into a `TargetRecord`, `exposition` renders the record.
No I/O, no clock, no imports beyond the standard library.
"""

from exporter.model.enums import (
    AGENT_ROLES,
    ALL_ROLES,
    ENVOY_ROLES,
    PROXY_ROLES,
    Cadence,
    CauseClass,
    Component,
    Expectation,
    Interception,
    Outcome,
    PortName,
    ProbeKind,
    Redirection,
    Role,
    View,
)
from exporter.model.facts import (
    AdminFacts,
    AgentFacts,
    AgentMetrics,
    BoundListener,
    Certificate,
    EnvoyStats,
    Facts,
    IstiodFacts,
    ListeningSocket,
    LocalPortUse,
    OutgoingConnection,
    ProxyListing,
    ReadinessFacts,
    SocketTable,
    SyncStatus,
    Timestamped,
    TlsFacts,
    XdsResource,
    ZtunnelFacts,
)
from exporter.model.lifecycle import (
    RESTART_WINDOW_SECONDS,
    ContainerKind,
    ContainerState,
    Lifecycle,
    PodContainer,
    Termination,
)
from exporter.model.memory import (
    Growth,
    Memory,
)
from exporter.model.observation import (
    Observation,
    WebhookPath,
)
from exporter.model.probe import Probe
from exporter.model.record import (
    CertificateValidity,
    ClusterRecord,
    Diagnosis,
    ProxyStatus,
    TargetRecord,
    Verdict,
)
from exporter.model.target import (
    Settings,
    Target,
    TargetKey,
)

__all__ = [
    "AGENT_ROLES",
    "ALL_ROLES",
    "ENVOY_ROLES",
    "PROXY_ROLES",
    "RESTART_WINDOW_SECONDS",
    "AdminFacts",
    "AgentFacts",
    "AgentMetrics",
    "BoundListener",
    "Cadence",
    "CauseClass",
    "Certificate",
    "CertificateValidity",
    "ClusterRecord",
    "Component",
    "ContainerKind",
    "ContainerState",
    "Diagnosis",
    "EnvoyStats",
    "Expectation",
    "Facts",
    "Growth",
    "Interception",
    "IstiodFacts",
    "Lifecycle",
    "ListeningSocket",
    "LocalPortUse",
    "Memory",
    "Observation",
    "Outcome",
    "OutgoingConnection",
    "PodContainer",
    "PortName",
    "Probe",
    "ProbeKind",
    "ProxyListing",
    "ProxyStatus",
    "ReadinessFacts",
    "Redirection",
    "Role",
    "Settings",
    "SocketTable",
    "SyncStatus",
    "Target",
    "TargetKey",
    "TargetRecord",
    "Termination",
    "Timestamped",
    "TlsFacts",
    "Verdict",
    "View",
    "WebhookPath",
    "XdsResource",
    "ZtunnelFacts",
]
