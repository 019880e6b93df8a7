"""Pods that ought to have a proxy and have none: by their document and their namespace. Pure.

The rule is the injector's own: a pod is injected where its namespace or its labels ask for it and
nothing opts it out. Source: manifests/charts/istio-control/istio-discovery, the selectors of
mutatingwebhook.yaml; pkg/kube/inject/inject.go, injectRequired. OpenShift Service Mesh 2 injects
the pods of its members that ask for it, by label or annotation.
"""

from collections.abc import Mapping
from enum import StrEnum

from exporter.bounds import SETTINGS_TEXT
from exporter.discovery.pod_documents import Container, Pod

_INJECT = "sidecar.istio.io/inject"
_REVISION = "istio.io/rev"
_NAMESPACE_LABEL = "istio-injection"
_MEMBER_LABEL = "maistra.io/member-of"
_TEMPLATES = "inject.istio.io/templates"
_AMBIENT = "ambient.istio.io/redirection"
"""What istio-cni writes on a pod whose proxy is ztunnel: with `istio.io/rev` its namespace may name
the revision of its waypoints."""

_STATIC_POD = "kubernetes.io/config.mirror"
_YES = frozenset({"y", "yes", "true", "on"})
"""What the injector takes for consent, in lower case; any other text opts out, none leaves it to
the namespace."""

_PLACEHOLDERS = frozenset({"auto", "auto:latest"})
"""The image that the injector replaces, whose registry others may have added; none has it."""

_NEVER_INJECTED = frozenset({"kube-system", "kube-public", "kube-node-lease", "local-path-storage"})


class NamespaceInjection(StrEnum):
    """What a namespace's labels say of injection."""

    UNSET = "unset"
    ENABLED = "enabled"
    DISABLED = "disabled"
    MEMBER = "member"
    """A member of OpenShift Service Mesh 2, whose pods ask for themselves."""


def namespace_injection(labels: Mapping[str, str]) -> NamespaceInjection:
    """What the namespace asks for; the label istio-injection outranks that of the revision."""
    if _NAMESPACE_LABEL in labels:
        is_on = labels[_NAMESPACE_LABEL] == "enabled"
        return NamespaceInjection.ENABLED if is_on else NamespaceInjection.DISABLED
    if labels.get(_REVISION):
        return NamespaceInjection.ENABLED
    return NamespaceInjection.MEMBER if _MEMBER_LABEL in labels else NamespaceInjection.UNSET


def missing_proxy(pod: Pod, namespace: NamespaceInjection) -> str:
    """What asks for the proxy that this pod has not: gateway, pod, templates or namespace.

    Empty for a pod that has one, that opted out, or that nobody asks to inject.
    """
    if _cannot_miss(pod) or namespace is NamespaceInjection.DISABLED:
        return ""
    if is_uninjected_gateway(pod):
        return "gateway"
    consents = namespace is NamespaceInjection.MEMBER and _choice(pod) in _YES
    if consents or pod.labels.get(_INJECT) == "true" or pod.labels.get(_REVISION):
        return "templates" if pod.annotations.get(_TEMPLATES) else "pod"
    return "namespace" if namespace is NamespaceInjection.ENABLED else ""


def is_uninjected_gateway(pod: Pod) -> bool:
    """Whether the pod is a gateway whose proxy is still the placeholder of its manifest."""
    if pod.is_injected or not any(map(_is_placeholder, pod.containers)):
        return False
    templates = pod.annotations.get(_TEMPLATES, "")[:SETTINGS_TEXT].split(",")
    return len(pod.containers) == 1 or "gateway" in (name.strip() for name in templates)


def _cannot_miss(pod: Pod) -> bool:
    """Whether the injector would not touch the pod, has done so, or the pod is over."""
    never = pod.metadata.namespace in _NEVER_INJECTED or pod.spec.host_network
    if never or _STATIC_POD in pod.annotations:
        return True
    if pod.metadata.deletion_timestamp or pod.has_ended:
        return True
    is_proxied = pod.is_injected or pod.annotations.get(_AMBIENT) == "enabled"
    if is_proxied or any(map(_is_proxy, pod.containers)):
        return True
    return _choice(pod) not in ("", *_YES)


def _choice(pod: Pod) -> str:
    """The word of a pod on its injection: its label, even an empty one, outranks the annotation."""
    return pod.labels.get(_INJECT, pod.annotations.get(_INJECT, "")).lower()


def _is_proxy(container: Container) -> bool:
    """Whether this is a proxy that runs: the injector's, a gateway's own, or one made by hand."""
    return container.name == "istio-proxy" and not _is_placeholder(container)


def _is_placeholder(container: Container) -> bool:
    return container.name == "istio-proxy" and (container.image.rpartition("/")[2] in _PLACEHOLDERS)
