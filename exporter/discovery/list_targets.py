"""The targets of a cluster as they are now: one list instead of a watch.

The rule: the right to list pods is enough. Without that for nodes or namespaces, what they add is
missing, and `unseen` reports it.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from typing import TypeVar

import msgspec

from exporter.config import Config
from exporter.discovery.list_requests import (
    NAMESPACES,
    is_chosen,
    nodes_request,
    pods_request,
    scopes_of,
)
from exporter.discovery.nodes_and_namespaces import (
    NamespaceSettings,
    namespace_settings_of,
    node_ready,
    readiness_of,
)
from exporter.discovery.pod_documents import decode_pod
from exporter.discovery.pods import targets_of_pod
from exporter.kube.api_errors import KubernetesError
from exporter.kube.client import KubernetesClient
from exporter.kube.json_decoding import Json
from exporter.kube.object_reader import ObjectReader
from exporter.kube.watch import ResourceWatch
from exporter.kube.watch_options import Resource
from exporter.model import Target

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class TargetListing:
    """The targets, and one sentence for each kind of data that could not be read."""

    targets: tuple[Target, ...]
    unseen: tuple[str, ...]


async def list_targets(api: KubernetesClient, config: Config) -> TargetListing:
    """The targets that the configuration chooses. Raises KubernetesError where pods are refused."""
    chosen = config.discovery.kubernetes
    annotation = config.discovery.ignore_annotation
    unseen: list[str] = []
    pods = [
        pod
        for scope in scopes_of(chosen)
        for pod in await _objects(api, pods_request(scope, chosen))
    ]
    nodes, namespaces = None, None
    if chosen.cluster_scoped:
        settings_of = partial(namespace_settings_of, annotation=annotation)
        nodes = await _read(api, nodes_request(chosen), readiness_of, unseen)
        namespaces = await _read(api, NAMESPACES, settings_of, unseen)
    else:
        unseen.append("what nodes and namespaces say: discovery.kubernetes.cluster_scoped is false")

    def targets_in(document: Json) -> tuple[Target, ...]:
        pod = decode_pod(document)
        if not is_chosen(pod.metadata.namespace, chosen):
            return ()
        settings = (namespaces or {}).get(pod.metadata.namespace, NamespaceSettings())
        found = targets_of_pod(
            pod, config, namespace_ignore=settings.ignore, in_ambient_namespace=settings.ambient
        )
        ready = node_ready(pod.spec.node_name or "", nodes)
        return tuple(
            replace(target, lifecycle=replace(target.lifecycle, node_ready=ready))
            for target in found
        )

    reader = ObjectReader()
    targets = (reader.read("pods", document, targets_in) or () for document in pods)
    return TargetListing(tuple(chain.from_iterable(targets)), tuple(unseen))


async def _read(
    api: KubernetesClient,
    resource: Resource,
    read: Callable[[Json], tuple[str, T]],
    unseen: list[str],
) -> dict[str, T] | None:
    """One value an object, by name; None where they may not be listed."""
    try:
        documents = await _objects(api, resource)
    except KubernetesError as error:
        unseen.append(f"what {resource.name} say: {error}")
        return None
    reader = ObjectReader()
    return dict(row for one in documents if (row := reader.read(resource.name, one, read)))


async def _objects(api: KubernetesClient, resource: Resource) -> list[msgspec.Raw]:
    return [
        document async for page in ResourceWatch(api, resource).pages() for document in page.items
    ]
