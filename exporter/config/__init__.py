"""Configuration: a YAML file and command line overrides in, one frozen `Config` out."""

from exporter.config.constraints import ordinal_of
from exporter.config.load import load, read_targets
from exporter.config.schema import (
    AccessConfig,
    Config,
    DiscoveryConfig,
    DryRunConfig,
    IstiodConfig,
    KubernetesConfig,
    LogConfig,
    MetricsConfig,
    NetnsConfig,
    PollConfig,
    PortForwardConfig,
    ShardConfig,
    StaticConfig,
    StaticTarget,
    WebConfig,
)
from exporter.config.yaml_document import ConfigError, Problem

__all__ = [
    "AccessConfig",
    "Config",
    "ConfigError",
    "DiscoveryConfig",
    "DryRunConfig",
    "IstiodConfig",
    "KubernetesConfig",
    "LogConfig",
    "MetricsConfig",
    "NetnsConfig",
    "PollConfig",
    "PortForwardConfig",
    "Problem",
    "ShardConfig",
    "StaticConfig",
    "StaticTarget",
    "WebConfig",
    "load",
    "ordinal_of",
    "read_targets",
]
