"""The targets of a cluster: pods merged with what their nodes, namespaces and Services add.

In: a classified pod and its context, whenever either changes. Out: one put or drop for each
target that became another one.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from exporter.discovery.classified_pods import ClassifiedPod
from exporter.discovery.nodes_and_namespaces import NamespaceSettings
from exporter.discovery.pods import ignored
from exporter.discovery.services import Service, with_services
from exporter.model import Target, TargetKey


@dataclass(frozen=True, slots=True)
class PodContext:
    """What other objects add to a pod. `node_ready` is None while nodes are not listed."""

    node_ready: bool | None
    namespace: NamespaceSettings
    services: Iterable[Service]


class MergedTargets:
    """`owned` are this replica's targets, `other_shards` the proxies that other replicas poll.

    `ignored`: owned targets that opted out, or whose namespaces did. `put` and `drop` report
    changes; a target of another shard is only dropped.
    """

    def __init__(self, put: Callable[[Target], None], drop: Callable[[TargetKey], None]) -> None:
        self.owned: dict[TargetKey, Target] = {}
        self.other_shards: dict[TargetKey, Target] = {}
        self.ignored: set[TargetKey] = set()
        self._put = put
        self._drop = drop

    def update(self, key: TargetKey, pod: ClassifiedPod | None, context: PodContext) -> None:
        """Merge a pod anew; None for a pod that is gone."""
        self.ignored.discard(key)
        is_owned = pod is not None and pod.is_owned
        target = self._merge(key, pod, context) if pod else None
        self._set_other_shards(key, None if is_owned else target)
        self._set_owned(key, target if is_owned else None)

    def remove(self, key: TargetKey) -> None:
        """Forget a pod."""
        self.ignored.discard(key)
        self._set_other_shards(key, None)
        self._set_owned(key, None)

    def _merge(self, key: TargetKey, pod: ClassifiedPod, context: PodContext) -> Target | None:
        """The pod's target in its context; None while it is not to be polled."""
        if pod.target is None or (pod.needs_ambient and not context.namespace.ambient):
            return None
        annotations = [ignored(text) for text in (context.namespace.ignore, pod.ignore)]
        if any(annotation.entirely for annotation in annotations):
            if pod.is_owned:
                self.ignored.add(key)
            return None
        # There is nothing to probe; that the deletion of a pod is held is still reported.
        if not (pod.target.addresses or pod.target.lifecycle.terminating):
            return None
        ports = dict.fromkeys(port for annotation in annotations for port in annotation.ports)
        return replace(
            with_services(pod.target, context.services),
            ignored_ports=tuple(ports),
            lifecycle=replace(pod.target.lifecycle, node_ready=context.node_ready),
        )

    def _set_owned(self, key: TargetKey, target: Target | None) -> None:
        before = self.owned.get(key)
        if before and target and before.uid == target.uid:
            kept = target.lifecycle.with_kept_reasons(before.lifecycle)
            target = replace(target, lifecycle=kept) if kept is not target.lifecycle else target
        if target == before:
            return
        is_another = before is not None and target is not None and before.uid != target.uid
        if before and (target is None or is_another):
            del self.owned[key]
            self._drop(key)
        if target:
            self.owned[key] = target
            self._put(target)

    def _set_other_shards(self, key: TargetKey, target: Target | None) -> None:
        before = self.other_shards.pop(key, None)
        if target:
            self.other_shards[key] = target
        if before and (target is None or before.uid != target.uid):
            self._drop(key)
