"""Whether a container is Istio's whose name the containers of other projects have, too.

Linkerd, Kuma, Consul and others call their node agent install-cni, and kgateway runs agentgateway.
Istio's are known by labels, by arguments that only they have, or by the image. Pure.
"""

from exporter.discovery.pod_documents import Container, Pod

_LABELS = ("k8s-app", "app.kubernetes.io/name", "app.kubernetes.io/part-of", "app")
_COMPONENT = ("operator.istio.io/component", "Cni")
_FLAGS = ("--log_output_level", "--log_as_json", "--ctrlz_", "--monitoring-port")
"""Flags of Istio's logging and node agent (cni/pkg/cmd/root.go), and of no other install-cni."""

_MOST_WORDS = 64
"""A pod may have many containers of that name, and Istio's has some five words."""

_GATEWAY_LABELS = ("gateway.istio.io/managed", "gateway.networking.k8s.io/gateway-class-name")
"""What Istio's Gateway controller writes on the pods of its classes; others write the second."""

_ISTIOS = ("istio", "openshift-service-mesh")
_OTHERS = ("linkerd", "kuma", "kong", "consul", "hashicorp", "cilium", "calico", "flannel")


def is_istio_cni(pod: Pod, container: Container) -> bool:
    """Whether labels, arguments or the image show Istio's node agent."""
    labels = pod.labels
    name, value = _COMPONENT
    if labels.get(name) == value or any("istio" in labels.get(label, "") for label in _LABELS):
        return True
    words = (*(container.command or ()), *(container.args or ()))[:_MOST_WORDS]
    if any(word.startswith(_FLAGS) for word in words):
        return True
    repository = _repository(container)
    is_nobodys = repository.rpartition("/")[2] == "install-cni" and _last(repository, _OTHERS) < 0
    return is_nobodys or _names_istio(repository)


def is_istio_agentgateway(pod: Pod, container: Container) -> bool:
    """Whether Istio runs this agentgateway, and not another controller or nobody."""
    labelled = any("istio" in pod.labels.get(label, "") for label in _GATEWAY_LABELS)
    return labelled or _names_istio(_repository(container))


def _repository(container: Container) -> str:
    """The image without its digest and tag, in lower case."""
    path, slash, name = container.image.partition("@")[0].lower().rpartition("/")
    return path + slash + name.partition(":")[0]


def _names_istio(repository: str) -> bool:
    """Whether Istio is named, and no other mesh behind it, as in copies/istio/linkerd/cni."""
    return _last(repository, _ISTIOS) > _last(repository, _OTHERS)


def _last(text: str, names: tuple[str, ...]) -> int:
    return max(text.rfind(name) for name in names)
