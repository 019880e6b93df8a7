"""The pods of a cluster, each classified by its own document alone."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache

from exporter.bounds import SETTINGS_TEXT
from exporter.config import Config
from exporter.discovery.ambient_pods import ambient_redirection, redirection_of
from exporter.discovery.missing_proxies import NamespaceInjection, missing_proxy
from exporter.discovery.nodes_and_namespaces import NamespaceSettings
from exporter.discovery.pod_documents import Pod
from exporter.discovery.pods import ignores_all, targets_of_pod
from exporter.discovery.shard import is_owned, is_synced_by_istiods, owns, without_details
from exporter.kube.object_reader import ObjectMetadata
from exporter.model import Role, Target, TargetKey
from exporter.turn import current_turn, in_slices

MissingProxy = Mapping[NamespaceInjection, str]
_NONE_MISSING: MissingProxy = {}


@dataclass(frozen=True, slots=True)
class ClassifiedPod:
    """A pod's target, if it is one, with its ignore annotation and node.

    `ambient` is its redirection in a namespace that is not ambient, and in one that is; one that
    `needs_ambient` is a target in the latter alone. `missing_proxy` is what asks for the proxy that
    it lacks, by what its namespace asks. Without `is_owned` another replica polls it, and this one
    only exposes its sync status.
    """

    is_owned: bool
    target: Target | None
    ignore: str
    node: str
    ambient: tuple[str, str]
    missing_proxy: MissingProxy
    needs_ambient: bool = False


@dataclass(frozen=True, slots=True)
class ReadPod:
    """What was read of a pod; `classified` None: it is gone, or does not concern this replica."""

    key: TargetKey
    classified: ClassifiedPod | None
    is_readable: bool = True


def unreadable_pod(metadata: ObjectMetadata) -> ReadPod | None:
    """The pod of that name, of which nothing else can be read; None without a name."""
    key = TargetKey(metadata.namespace or "default", metadata.name)
    return ReadPod(key, None, is_readable=False) if metadata.name else None


def classify_pod(pod: Pod, config: Config, unfiltered_config: Config) -> ClassifiedPod | None:
    """Classify a pod; None for a pod that does not concern this replica.

    `unfiltered_config` is the configuration as `unfiltered` makes it.
    """
    found = next(iter(targets_of_pod(pod, unfiltered_config, in_ambient_namespace=True)), None)
    needs_ambient = found is not None and found.role is Role.AMBIENT and not redirection_of(pod)
    ambient = (
        ambient_redirection(pod, in_ambient_namespace=False),
        ambient_redirection(pod, in_ambient_namespace=True),
    )
    missing = _missing_proxy(pod, None if found and found.role is Role.AMBIENT else found)
    shard = config.shard
    if not owns(found.uid if found else pod.metadata.uid, shard.ordinal, shard.total):
        ambient, missing = ("", ""), _NONE_MISSING
    owned = found is not None and is_owned(found, config)
    if found and not owned:
        found = without_details(found) if is_synced_by_istiods(found, config) else None
    if not found and not any(ambient) and not missing:
        return None
    ignore = pod.annotations.get(config.discovery.ignore_annotation, "")[: SETTINGS_TEXT + 1]
    node = pod.spec.node_name or ""
    return ClassifiedPod(owned, found, ignore, node, ambient, missing, needs_ambient)


def _missing_proxy(pod: Pod, found: Target | None) -> MissingProxy:
    """What asks for a proxy that the pod lacks, by what its namespace may ask; empty if nothing."""
    if found is not None and not found.lifecycle.missing_proxy:
        return _NONE_MISSING
    asked = tuple(missing_proxy(pod, namespace) for namespace in NamespaceInjection)
    return _by_namespace(asked) if any(asked) else _NONE_MISSING


@cache
def _by_namespace(asked: tuple[str, ...]) -> MissingProxy:
    """One mapping for all pods of which the same is true: there are very many."""
    return dict(zip(NamespaceInjection, asked, strict=True))


def unfiltered(config: Config) -> Config:
    """The configuration with which every pod of Istio is a target.

    `MergedTargets` applies the ignore annotations, where it can count them, and `is_owned` the
    roles: istiods report on proxies of every role.
    """
    every_role = replace(config.discovery.kubernetes, roles=())
    everything = replace(config.discovery, ignore_annotation="", kubernetes=every_role)
    return replace(config, discovery=everything)


class ClassifiedPods:
    """Every classified pod, by name, node and namespace; the gateways by namespace."""

    def __init__(self) -> None:
        self._pods: dict[TargetKey, ClassifiedPod] = {}
        self._groups: defaultdict[tuple[str, str], set[TargetKey]] = defaultdict(set)

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
        for group in _groups_of(key, before) if before else ():
            self._groups[group].discard(key)
            if not self._groups[group]:
                del self._groups[group]
        if classified:
            self._pods[key] = classified
            for group in _groups_of(key, classified):
                self._groups[group].add(key)
        else:
            del self._pods[key]
        return True

    def on_node(self, name: str) -> tuple[TargetKey, ...]:
        """The pods of a node."""
        return tuple(self._groups.get(("node", name), ()))

    def in_namespace(self, name: str) -> tuple[TargetKey, ...]:
        """The pods of a namespace."""
        return tuple(self._groups.get(("namespace", name), ()))

    def gateways(self, namespace: str) -> tuple[TargetKey, ...]:
        """The gateways of a namespace, which alone have to do with Services."""
        return tuple(self._groups.get(("gateways", namespace), ()))

    async def ambient(
        self, is_ambient: Callable[[str], bool]
    ) -> Mapping[tuple[str, str, str], int]:
        """Pods to be in ambient by namespace, node and redirection: enabled, pending, missing."""
        counts: Counter[tuple[str, str, str]] = Counter()
        async for some in in_slices(tuple(self._pods.items())):
            rows = (
                (key.namespace, pod.node, pod.ambient[is_ambient(key.namespace)])
                for key, pod in some
            )
            counts.update(row for row in rows if row[2])
        return counts

    async def missing_proxies(
        self, settings_of: Callable[[str], NamespaceSettings]
    ) -> Mapping[tuple[str, str], int]:
        """Pods that ought to have a proxy and have none, by namespace and by what asks for it.

        What opted out of the exporter is not counted.
        """
        counts: Counter[tuple[str, str]] = Counter()
        turn = current_turn()
        async for some in in_slices(tuple(self._pods.items())):
            for key, pod in some:
                if not pod.missing_proxy:
                    continue
                settings = settings_of(key.namespace)
                reason = pod.missing_proxy[settings.injection]
                if reason and not (ignores_all(settings.ignore) or ignores_all(pod.ignore)):
                    counts[key.namespace, reason] += 1
                await turn.maybe_yield()  # anybody may write long annotations
        return counts


def _groups_of(key: TargetKey, pod: ClassifiedPod) -> Iterator[tuple[str, str]]:
    """What it is found by."""
    yield "node", pod.node
    yield "namespace", key.namespace
    if pod.target and pod.target.role is Role.GATEWAY:
        yield "gateways", key.namespace
