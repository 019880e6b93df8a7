"""The settings of a proxy from its pod spec: environment, annotations, redirection rules.

Precedence as in the agent (pilot/cmd/pilot-agent/config/config.go): defaults, PROXY_CONFIG,
the annotation proxy.istio.io/config, then status.sidecar.istio.io/port. The arguments
of istio-init outrank the annotations. Malformed parts count as absent. Pure.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import msgspec
import yaml

from exporter.catalogue import ALWAYS_EXCLUDED
from exporter.config.yaml_document import BAD_SCALARS, check_structure
from exporter.discovery.pod_documents import Container, Pod
from exporter.model import Interception, Role, Settings
from exporter.parsing import parse_number, parse_port

_YAML_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_MAX_TEXT = 65536
_MAX_BITS = 64
_TRUE = frozenset({"1", "t", "true"})
"""What Go's strconv.ParseBool takes for true, in lower case."""

_RULES_FLAGS = {
    "-p": "outbound",
    "--envoy-port": "outbound",
    "-z": "inbound",
    "--inbound-capture-port": "inbound",
    "-m": "mode",
    "--istio-inbound-interception-mode": "mode",
    "-b": "included",
    "--istio-inbound-ports": "included",
    "-d": "excluded",
    "--istio-local-exclude-ports": "excluded",
}
"""Flags of istio-iptables (tools/istio-iptables/pkg/cmd/root.go) that shape inbound capture."""

_INBOUND = "traffic.sidecar.istio.io/"


@dataclass(frozen=True, slots=True)
class _Proxy:
    """All settings that a pod spec has for its proxy, by source."""

    role: Role
    annotations: Mapping[str, str]
    env: Mapping[str, str]
    config: Mapping[str, Any]
    rules: Mapping[str, str]

    def is_on(self, name: str, *, default: bool = False) -> bool:
        """Whether a variable is set to a true value."""
        value = self.env.get(name)
        return default if value is None else value.strip().lower() in _TRUE

    def port(self, value: object, default: int) -> int:
        """A port from text or a number, 0 for one that is off; the default where it is neither."""
        number = parse_number(value) if isinstance(value, str) else value
        is_off = number == 0 and not isinstance(number, bool)
        return 0 if is_off else parse_port(number) or default


def settings_of(pod: Pod, proxy: Container, role: Role) -> Settings:
    """The settings of a pod's proxy container, as far as the pod document has them."""
    read = _read(pod, proxy, role)
    status_port = _status_port(read)
    stats_port = read.port(read.env.get("ENVOY_PROMETHEUS_PORT"), 15090)
    health_port = read.port(read.env.get("ENVOY_STATUS_PORT"), 15021)
    own = {status_port, stats_port, health_port, *ALWAYS_EXCLUDED, 15020}
    return Settings(
        admin_port=read.port(read.config.get("proxyAdminPort"), 15000),
        outbound_port=read.port(read.rules.get("outbound"), 15001),
        inbound_port=read.port(read.rules.get("inbound"), 15006),
        status_port=status_port,
        health_port=health_port,
        stats_port=stats_port,
        secure_stats_port=read.port(read.env.get("ENVOY_SECURE_METRICS_PORT"), 0),
        secure_merged_port=read.port(read.env.get("ENVOY_SECURE_MERGED_METRICS_PORT"), 0),
        metrics_localhost_only=read.is_on("METRICS_LOCALHOST_ACCESS_ONLY"),
        dns_capture=_has_dns(read),
        hbone=role is Role.SIDECAR and read.is_on("ISTIO_META_ENABLE_HBONE"),
        xds_debug=read.is_on("PROXY_XDS_DEBUG_VIA_AGENT", default=True),
        interception=_interception(read),
        included_inbound_ports=_included(read),
        excluded_inbound_ports=_excluded(read, status_port),
        app_ports=_app_ports(pod, proxy, role, own),
        app_probe_paths=_app_probe_paths(read.env.get("ISTIO_KUBE_APP_PROBERS", "")),
    )


def _read(pod: Pod, proxy: Container, role: Role) -> _Proxy:
    below = _mapping(proxy.environment.get("PROXY_CONFIG", ""))
    above = _mapping(pod.annotations.get("proxy.istio.io/config", ""))
    metadata = {**_texts(below.get("proxyMetadata")), **_texts(above.get("proxyMetadata"))}
    return _Proxy(
        role=role,
        annotations=pod.annotations,
        env={**metadata, **proxy.environment},
        config={**below, **above},
        rules=_rules(pod.spec.init_containers or ()),
    )


def _mapping(text: str) -> Mapping[str, Any]:
    """A mapping from JSON or YAML text; empty for anything else, aliases and large texts."""
    return _parsed(text) if len(text) <= _MAX_TEXT else {}


@lru_cache(maxsize=256)
def _parsed(text: str) -> Mapping[str, Any]:
    value: object = None
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        try:
            check_structure(text, aliases=False)
            value = yaml.load(text, Loader=_YAML_LOADER)  # noqa: S506 - it is the safe loader
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


def _rules(containers: Iterable[Container]) -> dict[str, str]:
    """The arguments of istio-init by `_RULES_FLAGS`' names; empty without one."""
    for container in containers:
        if "istio-iptables" in container.words:
            return _flags(container.words)
    return {}


def _flags(words: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for index, word in enumerate(words):
        flag, equals, value = word.partition("=")
        if flag in _RULES_FLAGS:
            following = words[index + 1] if index + 1 < len(words) else ""
            found[_RULES_FLAGS[flag]] = value if equals else following
    return found


def _status_port(read: _Proxy) -> int:
    if read.role is Role.ZTUNNEL:
        return read.port(read.config.get("statsPort"), 15020)
    configured = read.port(read.config.get("statusPort"), 15020)
    return read.port(read.annotations.get("status.sidecar.istio.io/port"), configured)


def _has_dns(read: _Proxy) -> bool:
    """Whether the agent serves DNS: capture is for sidecars, the server variable for any."""
    capture = read.role is Role.SIDECAR and read.is_on("ISTIO_META_DNS_CAPTURE")
    return capture or read.is_on("ISTIO_META_ENABLE_DNS_SERVER")


def _interception(read: _Proxy) -> Interception:
    """The rules' mode, else the annotation's, else the sidecar's own."""
    if read.role is not Role.SIDECAR:
        return Interception.REDIRECT
    wanted = (
        read.rules.get("mode"),
        read.annotations.get("sidecar.istio.io/interceptionMode"),
        read.env.get("ISTIO_META_INTERCEPTION_MODE"),
        read.config.get("interceptionMode"),
    )
    modes = (mode for mode in wanted if isinstance(mode, str) and mode in set(Interception))
    return Interception(next(modes, Interception.REDIRECT))


def _included(read: _Proxy) -> tuple[int, ...] | None:
    """The only ports that are captured; None for all of them."""
    text = read.rules.get("included", read.annotations.get(_INBOUND + "includeInboundPorts", "*"))
    return None if "*" in text else _port_list(text)


def _excluded(read: _Proxy, status_port: int) -> tuple[int, ...]:
    """Ports that are not captured, beside those that never are."""
    text = read.rules.get("excluded", read.annotations.get(_INBOUND + "excludeInboundPorts", ""))
    usual = (*ALWAYS_EXCLUDED, status_port)
    return tuple(port for port in _port_list(text) if port not in usual)


def _app_ports(pod: Pod, proxy: Container, role: Role, own: set[int]) -> tuple[int, ...]:
    """Declared TCP ports that are not Istio's; on a gateway the proxy's own declarations."""
    others = [row for row in pod.containers if row is not proxy or role is Role.GATEWAY]
    ports = {port for row in others for port in row.tcp_ports}
    return tuple(sorted(ports - own)) if role is Role.GATEWAY else tuple(sorted(ports))


def _app_probe_paths(text: str) -> tuple[str, ...]:
    """Paths of the rewritten probes; /app-lifecycle would change the application."""
    return tuple(sorted(path for path in _mapping(text) if str(path).startswith("/app-health/")))


def _port_list(text: str) -> tuple[int, ...]:
    ports = (parse_port(part) for part in text.split(","))
    return tuple(dict.fromkeys(port for port in ports if port))
