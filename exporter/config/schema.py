"""What can be configured: one frozen dataclass per section, defaults included.

`Config()` is the exporter without a configuration file. Durations are seconds. Every field
is a key of the YAML file except `StaticTarget.source`, which holds the file and line of an entry.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal

from msgspec import Meta

from exporter.catalogue import ExtraPort
from exporter.config.value_types import (
    Addresses,
    Count,
    Duration,
    FamilyName,
    FilePath,
    ListenAddress,
    Netns,
    Ordinal,
    Period,
    PortNumber,
    Rate,
    TelemetryPath,
    WebAddress,
)
from exporter.model import Role, Settings

SettingsMapping = Annotated[
    Mapping[str, object], Meta(description="settings of a proxy", extra={"fields_of": Settings})
]
"""The settings that an entry names, checked; those it does not name keep what they were."""


@dataclass(frozen=True, slots=True)
class SourceLocation:
    """Where an entry stands: file and line."""

    file: str = ""
    line: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class KubernetesConfig:
    """Which pods are listed and watched; empty means all."""

    enabled: bool = True
    namespaces: tuple[str, ...] = ()
    excluded_namespaces: tuple[str, ...] = ()
    label_selector: str = ""
    node: str = ""
    roles: tuple[Role, ...] = ()
    services: bool = False
    cluster_scoped: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class StaticTarget:
    """One target named by hand. `pod` may be the path of a pod document (.json, .yaml)."""

    namespace: str = ""
    pod: str = ""
    role: Role | None = None
    address: Addresses = ()
    istio_version: str = ""
    captured: bool | None = None
    netns: Netns = ""
    settings: SettingsMapping = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    node: str = ""
    workload: str = ""
    revision: str = ""
    cluster_id: str = ""
    ignored_ports: tuple[PortNumber, ...] = ()
    source: SourceLocation = SourceLocation()

    @property
    def is_document(self) -> bool:
        """Whether `pod` is a path to a pod document and not a name."""
        return self.pod.endswith((".json", ".yaml", ".yml"))


@dataclass(frozen=True, slots=True, kw_only=True)
class StaticConfig:
    """Targets named by hand: files of them, and inline ones."""

    files: tuple[str, ...] = ()
    targets: tuple[StaticTarget, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DiscoveryConfig:
    """Where targets come from."""

    kubernetes: KubernetesConfig = KubernetesConfig()
    ignore_annotation: str = "istio-port-exporter/ignore"
    start_grace: Duration = 60.0
    static: StaticConfig = StaticConfig()


@dataclass(frozen=True, slots=True, kw_only=True)
class PollConfig:
    """How often targets are polled, and which of the probes that leave a trace are allowed."""

    interval: Period = 30.0
    detail_interval: Period = 120.0
    page_interval: Period = 600.0
    identity_interval: Period = 3600.0
    timeout: Period = 2.0
    concurrency: Count = 512
    control_port: PortNumber = 15999
    exposure: bool = True
    hello: bool = True
    application_probes: bool = False
    application_ports: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PortForwardConfig:
    """The budget for port-forwards, which load the API server."""

    per_second: Rate = 1.0
    concurrency: Count = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class NetnsConfig:
    """Where the host's processes are, to find those of the pods on this node."""

    proc: FilePath = "/proc"


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessConfig:
    """How ports that listen on loopback only are reached."""

    loopback: Literal["none", "portforward", "netns"] = "none"
    portforward: PortForwardConfig = PortForwardConfig()
    netns: NetnsConfig = NetnsConfig()


@dataclass(frozen=True, slots=True, kw_only=True)
class DryRunConfig:
    """Whether, and where, the creation of a pod is tried without effect."""

    enabled: bool = False
    namespace: str = "default"
    revision: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class IstiodConfig:
    """The control plane. Mode none: a managed one, whose pods are not polled."""

    mode: Literal["auto", "none"] = "auto"
    namespaces: tuple[str, ...] = ("istio-system",)
    debug_token_file: FilePath = ""
    root_cert_file: FilePath = "/var/run/secrets/istio/root-cert.pem"
    webhook_names: tuple[str, ...] = ()
    read_webhook_names: bool = False
    webhook_dry_run: DryRunConfig = DryRunConfig()


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsConfig:
    """Which metric families are shown."""

    profile: Literal["minimal", "standard", "full"] = "standard"
    disabled_families: tuple[FamilyName, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardConfig:
    """Which part of the targets this replica owns."""

    ordinal: Ordinal = 0
    total: Count = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class WebConfig:
    """Where the exporter serves, and the exporter-toolkit file with TLS and users.

    `probe_unknown_targets`: /probe may poll addresses that are no targets. `enable_reload`:
    a POST to /-/reload reads the configuration again, as SIGHUP always does. `runbook_url`: where
    the page links causes to instead of our own runbooks. `max_requests`, `max_probes`: requests
    answered at once, and how many of them may be to /probe.
    """

    listen_address: ListenAddress = ":10520"
    telemetry_path: TelemetryPath = "/metrics"
    config_file: FilePath = ""
    probe_unknown_targets: bool = False
    enable_reload: bool = False
    runbook_url: WebAddress = ""
    max_requests: Count = 40
    max_probes: Count = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class LogConfig:
    """What the exporter logs."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["text", "json"] = "text"


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The whole configuration, checked."""

    discovery: DiscoveryConfig = DiscoveryConfig()
    poll: PollConfig = PollConfig()
    access: AccessConfig = AccessConfig()
    istiod: IstiodConfig = IstiodConfig()
    ports: tuple[ExtraPort, ...] = ()
    metrics: MetricsConfig = MetricsConfig()
    shard: ShardConfig = ShardConfig()
    web: WebConfig = WebConfig()
    log: LogConfig = LogConfig()
