"""What a pod spec states about its ports: arguments, environment, annotations, redirection rules.

Where a port's number comes from, and what switches it, is in its row of the catalogue, whose
precedence is the agent's (pilot/cmd/pilot-agent/config/config.go). What istio-init was started
with outranks the annotations. Malformed parts count as absent. Pure.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any

import msgspec
import yaml

from exporter.bounds import ARGUMENT, CONTAINERS, SETTINGS_TEXT, TARGET_PORTS
from exporter.catalogue import ALWAYS_EXCLUDED, PORTS_BY_ROLE
from exporter.catalogue.movers import DUAL_STACK, Place, Sources, number_from
from exporter.config.yaml_document import BAD_SCALARS, check_structure
from exporter.config.yaml_events import LOADER
from exporter.discovery.ambient_pods import bypasses_capture, redirection_of
from exporter.discovery.command_lines import flags_of
from exporter.discovery.pod_documents import Container, Pod
from exporter.discovery.redirection_rules import (
    iptables_flags,
    redirection_settings,
    writes_rules,
)
from exporter.model import ENVOY_ROLES, Redirection, Role, Settings

_MAX_BITS = 64
_MOST_VALUES = 500
"""Keys and values of a ProxyConfig in YAML, each of which takes 20 us to read; usual are 50."""

_DEFAULTS = Settings()


def has_rules(pod: Pod) -> bool:
    """Whether an init container of the pod writes redirection rules."""
    inits = (pod.spec.init_containers or ())[:CONTAINERS]
    return any(map(writes_rules, inits))


def settings_of(pod: Pod, proxy: Container, role: Role) -> Settings:
    """The settings of a pod's proxy container, as far as the pod document states them."""
    sources = sources_of(pod, proxy)
    usual: dict[str, Any] = {**_numbers(role, sources), **_switches(role, sources)}
    found = replace(_DEFAULTS, **usual)
    return replace(
        found,
        **redirection_settings(role, sources, found.status_port),
        ambient=_is_in_ambient(pod, role),
        loopback_ports=_on_loopback(role, sources),
        dual_stack=role in ENVOY_ROLES and DUAL_STACK.is_on(sources),
        app_ports=_app_ports(pod, proxy, role, found),
        beside_gateway=_beside_gateway(pod, proxy) if role is Role.GATEWAY else (),
        app_probe_paths=_app_probe_paths(sources[Place.VARIABLE].get("ISTIO_KUBE_APP_PROBERS", "")),
        issued_elsewhere=_is_issued_elsewhere(sources),
    )


def _numbers(role: Role, sources: Sources) -> dict[str, int]:
    """The numbers of the role's ports, by their fields of `Settings`."""
    return {
        row.setting: number_from(row.moved_by, sources, getattr(_DEFAULTS, row.setting))
        for row in PORTS_BY_ROLE[role]
        if row.setting
    }


def _on_loopback(role: Role, sources: Sources) -> tuple[str, ...]:
    """The fields of ports that would be open, but for the loopback host in their addresses."""
    return tuple(
        row.setting
        for row in PORTS_BY_ROLE[role]
        if row.bind != "loopback" and any(one.is_on_loopback(sources) for one in row.moved_by)
    )


def _switches(role: Role, sources: Sources) -> dict[str, bool]:
    return {
        switch.setting: switch.is_on(sources)
        for row in PORTS_BY_ROLE[role]
        for switch in row.switches
    }


def sources_of(pod: Pod, proxy: Container) -> Sources:
    """What a pod document states of its proxy, by where it states it."""
    below = _proxy_config(proxy.environment.get("PROXY_CONFIG", ""))
    above = _proxy_config(pod.annotations.get("proxy.istio.io/config", ""))
    metadata = {**_texts(below.get("proxyMetadata")), **_texts(above.get("proxyMetadata"))}
    return {
        Place.ANNOTATION: pod.annotations,
        Place.LABEL: pod.labels,
        Place.PROXY_CONFIG: {**below, **above},
        Place.PROXY_METADATA: metadata,
        Place.VARIABLE: {**metadata, **proxy.environment},
        Place.ARGUMENT: flags_of(proxy.words),
        Place.IPTABLES: iptables_flags((pod.spec.init_containers or ())[:CONTAINERS]),
    }


def _proxy_config(text: str) -> Mapping[str, Any]:
    """A ProxyConfig by its keys in camel case; protobuf takes them as `status_port`, too."""
    return {
        _SNAKE.sub(lambda found: found[1].upper(), key): value
        for key, value in _mapping(text).items()
        if isinstance(key, str) and len(key) <= ARGUMENT
    }


_SNAKE = re.compile(r"_([a-z])")


def _mapping(text: str) -> Mapping[str, Any]:
    """A mapping from JSON or YAML text; empty for anything else, aliases and large texts."""
    return _parsed(text) if len(text) <= SETTINGS_TEXT else {}


@lru_cache(maxsize=256)
def _parsed(text: str) -> Mapping[str, Any]:
    value: object = None
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        try:
            check_structure(text, _MOST_VALUES)
            value = yaml.load(text, Loader=LOADER)  # noqa: S506 - it is the safe loader
        except (yaml.YAMLError, RecursionError, *BAD_SCALARS):
            value = None
    return value if isinstance(value, dict) else {}


def _texts(value: object) -> dict[str, str]:
    """Proxy metadata, which becomes the agent's environment: booleans as Go writes them.

    Names are text; values that are neither text nor a number of usual size are left out.
    """
    if not isinstance(value, dict):
        return {}
    return {
        name: str(item).lower() if isinstance(item, bool) else str(item)
        for name, item in value.items()
        if isinstance(name, str) and _is_plain(item)
    }


def _is_plain(item: object) -> bool:
    if isinstance(item, int):
        return item.bit_length() <= _MAX_BITS
    return isinstance(item, str | float)


def _is_issued_elsewhere(sources: Sources) -> bool:
    """Whether the pod names both its authority and its istiod, at different addresses."""
    authority = sources[Place.VARIABLE].get("CA_ADDR")
    istiod = sources[Place.PROXY_CONFIG].get("discoveryAddress")
    return bool(authority and istiod) and authority != istiod


def _is_in_ambient(pod: Pod, role: Role) -> bool:
    """Whether ztunnel's redirection is in the pod, and for inbound connections."""
    is_enabled = role is not Role.SIDECAR and redirection_of(pod) is Redirection.ENABLED
    return is_enabled and not bypasses_capture(pod)


def _app_ports(pod: Pod, proxy: Container, role: Role, found: Settings) -> tuple[int, ...]:
    """Declared TCP ports that are not Istio's; on a gateway the proxy's own declarations too."""
    others = [row for row in pod.containers if row is not proxy or role is Role.GATEWAY]
    ports = {port for row in others for port in row.tcp_ports}
    if role is Role.GATEWAY:
        ports -= {found.status_port, found.stats_port, found.health_port, *ALWAYS_EXCLUDED, 15020}
    return tuple(sorted(ports)[:TARGET_PORTS])


def _beside_gateway(pod: Pod, proxy: Container) -> tuple[int, ...]:
    """The ports that only other containers of a gateway's pod declare."""
    others = {port for row in pod.containers if row is not proxy for port in row.tcp_ports}
    return tuple(sorted(others.difference(proxy.tcp_ports))[:TARGET_PORTS])


def _app_probe_paths(text: str) -> tuple[str, ...]:
    """Paths of the rewritten probes; /app-lifecycle would change the application."""
    keys = (key for key in _mapping(text) if isinstance(key, str) and len(key) <= ARGUMENT)
    return tuple(sorted(key for key in keys if key.startswith("/app-health/"))[:CONTAINERS])
