"""Configuration: a YAML file and command line overrides in, one frozen `Config` out."""

from exporter.config.constraints import broken_namespace, broken_selector
from exporter.config.load import load, ordinal_of, read_targets
from exporter.config.problems import ConfigError, Problem
from exporter.config.schema import (
    AccessConfig,
    Config,
    DiscoveryConfig,
    DryRunConfig,
    IstiodConfig,
    KubernetesConfig,
    LogConfig,
    NetnsConfig,
    PollConfig,
    ShardConfig,
    StaticConfig,
    StaticTarget,
    WebConfig,
)
