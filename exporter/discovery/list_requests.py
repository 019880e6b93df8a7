"""Which lists of the API to request, from the configuration's choices. Pure.

The API server selects by namespace and node, so that it sends nothing else.
"""

from exporter.config import KubernetesConfig
from exporter.kube.watch_options import Resource

NAMESPACES = Resource("namespaces", "/api/v1/namespaces")


def is_chosen(namespace: str, chosen: KubernetesConfig) -> bool:
    """Whether pods of a namespace are wanted; excluded is excluded."""
    included = not chosen.namespaces or namespace in chosen.namespaces
    return included and namespace not in chosen.excluded_namespaces


def scopes_of(chosen: KubernetesConfig) -> tuple[str, ...]:
    """The namespaces whose pods are listed one by one; an empty name stands for all at once."""
    if not chosen.namespaces:
        return ("",)
    return tuple(name for name in chosen.namespaces if is_chosen(name, chosen))


def watched_resources(chosen: KubernetesConfig) -> set[str]:
    """The names of the resources that are watched."""
    rows = {"nodes": chosen.cluster_scoped, "namespaces": chosen.cluster_scoped}
    rows |= {"pods": True, "services": chosen.services}
    return {name for name, is_watched in rows.items() if is_watched}


def pods_request(scope: str, chosen: KubernetesConfig) -> Resource:
    """The list of the pods of a namespace, or of all."""
    path = f"/api/v1/namespaces/{scope}/pods" if scope else "/api/v1/pods"
    fields = [f"spec.nodeName={chosen.node}"] if chosen.node else []
    if not scope:
        fields += [f"metadata.namespace!={name}" for name in chosen.excluded_namespaces]
    selectors = {"labelSelector": chosen.label_selector, "fieldSelector": ",".join(fields)}
    return Resource("pods", path, {name: text for name, text in selectors.items() if text})


def services_request(scope: str) -> Resource:
    """The list of the Services of a namespace, or of all."""
    path = f"/api/v1/namespaces/{scope}/services" if scope else "/api/v1/services"
    return Resource("services", path)


def nodes_request(chosen: KubernetesConfig) -> Resource:
    """The list of nodes, or of the one."""
    query = {"fieldSelector": f"metadata.name={chosen.node}"} if chosen.node else {}
    return Resource("nodes", "/api/v1/nodes", query)
