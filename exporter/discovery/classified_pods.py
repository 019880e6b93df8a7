"""The pods of a cluster, each classified by its own document alone."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from exporter.config import Config
from exporter.discovery.nodes_and_namespaces import AMBIENT
from exporter.discovery.pod_documents import Pod
from exporter.discovery.pods import ambient_redirection, targets_of_pod
from exporter.discovery.shard import is_owned, is_synced_by_istiods, owns, without_details
from exporter.model import Target, TargetKey

_AMBIENT_LABELS = dict([AMBIENT])


@dataclass(frozen=True, slots=True)
class ClassifiedPod:
    """A pod's target, if it is one, with its ignore annotation and node.

    `ambient` is its redirection in a namespace that is not ambient, and in one that is. Without
    `is_owned` another replica polls it, and this one only exposes its sync status.
    """

    is_owned: bool
    target: Target | None
    ignore: str
    node: str
    ambient: tuple[str, str]


def classify_pod(pod: Pod, config: Config, permissive: Config) -> ClassifiedPod | None:
    """Classify a pod; None for a pod that does not concern this replica.

    `permissive` is the configuration as `unfiltered` makes it.
    """
    found = next(iter(targets_of_pod(pod, permissive)), None)
    ambient = (ambient_redirection(pod, {}), ambient_redirection(pod, _AMBIENT_LABELS))
    shard = config.shard
    if not owns(found.uid if found else pod.metadata.uid, shard.ordinal, shard.total):
        ambient = ("", "")
    owned = found is not None and is_owned(found, config)
    if found and not owned:
        found = without_details(found) if is_synced_by_istiods(found, config) else None
    if not found and not any(ambient):
        return None
    ignore = pod.annotations.get(config.discovery.ignore_annotation, "")
    return ClassifiedPod(owned, found, ignore, pod.spec.node_name or "", ambient)


def unfiltered(config: Config) -> Config:
    """The configuration with which every pod of Istio is a target.

    `MergedTargets` applies the ignore annotations, where it can count them, and `is_owned` the
    roles: istiods report on proxies of every role.
    """
    every_role = replace(config.discovery.kubernetes, roles=())
    everything = replace(config.discovery, ignore_annotation="", kubernetes=every_role)
    return replace(config, discovery=everything)


class ClassifiedPods:
    """Every classified pod, by name and by node."""

    def __init__(self) -> None:
        self._pods: dict[TargetKey, ClassifiedPod] = {}
        self._on_node: defaultdict[str, set[TargetKey]] = defaultdict(set)

    def __iter__(self) -> Iterator[TargetKey]:
        return iter(self._pods)

    def get(self, key: TargetKey) -> ClassifiedPod | None:
        """A pod, as it was classified last."""
        return self._pods.get(key)

    def set(self, key: TargetKey, classified: ClassifiedPod | None) -> bool:
        """Keep a pod, or remove it for None; returns whether that changed anything."""
        before = self._pods.get(key)
        if before == classified:
            return False
        if before:
            self._remove_from_node(key, before.node)
        if classified:
            self._pods[key] = classified
            self._on_node[classified.node].add(key)
        else:
            del self._pods[key]
        return True

    def on_node(self, name: str) -> tuple[TargetKey, ...]:
        """The pods of a node."""
        return tuple(self._on_node.get(name, ()))

    def ambient(self, is_ambient: Callable[[str], bool]) -> Mapping[tuple[str, str, str], int]:
        """Pods enrolled in ambient by namespace, node and redirection (enabled or missing)."""
        rows = (
            (key.namespace, pod.node, pod.ambient[is_ambient(key.namespace)])
            for key, pod in self._pods.items()
        )
        return Counter(row for row in rows if row[2])

    def _remove_from_node(self, key: TargetKey, node: str) -> None:
        self._on_node[node].discard(key)
        if not self._on_node[node]:
            del self._on_node[node]
