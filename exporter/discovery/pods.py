"""A Pod in, its targets out. Pure.

Roles follow from containers and their arguments first and from labels only where those show none:
the container name istio-proxy serves four roles. A pod without a part of Istio is a target where it
is in ambient; pods that have ended are none.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import islice

from exporter.bounds import KUBERNETES_NAME, POD_LABELS, SETTINGS_TEXT, TENANT_TEXT, cut_text
from exporter.catalogue import istio_version_of, line_of
from exporter.catalogue.movers import TRUE
from exporter.config import Config
from exporter.discovery.ambient_pods import ambient_settings, host_addresses, redirection_of
from exporter.discovery.container_states import lifecycle_of, lifecycle_of_workload
from exporter.discovery.istio_containers import is_istio_agentgateway, is_istio_cni
from exporter.discovery.missing_proxies import is_uninjected_gateway
from exporter.discovery.pod_documents import Container, Pod, decode_pod
from exporter.discovery.proxy_settings import has_rules, settings_of
from exporter.discovery.redirection_rules import port_list
from exporter.model import ENVOY_ROLES, Interception, Role, Settings, Target, TargetKey
from exporter.model.interning import shared
from exporter.parsing import parse_address

__all__ = ["Ignored", "classify", "decode_pod", "ignored", "ignores_all", "targets_of_pod"]
"""What others need to classify a pod, `decode_pod` with it: scripts import both from here."""

_PROXY_ROLES = {
    "sidecar": Role.SIDECAR,
    "router": Role.GATEWAY,
    "waypoint": Role.WAYPOINT,
    "ztunnel": Role.ZTUNNEL,
}
_CRON = re.compile(r"^(.+)-[0-9]{8,10}$")
_INJECTED = frozenset({Role.SIDECAR, Role.PROXYLESS})
_VERSION_LABELS = ("app.kubernetes.io/version", "helm.sh/chart")
"""What Istio's charts put on istiod, gateways and node agents."""

_SERVICE_MESH_LABEL = "maistra-version"
"""The same of OpenShift Service Mesh 2, in its own numbers."""

_HASHES = ("pod-template-hash", "rollouts-pod-template-hash")
"""Labels with the end of a ReplicaSet's name: a Deployment's, an Argo Rollout's."""


@dataclass(frozen=True, slots=True)
class Ignored:
    """What an ignore annotation excludes: everything, or some ports."""

    entirely: bool = False
    ports: tuple[int, ...] = ()


def ignored(annotation: str) -> Ignored:
    """The value of the ignore annotation: "true", or ports such as "15090, 9080"."""
    return Ignored(entirely=ignores_all(annotation), ports=port_list(annotation))


def ignores_all(annotation: str) -> bool:
    """Whether the value of the ignore annotation is "true"."""
    return len(annotation) <= SETTINGS_TEXT and annotation.strip().lower() == "true"


def targets_of_pod(
    pod: Pod,
    config: Config | None = None,
    *,
    namespace_ignore: str = "",
    in_ambient_namespace: bool = False,
) -> tuple[Target, ...]:
    """The targets of a pod: none or one. One that has ended is none, unless its deletion is held.

    `namespace_ignore` is its namespace's annotation, `in_ambient_namespace` what its label asks.
    """
    config = config or Config()
    found = classify(pod)
    redirection = redirection_of(pod, in_ambient_namespace=in_ambient_namespace)
    is_nobodys = found is None and redirection is None
    is_held = found is not None and pod.metadata.deletion_timestamp is not None
    if is_nobodys or (pod.has_ended and not is_held):
        return ()
    role = found[0] if found else Role.AMBIENT
    if found:
        redirection = redirection_of(pod)
    name = config.discovery.ignore_annotation
    ignores = (ignored(namespace_ignore), ignored(pod.annotations.get(name, "")))
    wanted = config.discovery.kubernetes.roles
    is_unwanted = bool(wanted) and role not in wanted
    is_managed = role is Role.ISTIOD and config.istiod.mode == "none"
    if is_unwanted or is_managed or any(row.entirely for row in ignores):
        return ()
    ports = tuple(dict.fromkeys(port for row in ignores for port in row.ports))
    target = _proxy_target(pod, *found, config) if found else _workload_target(pod)
    if pod.has_ended:  # its address may be another pod's by now
        target = replace(target, addresses=(), unserved_addresses=())
    return (replace(target, ignored_ports=ports, redirection=redirection),)


def classify(pod: Pod) -> tuple[Role, Container] | None:
    """The role of a pod and the container that has it; no two containers have one name."""
    named: dict[str, Container] = {}
    for container in pod.containers:
        named.setdefault(container.name, container)
    for container in named.values():
        role = _role_of(container, pod)
        if role is not None:
            return role, container
    return None


_CNI = re.compile(r"install-cni(-v[0-9]+(-[0-9]+)*)?")
"""OpenShift Service Mesh 2 has a container for each of its versions: install-cni-v2-6."""


def _role_of(container: Container, pod: Pod) -> Role | None:
    match container.name:
        case "istio-proxy":
            return _proxy_role(container, pod)
        case "discovery" if pod.labels.get("app") == "istiod":
            return Role.ISTIOD
        case name if _CNI.fullmatch(name) and is_istio_cni(pod, container):
            return Role.CNI
        case "agentgateway" if is_istio_agentgateway(pod, container):
            return Role.AGENTGATEWAY
    return None


def _proxy_role(container: Container, pod: Pod) -> Role | None:
    """By the arguments `proxy [role]`; a missing role is a sidecar (pilot-agent initProxy)."""
    words = container.words
    if "proxy" in words:
        following = words[words.index("proxy") + 1 :]
        named = "sidecar"
        if following and following[0].startswith(("-", "$")):  # flags may come before the role
            named = next((word for word in following if word in _PROXY_ROLES), named)
        elif following:
            named = following[0]
        role = _PROXY_ROLES.get(named)
        is_proxyless = container.environment.get("DISABLE_ENVOY", "").lower() in TRUE
        return Role.PROXYLESS if is_proxyless and role is Role.SIDECAR else role
    if is_uninjected_gateway(pod):
        return Role.GATEWAY
    if pod.labels.get("app") == "ztunnel" or "/ztunnel:" in container.image:
        return Role.ZTUNNEL
    return Role.SIDECAR if pod.is_injected else None


def _workload_target(pod: Pod) -> Target:
    """A workload in ambient: no container of its pod is Istio's."""
    metadata, status = pod.metadata, pod.status
    settings = shared(ambient_settings(pod))
    ids = (row.container_id for row in (status and status.container_statuses) or ())
    return Target(
        key=TargetKey(shared(metadata.namespace), metadata.name),
        role=Role.AMBIENT,
        addresses=status.addresses if status else (),
        captured=not settings.bypass_inbound_capture,
        settings=settings,
        uid=metadata.uid or f"{metadata.namespace}/{metadata.name}",
        node=shared(pod.spec.node_name or ""),
        workload=shared(cut_text(_workload(pod), KUBERNETES_NAME)),
        labels=_kept(pod.labels),
        host_addresses=host_addresses(pod),
        lifecycle=lifecycle_of_workload(pod),
        container_id=next(filter(None, ids), "").rpartition("/")[2],
    )


def _proxy_target(pod: Pod, role: Role, container: Container, config: Config) -> Target:
    env = container.environment
    settings = shared(settings_of(pod, container, role))
    metadata = pod.metadata
    status = pod.status.of(container.name) if pod.status else None
    addresses = pod.status.addresses if pod.status else ()
    is_ipv4_alone = role is Role.ZTUNNEL and env.get("IPV6_ENABLED", "").lower() == "false"
    served = served_addresses(addresses, role, settings, is_ipv4_alone=is_ipv4_alone)
    return Target(
        key=TargetKey(shared(metadata.namespace), metadata.name),
        role=role,
        addresses=served,
        unserved_addresses=tuple(one for one in addresses if one not in served),
        captured=_is_captured(pod, role, settings),
        settings=settings,
        istio_version=_version(pod, container, role),
        uid=metadata.uid or f"{metadata.namespace}/{metadata.name}",
        node=shared(pod.spec.node_name or ""),
        workload=cut_text(env.get("ISTIO_META_WORKLOAD_NAME") or _workload(pod), KUBERNETES_NAME),
        revision=cut_text(_revision(pod, env), TENANT_TEXT),
        cluster_id=cut_text(
            env.get("ISTIO_META_CLUSTER_ID") or env.get("CLUSTER_ID", ""), TENANT_TEXT
        ),
        native_sidecar=container in (pod.spec.init_containers or ()),
        labels=_kept(pod.labels),
        trusted=role is Role.ISTIOD and _is_trusted(pod, config),
        lifecycle=lifecycle_of(pod, container, is_istios=role not in _INJECTED),
        container_id=status.container_id.rpartition("/")[2] if status else "",
    )


def _kept(labels: dict[str, str]) -> dict[str, str]:
    if len(labels) <= POD_LABELS:
        return labels
    return dict(islice(labels.items(), POD_LABELS))


def _is_captured(pod: Pod, role: Role, settings: Settings) -> bool:
    """Whether inbound redirection is expected: some port of a sidecar has to be captured.

    istio-init writes the rules, or istio-cni does for what was injected; a proxy that was put into
    a pod by hand has neither.
    """
    return (
        role is Role.SIDECAR
        and (pod.is_injected or has_rules(pod))
        and not pod.spec.host_network
        and settings.interception is not Interception.NONE
        and settings.included_inbound_ports != ()
    )


def _is_trusted(pod: Pod, config: Config) -> bool:
    """Whether the API proves this istiod by its namespace and service account."""
    account = pod.spec.service_account_name or ""
    is_istiod = account == "istiod" or account.startswith("istiod-")
    return is_istiod and pod.metadata.namespace in config.istiod.namespaces


def _version(pod: Pod, container: Container, role: Role) -> str:
    """From the image's tag, else the environment or Istio's own labels; empty where none has one.

    It is plain, without a variant (`-distroless`). A sidecar's labels are the application's, and
    agentgateway has numbers of its own.
    """
    tag = container.image.partition("@")[0].rpartition("/")[2].partition(":")[2]
    env, labels = container.environment, pod.labels
    candidates = [tag, env.get("ISTIO_META_ISTIO_VERSION", ""), env.get("ISTIO_VERSION", "")]
    if role not in _INJECTED:
        is_istios = labels.get("app.kubernetes.io/part-of") == "istio"
        names = (_SERVICE_MESH_LABEL, *(_VERSION_LABELS if is_istios else ()))
        candidates += [labels.get(name, "") for name in names]
    own = tag if role is Role.AGENTGATEWAY and line_of(tag) else ""
    return next(filter(None, map(istio_version_of, candidates)), own)


def _workload(pod: Pod) -> str:
    """The workload by the pod's owner, as the injector names it (pkg/kube/util.go).

    A ReplicaSet without its hash is the Deployment or Rollout, a Job without its minute the
    CronJob; a pod that nobody controls is its own workload.
    """
    owners = pod.metadata.owner_references or ()
    owner = next((row for row in owners if row.controller), None)
    if owner is None:
        return pod.metadata.name
    match owner.kind:
        case "ReplicaSet":
            hashes = (pod.labels.get(label, "") for label in _HASHES)
            ends = (f"-{text}" for text in hashes if text)
            return owner.name.removesuffix(next((e for e in ends if owner.name.endswith(e)), ""))
        case "Job":
            return _CRON.sub(r"\1", owner.name)
        case "ReplicationController":
            return pod.labels.get("deploymentconfig", owner.name)
    return owner.name


def _revision(pod: Pod, env: Mapping[str, str]) -> str:
    """Injected pods carry it as an annotation (their label is the user's), others as a label."""
    name = "istio.io/rev"
    return pod.annotations.get(name) or pod.labels.get(name) or env.get("REVISION", "")


def served_addresses(
    addresses: tuple[str, ...], role: Role, settings: Settings, *, is_ipv4_alone: bool = False
) -> tuple[str, ...]:
    """The addresses whose family the proxy binds; all of them for what is no Envoy.

    Without ISTIO_DUAL_STACK, which is Istio's default, Envoy in a pod with both families binds IPv4
    alone (pkg/bootstrap/config.go, toTemplateParams), and redirection is written for the first
    address's family. Where that is IPv4 the other family has neither listeners nor rules.
    `is_ipv4_alone`: a ztunnel that was told so by IPV6_ENABLED=false (its src/config.rs).
    """
    families = [address.version for one in addresses if (address := parse_address(one))]
    is_first_alone = role in ENVOY_ROLES and not settings.dual_stack and families[:1] == [4]
    if not (is_first_alone or is_ipv4_alone):
        return addresses
    ipv4 = (one for one, family in zip(addresses, families, strict=True) if family == 4)  # noqa: PLR2004 - IPv4
    return tuple(ipv4) or addresses
