"""Pods in the ambient mesh: what istio-cni has made of them, and the target that such a pod is.

A pod's ports are ztunnel's there, opened inside its network namespace. Source:
cni/pkg/util/podutil.go (PodFullyEnrolled, PodRedirectionEnabled). Pure.
"""

from collections.abc import Mapping

from exporter.bounds import ADDRESSES, TARGET_PORTS
from exporter.catalogue.movers import is_true
from exporter.discovery.pod_documents import Pod
from exporter.model import Redirection, Settings
from exporter.parsing import parse_address

_DATAPLANE_MODE = "istio.io/dataplane-mode"
_REDIRECTION = "ambient.istio.io/redirection"
_BYPASS = "ambient.istio.io/bypass-inbound-capture"
_DNS_CAPTURE = "ambient.istio.io/dns-capture"
_OPTED_OUT = "disabled"
"""What a user writes as redirection, and istio-cni heeds (cni/pkg/util/podutil.go)."""

_WRITTEN = (Redirection.ENABLED, Redirection.PENDING)


def is_ambient_namespace(labels: Mapping[str, str]) -> bool:
    """Whether a namespace's labels enrol its pods."""
    return labels.get(_DATAPLANE_MODE) == "ambient"


def redirection_of(pod: Pod, *, in_ambient_namespace: bool = False) -> Redirection | None:
    """What istio-cni has made of a pod, or ought to; None for one that is not to be in the mesh.

    What it has annotated is enrolled, whatever enablementSelectors it did that by. A pod with a
    sidecar, in its node's network or on Windows never is, nor one whose annotation opts out.
    """
    if pod.is_injected or pod.spec.host_network or pod.has_ended or pod.is_for_windows:
        return None
    written = pod.annotations.get(_REDIRECTION)
    if written in _WRITTEN:
        return Redirection(written)
    if written == _OPTED_OUT:
        return None
    mode = pod.labels.get(_DATAPLANE_MODE)
    is_enrolled = mode == "ambient" or (in_ambient_namespace and mode != "none")
    return Redirection.MISSING if is_enrolled else None


def ambient_redirection(pod: Pod, *, in_ambient_namespace: bool) -> str:
    """The same for counting pods: empty also for one without an address, which has no traffic."""
    if pod.status is not None and not pod.status.addresses:
        return ""
    return redirection_of(pod, in_ambient_namespace=in_ambient_namespace) or ""


def bypasses_capture(pod: Pod) -> bool:
    """Whether inbound connections are left alone, as ingress mode does."""
    return is_true(pod.annotations.get(_BYPASS, ""))


def ambient_settings(pod: Pod) -> Settings:
    """The settings of a workload in ambient, as far as its pod document states them."""
    ports = {port for row in pod.containers for port in row.tcp_ports}
    account = pod.spec.service_account_name
    return Settings(
        bypass_inbound_capture=bypasses_capture(pod),
        dns_capture=is_true(pod.annotations.get(_DNS_CAPTURE, "")),
        application_ports=tuple(sorted(ports)[:TARGET_PORTS]),
        identity=f"/ns/{pod.metadata.namespace}/sa/{account}" if account else "",
    )


def host_addresses(pod: Pod) -> tuple[str, ...]:
    """The addresses of the pod's node."""
    if pod.status is None:
        return ()
    rows = (pod.status.host_ip, *(row.ip for row in (pod.status.host_ips or ())[:ADDRESSES]))
    return tuple(dict.fromkeys(address for address in rows if parse_address(address)))
