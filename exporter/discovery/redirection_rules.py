"""What a pod document states of its redirection: mode, ports that are captured, ports that are not.

What istio-init was started with outranks the annotations, which istio-cni reads. Pure.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from exporter.bounds import SETTINGS_TEXT, TARGET_PORTS
from exporter.catalogue import ALWAYS_EXCLUDED
from exporter.catalogue.movers import Place, Sources, port_number
from exporter.discovery.command_lines import flags_of, starts
from exporter.discovery.pod_documents import Container
from exporter.model import Interception, Role, Settings
from exporter.parsing import parse_port

_STATUS_PORT_BY_DEFAULT = Settings().status_port
_TRAFFIC = "traffic.sidecar.istio.io/"
_STATUS_PORT = "status.sidecar.istio.io/port"
_UNAPPLIED = "--skip-rule-apply"
"""With this flag istio-validation checks the rules that istio-cni has written."""

_EXCLUDE = ("-d", "--istio-local-exclude-ports")


def writes_rules(container: Container) -> bool:
    """Whether a container is istio-iptables; before 1.4 only its name and its image showed it."""
    command, arguments = container.command or (), container.args or ()
    return container.name == "istio-init" or starts("istio-iptables", command, arguments)


def checks_rules(container: Container) -> bool:
    """Whether a container only checks the rules that istio-cni has written, whatever its name."""
    is_usual = container.name == "istio-validation"
    return is_usual or (writes_rules(container) and _UNAPPLIED in container.words)


def iptables_flags(containers: Iterable[Container]) -> dict[str, str]:
    """The flags of istio-iptables in istio-init; empty where there is none.

    Each of them is a variable, too, which the flag outranks: ENVOY_PORT is --envoy-port.
    """
    for container in containers:
        if writes_rules(container):
            variables = container.environment.items()
            named = {f"--{name.lower().replace('_', '-')}": value for name, value in variables}
            return named | flags_of(container.words)
    return {}


def skipped_ids(flags: Mapping[str, str]) -> tuple[frozenset[str], frozenset[str]]:
    """The users and the groups whose connections the rules leave alone.

    They are the proxy's: 1337, but on OpenShift, where the namespace has a range of its own
    (pkg/kube/inject, GetProxyIDs). Without groups those of the users count (istio-iptables, -g).
    """
    users = flags.get("-u") or flags.get("--proxy-uid") or _PROXY_ID
    groups = flags.get("-g") or flags.get("--proxy-gid") or users
    return _listed(users), _listed(groups)


_PROXY_ID = "1337"


def _listed(ids: str) -> frozenset[str]:
    return frozenset(part.strip() for part in ids[:SETTINGS_TEXT].split(","))


def redirection_settings(role: Role, sources: Sources, status_port: int) -> dict[str, Any]:
    """The fields of `Settings` about redirection, of a proxy with this status port."""
    exclusions = _stated(sources, "excludeInboundPorts", *_EXCLUDE) or ""
    if _UNAPPLIED in sources[Place.IPTABLES]:  # istio-cni reads the annotation alone
        exclusions = f"{exclusions},{_annotated(sources)}"
    return {
        "interception": _interception(role, sources),
        "included_inbound_ports": _included(sources),
        "excluded_inbound_ports": _excluded(exclusions, status_port),
        "excluded_inbound_ranges": _ranges(exclusions),
        "captures_outbound": _captures_outbound(sources),
        "exempt_ports": _exempt(sources, status_port) if role is Role.SIDECAR else None,
    }


def _flag(sources: Sources, *names: str) -> str | None:
    """The value of a flag of istio-iptables (tools/istio-iptables/pkg/cmd/root.go)."""
    flags = sources[Place.IPTABLES]
    return next((flags[name] for name in names if name in flags), None)


def _interception(role: Role, sources: Sources) -> Interception:
    """The mode in which rules were written; else what the sidecar and the annotation state."""
    if role is not Role.SIDECAR:
        return Interception.REDIRECT
    wanted = (
        _flag(sources, "-m", "--istio-inbound-interception-mode"),
        sources[Place.ANNOTATION].get("sidecar.istio.io/interceptionMode"),
        sources[Place.VARIABLE].get("ISTIO_META_INTERCEPTION_MODE"),
        sources[Place.PROXY_CONFIG].get("interceptionMode"),
    )
    modes = (mode for mode in wanted if isinstance(mode, str) and mode in set(Interception))
    return Interception(next(modes, Interception.REDIRECT))


_POD_INTERFACE = "eth0"
"""The interface of a pod's addresses, as every container runtime names it."""


def _leaves_out_the_pod(sources: Sources) -> bool:
    """Whether rules exclude the interface of the pod's addresses; "eth+" is a prefix, too."""
    text = _stated(sources, "excludeInterfaces", "-c", "--istio-exclude-interfaces") or ""
    names = (part.strip() for part in text[:SETTINGS_TEXT].split(",", TARGET_PORTS))
    return any(
        _POD_INTERFACE.startswith(name[:-1]) if name.endswith("+") else name == _POD_INTERFACE
        for name in names
    )


def _included(sources: Sources) -> tuple[int, ...] | None:
    """The only ports that are captured; None for all of them."""
    if _leaves_out_the_pod(sources):
        return ()
    text = _stated(sources, "includeInboundPorts", "-b", "--istio-inbound-ports")
    return None if text is None or "*" in text else port_list(text)


def _excluded(exclusions: str, status_port: int) -> tuple[int, ...]:
    """Ports that are not captured, beside those that never are."""
    usual = (*ALWAYS_EXCLUDED, status_port)
    return tuple(port for port in port_list(exclusions) if port not in usual)


def _ranges(text: str) -> tuple[tuple[int, int], ...]:
    """The ranges in a list of ports, as iptables writes them: "9000:9100", "9000:" or ":100"."""
    parts = text.split(",", TARGET_PORTS)[:TARGET_PORTS] if len(text) <= SETTINGS_TEXT else ()
    pairs = (part.strip().partition(":")[::2] for part in parts if ":" in part)
    ends = (
        (1 if first in ("", "0") else parse_port(first), parse_port(last or "65535"))
        for first, last in pairs
        if first or last
    )
    return tuple((first, last) for first, last in ends if first and last)


def _captures_outbound(sources: Sources) -> bool:
    """Whether outbound connections are redirected: to some addresses that are not all excluded."""
    if _leaves_out_the_pod(sources):
        return False
    ranges = _stated(sources, "includeOutboundIPRanges", "-i", "--istio-service-cidr")
    ports = _stated(sources, "includeOutboundPorts", "-q", "--istio-outbound-ports")
    excluded = _stated(sources, "excludeOutboundIPRanges", "-x", "--istio-service-exclude-cidr")
    is_some = ranges is None or bool(ranges.strip()) or bool((ports or "").strip())
    return is_some and "0.0.0.0/0" not in (excluded or "")


def _stated(sources: Sources, annotation: str, *flags: str) -> str | None:
    """What was written, else the annotation; None where neither states anything."""
    text = _flag(sources, *flags)
    return sources[Place.ANNOTATION].get(_TRAFFIC + annotation) if text is None else text


def _annotated(sources: Sources) -> str:
    """The inbound ports that the pod's annotation excludes."""
    text = sources[Place.ANNOTATION].get(_TRAFFIC + "excludeInboundPorts", "")
    return str(text)


def _exempt(sources: Sources, status_port: int) -> tuple[int, ...] | None:
    """The ports that the rules leave alone, where one of the proxy's own is not among them.

    istio-init excludes what it was started with, and nothing else: the injector takes the status
    port from its annotation and Helm's value, not from ProxyConfig. istio-cni excludes the usual
    three and the annotations' (cni/pkg/plugin/sidecar_redirect.go).
    """
    text = _flag(sources, *_EXCLUDE)
    usual = {*ALWAYS_EXCLUDED, status_port}
    if text is None:
        usual.add(_STATUS_PORT_BY_DEFAULT)
        moved = port_number(sources[Place.ANNOTATION].get(_STATUS_PORT))
        own = (*ALWAYS_EXCLUDED, _STATUS_PORT_BY_DEFAULT, *filter(None, (moved,)))
        listed = (*own, *port_list(_annotated(sources)))
    else:
        listed = port_list(text)
        if _UNAPPLIED in sources[Place.IPTABLES]:
            usual_ones = (*ALWAYS_EXCLUDED, _STATUS_PORT_BY_DEFAULT)
            listed += (*usual_ones, *port_list(_annotated(sources)))
    is_usual = usual - {0} <= set(listed) and usual == {*ALWAYS_EXCLUDED, status_port}
    return None if is_usual else listed


def port_list(text: str) -> tuple[int, ...]:
    """The ports in a text such as "15090, 9080"; without any where it is too long."""
    if len(text) > SETTINGS_TEXT:
        return ()
    ports = (parse_port(part) for part in text.split(",", TARGET_PORTS)[:TARGET_PORTS])
    return tuple(dict.fromkeys(port for port in ports if port))
