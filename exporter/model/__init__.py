"""The words of the product as data: targets, ports, observations, verdicts, diagnoses.

Everything here is a frozen value or a closed enum. Data flows through these types one way:
a `Target` is polled, each `Probe` leaves an `Observation`, `diagnosis` turns a target's
observations and `Memory` into a `TargetRecord`, `exposition` renders the record.
No I/O, no clock, no imports beyond the standard library and msgspec.
"""

from exporter.model.enums import (
    AGENT_ROLES,
    ALL_ROLES,
    ENVOY_ROLES,
    EVERY_CADENCE,
    FAST_ONLY,
    HBONE_ROLES,
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
    CniFacts,
    CpuThrottling,
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
    ContainerKind,
    ContainerState,
    Lifecycle,
    PodContainer,
    Termination,
)
from exporter.model.memory import Growth, HboneHello, Memory, RememberedPodView
from exporter.model.observation import Observation, Probe, Timed, WebhookPath
from exporter.model.record import (
    CertificateValidity,
    ClusterRecord,
    Diagnosis,
    LastOk,
    ProxyStatus,
    ServerCertificate,
    TargetRecord,
    Verdict,
)
from exporter.model.target import Settings, Target, TargetKey
