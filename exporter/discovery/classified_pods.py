"""What the pods of a cluster say of themselves, before their nodes and namespaces have a say."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from exporter.config import Config
from exporter.discovery.nodes_and_namespaces import AMBIENT
from exporter.discovery.pod_documents import Pod
from exporter.discovery.pods import ambient_redirection, targets_of_pod
from exporter.discovery.shard import is_ours, is_synced_by_istiods, outline, owns
from exporter.model import Target, TargetKey

_AMBIENT_LABELS = dict([AMBIENT])


@dataclass(frozen=True, slots=True)
class ClassifiedPod:
    """A pod that matters here: its target, if it is one, and what it asks for.

    `ambient` is its redirection in a namespace that is not ambient, and in one that is. Not
    `is_ours`: another replica polls it, and we only say what the istiods say of it.
    """

    is_ours: bool
    target: Target | None
    ignore: str
    node: str
    ambient: tuple[str, str]


def classify_pod(pod: Pod, config: Config, everything: Config) -> ClassifiedPod | None:
    """What matters of a pod; None for a pod that is nothing to this replica.

    `everything` is the configuration as `unfiltered` makes it.
    """
    found = next(iter(targets_of_pod(pod, everything)), None)
    ambient = (ambient_redirection(pod, {}), ambient_redirection(pod, _AMBIENT_LABELS))
    shard = config.shard
    if not owns(found.uid if found else pod.metadata.uid, shard.ordinal, shard.total):
        ambient = ("", "")
    mine = found is not None and is_ours(found, config)
    if found and not mine:
        found = outline(found) if is_synced_by_istiods(found, config) else None
    if not found and not any(ambient):
        return None
    ignore = pod.annotations.get(config.discovery.ignore_annotation, "")
    return ClassifiedPod(mine, found, ignore, pod.spec.node_name or "", ambient)


def unfiltered(config: Config) -> Config:
    """The configuration with which everything is a target.

    Opting out is decided later, where it can be counted, and roles are chosen by `is_ours`:
    what the istiods say is about every role.
    """
    every_role = replace(config.discovery.kubernetes, roles=())
    everything = replace(config.discovery, ignore_annotation="", kubernetes=every_role)
    return replace(config, discovery=everything)


class ClassifiedPods:
    """Every pod that matters here, by name and by node."""

    def __init__(self) -> None:
        self._pods: dict[TargetKey, ClassifiedPod] = {}
        self._on_node: defaultdict[str, set[TargetKey]] = defaultdict(set)

    def __iter__(self) -> Iterator[TargetKey]:
        return iter(self._pods)

    def get(self, key: TargetKey) -> ClassifiedPod | None:
        """What is known of a pod."""
        return self._pods.get(key)

    def set(self, key: TargetKey, known: ClassifiedPod | None) -> bool:
        """Remember a pod, or forget it; returns whether that changed anything."""
        before = self._pods.get(key)
        if before == known:
            return False
        if before:
            self._leave(key, before.node)
        if known:
            self._pods[key] = known
            self._on_node[known.node].add(key)
        else:
            del self._pods[key]
        return True

    def on_node(self, name: str) -> tuple[TargetKey, ...]:
        """The pods of a node."""
        return tuple(self._on_node.get(name, ()))

    def ambient(self, is_ambient: Callable[[str], bool]) -> Mapping[tuple[str, str, str], int]:
        """Pods enrolled in ambient by namespace, node and redirection (enabled or missing)."""
        rows = (
            (key.namespace, known.node, known.ambient[is_ambient(key.namespace)])
            for key, known in self._pods.items()
        )
        return Counter(row for row in rows if row[2])

    def _leave(self, key: TargetKey, node: str) -> None:
        self._on_node[node].discard(key)
        if not self._on_node[node]:
            del self._on_node[node]
