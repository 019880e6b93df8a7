"""Whether a container called install-cni is the node agent of Istio.

Linkerd, Kuma, Consul and others call theirs the same. Istio's is known by the labels of its chart,
by a flag that only its agent has, or by its image. Pure.
"""

from exporter.discovery.pod_documents import Container, Pod

_LABELS = ("k8s-app", "app.kubernetes.io/name", "app.kubernetes.io/part-of", "app")
_COMPONENT = ("operator.istio.io/component", "Cni")
_FLAGS = ("--log_output_level", "--log_as_json", "--ctrlz_", "--monitoring-port")
"""Flags of Istio's logging and node agent (cni/pkg/cmd/root.go), and of no other install-cni."""

_OTHERS = ("linkerd", "kuma", "kong", "consul", "hashicorp", "cilium", "calico", "flannel")


def is_istio_cni(pod: Pod, container: Container) -> bool:
    """Whether labels, arguments or the image show Istio's node agent."""
    labels = pod.labels
    name, value = _COMPONENT
    if labels.get(name) == value or any("istio" in labels.get(label, "") for label in _LABELS):
        return True
    if any(word.startswith(_FLAGS) for word in container.words):
        return True
    return _is_istio_image(container.image)


def _is_istio_image(image: str) -> bool:
    """A repository that names Istio, or one called install-cni that names no other mesh."""
    repository = image.partition("@")[0].lower()
    base = repository.rpartition("/")[2].partition(":")[0]
    if "istio" in repository or "openshift-service-mesh" in repository:
        return True
    return base == "install-cni" and not any(name in repository for name in _OTHERS)
