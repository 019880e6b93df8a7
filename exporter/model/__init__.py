"""The words of the product as data: targets, ports, observations, verdicts, diagnoses.

Everything here is a frozen value or a closed enum. Data flows through these types one way:
a `Target` is looked at, each probe leaves an `Observation`, `diagnosis` turns a target's
observations and `Memory` into a `TargetRecord`, `exposition` renders the record.
No I/O, no clock, no imports beyond the standard library.
"""

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
    Listing,
    ReadinessFacts,
    Seen,
    SocketTable,
    SyncStatus,
    TlsFacts,
    XdsResource,
)
from exporter.model.kubernetes import (
    ForbiddenError,
    GoneError,
    KubernetesError,
    TooManyRequestsError,
    UnauthorizedError,
    UnreachableError,
)
from exporter.model.memory import (
    Growth,
    Memory,
)
from exporter.model.observation import (
    SOCKETS_PORT,
    Observation,
    WebhookPath,
)
from exporter.model.record import (
    CertificateLife,
    Diagnosis,
    ProxyStatus,
    Steady,
    TargetRecord,
    Verdict,
)
from exporter.model.target import (
    Lifecycle,
    Settings,
    Target,
    TargetKey,
)
from exporter.model.words import (
    PROVING,
    SILENT,
    UNJUDGING,
    Cadence,
    CauseClass,
    Component,
    Expectation,
    Interception,
    Outcome,
    Role,
    View,
)

__all__ = [
    "PROVING",
    "SILENT",
    "SOCKETS_PORT",
    "UNJUDGING",
    "AdminFacts",
    "AgentFacts",
    "AgentMetrics",
    "BoundListener",
    "Cadence",
    "CauseClass",
    "Certificate",
    "CertificateLife",
    "Component",
    "Diagnosis",
    "EnvoyStats",
    "Expectation",
    "Facts",
    "ForbiddenError",
    "GoneError",
    "Growth",
    "Interception",
    "IstiodFacts",
    "KubernetesError",
    "Lifecycle",
    "ListeningSocket",
    "Listing",
    "Memory",
    "Observation",
    "Outcome",
    "ProxyStatus",
    "ReadinessFacts",
    "Role",
    "Seen",
    "Settings",
    "SocketTable",
    "Steady",
    "SyncStatus",
    "Target",
    "TargetKey",
    "TargetRecord",
    "TlsFacts",
    "TooManyRequestsError",
    "UnauthorizedError",
    "UnreachableError",
    "Verdict",
    "View",
    "WebhookPath",
    "XdsResource",
]
