"""The targets of a Kubernetes cluster: watches pods, nodes, namespaces and Services.

`ClassifiedPods` keeps what each pod is by itself; `MergedTargets` merges that with its node and
namespace whenever one of them changes. The rule: only what the API server reports removes a
target. An outage, a refused request or a failed list removes none.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from contextlib import aclosing, suppress
from functools import partial
from typing import TypeVar

from exporter.config import Config
from exporter.discovery.classified_pods import (
    ClassifiedPods,
    ReadPod,
    classify_pod,
    unfiltered,
    unreadable_pod,
)
from exporter.discovery.list_requests import (
    NAMESPACES,
    is_chosen,
    nodes_request,
    pods_request,
    scopes_of,
    services_request,
    watched_resources,
)
from exporter.discovery.merged_targets import MergedTargets, PodContext
from exporter.discovery.nodes_and_namespaces import (
    NamespaceSettings,
    ObjectCache,
    namespace_settings_of,
    node_ready,
    readiness_of,
)
from exporter.discovery.pod_documents import decode_pod
from exporter.discovery.services import Service, service_of
from exporter.discovery.watch_status import WatchStatus
from exporter.kube.client import KubernetesClient
from exporter.kube.json_decoding import Json
from exporter.kube.object_reader import ObjectReader
from exporter.kube.watch import ResourceWatch
from exporter.kube.watch_events import EventType, WatchEvent
from exporter.kube.watch_options import Resource, WatchOptions
from exporter.model import Target, TargetKey
from exporter.selfmetrics.registry import SelfMetrics
from exporter.turn import current_turn

T = TypeVar("T")

_NO_SETTINGS = NamespaceSettings()
_MAX_WAIT_SECONDS = 10.0
"""How long pods wait for nodes and namespaces, so that no ignored target is polled even once."""


class ClusterSource:
    """Watches a cluster. `run` may be called again with another configuration.

    `put` and `drop` take the targets as they come, change and go. `changed` is called after any
    change of what can be counted.
    """

    def __init__(
        self,
        put: Callable[[Target], None],
        drop: Callable[[TargetKey], None],
        changed: Callable[[], None],
        metrics: SelfMetrics,
        options: WatchOptions | None = None,
    ) -> None:
        self._changed = changed
        self._options = options or WatchOptions()
        self._status = WatchStatus(metrics)
        self._reader = ObjectReader(metrics.refused_object)
        self._pods = ClassifiedPods()
        self._merged = MergedTargets(put, drop)
        self._nodes = ObjectCache[bool](self._node_changed)
        self._namespaces = ObjectCache[NamespaceSettings](self._namespace_changed)
        self._services: dict[str, ObjectCache[Service]] = {}
        self._stale: dict[TargetKey, None] = {}
        self._has_stale = asyncio.Event()
        self._config = self._unfiltered = Config()
        self._is_complete = {"": False}

    @property
    def owned(self) -> Mapping[TargetKey, Target]:
        """This replica's targets."""
        return self._merged.owned

    @property
    def other_shards(self) -> Mapping[TargetKey, Target]:
        """The proxies that other replicas poll, with little of each.

        Empty but where this replica owns the istiods, which report on every proxy.
        """
        return self._merged.other_shards

    @property
    def ignored(self) -> int:
        """How many targets are left out because they, or their namespaces, opted out."""
        return len(self._merged.ignored)

    @property
    def ignores_istiods(self) -> bool:
        """Whether an istiod that counts opted out, so that not all of them are polled."""
        pods = (self._pods.get(key) for key in self._merged.ignored)
        return any(pod and pod.target and pod.target.trusted for pod in pods)

    @property
    def is_watched(self) -> bool:
        """Whether every pod is known as it is now: listed once, and watched at this moment."""
        return self.is_synced and self._status.is_watched("pods")

    @property
    def is_synced(self) -> bool:
        """Whether every list of pods was complete once."""
        return all(self._is_complete.values())

    async def ambient_pods(self) -> Mapping[tuple[str, str, str], int]:
        """Pods to be in ambient by namespace, node and redirection: enabled, pending, missing."""
        return await self._pods.ambient(lambda name: self._settings_of(name).ambient)

    async def missing_proxies(self) -> Mapping[tuple[str, str], int]:
        """Pods that ought to have a proxy and have none, by namespace and by what asks for it."""
        return await self._pods.missing_proxies(self._settings_of)

    async def run(self, api: KubernetesClient, config: Config) -> None:
        """Watch the cluster until cancelled."""
        chosen = config.discovery.kubernetes
        await self._configure(config)
        annotation = config.discovery.ignore_annotation
        settings_of = partial(namespace_settings_of, annotation=annotation)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._update_stale())
            if chosen.cluster_scoped:
                nodes, namespaces = nodes_request(chosen), self._namespaces
                tasks.create_task(self._cache_objects(api, nodes, self._nodes, readiness_of))
                tasks.create_task(self._cache_objects(api, NAMESPACES, namespaces, settings_of))
            for scope, services in self._services.items():
                tasks.create_task(
                    self._cache_objects(api, services_request(scope), services, service_of)
                )
            if chosen.cluster_scoped:
                await self._wait_for_nodes_and_namespaces()
            for scope in scopes_of(chosen):
                tasks.create_task(self._watch_pods(api, scope))

    async def clear(self) -> None:
        """Drop every target: the cluster is watched no more."""
        await self._remove(tuple(self._pods))
        self._status.reset(())
        self._changed()

    async def _configure(self, config: Config) -> None:
        chosen = config.discovery.kubernetes
        self._config, self._unfiltered = config, unfiltered(config)
        scopes = scopes_of(chosen)
        self._is_complete = {scope: self._is_complete.get(scope, False) for scope in scopes}
        await self._remove([key for key in self._pods if not is_chosen(key.namespace, chosen)])
        before, with_services = self._services, scopes if chosen.services else ()
        self._services = {scope: self._services_in(scope) for scope in with_services}
        if not chosen.cluster_scoped:
            self._nodes = ObjectCache[bool](self._node_changed)
            self._namespaces = ObjectCache[NamespaceSettings](self._namespace_changed)
        if before != self._services or not chosen.cluster_scoped:
            self._mark_stale(self._pods)
        self._nodes.attempted.clear()
        self._namespaces.attempted.clear()
        self._status.reset(watched_resources(chosen))

    async def _wait_for_nodes_and_namespaces(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(_MAX_WAIT_SECONDS):
                await self._nodes.attempted.wait()
                await self._namespaces.attempted.wait()

    # --- nodes, namespaces and Services --------------------------------------------------------

    async def _cache_objects(
        self,
        api: KubernetesClient,
        resource: Resource,
        cache: ObjectCache[T],
        read: Callable[[Json], tuple[str, T]],
    ) -> None:
        callbacks = self._status.callbacks(resource, attempted=cache.attempted.set)
        watch = ResourceWatch(api, resource, callbacks, self._options)
        async with aclosing(watch.events()) as events:
            await cache.update_from(events, partial(self._reader.read, resource.name, read=read))

    def _node_changed(self, name: str) -> None:
        """A node became ready, not ready or gone; no name: the nodes were listed at last."""
        self._mark_stale(self._pods.on_node(name) if name else self._pods)

    def _namespace_changed(self, name: str) -> None:
        self._mark_stale(self._pods.in_namespace(name))

    def _services_in(self, scope: str) -> ObjectCache[Service]:
        return self._services.get(scope) or ObjectCache[Service](self._service_changed)

    def _service_changed(self, name: str) -> None:
        """A Service came, changed or went; no name: they were listed at last."""
        self._mark_stale(self._pods.gateways(name.partition("/")[0]) if name else self._pods)

    def _mark_stale(self, keys: Iterable[TargetKey]) -> None:
        self._stale.update(dict.fromkeys(keys))
        self._has_stale.set()

    async def _update_stale(self) -> None:
        """Merge pods anew whose context changed: a few of them, or all."""
        while True:
            await self._has_stale.wait()
            turn = current_turn()
            while self._stale:
                self._update(self._stale.popitem()[0])
                await turn.maybe_yield()
            self._has_stale.clear()  # no earlier: whoever goes on after a reload sees what is left
            self._changed()

    # --- pods ----------------------------------------------------------------------------------

    async def _watch_pods(self, api: KubernetesClient, scope: str) -> None:
        resource = pods_request(scope, self._config.discovery.kubernetes)
        callbacks = self._status.callbacks(resource, scope)
        listed: set[TargetKey] | None = None
        turn = current_turn()
        watch = ResourceWatch(api, resource, callbacks, self._options)
        async with aclosing(watch.events()) as events:
            async for event in events:
                if event.type is EventType.LIST_START:
                    listed = set()
                elif event.type is EventType.LIST_END:
                    await self._finish_list(scope, listed or set())
                    listed = None  # a watch may last for months
                elif (key := self._take(event)) and listed is not None:
                    listed.add(key)
                await turn.maybe_yield()

    async def _finish_list(self, scope: str, listed: set[TargetKey]) -> None:
        in_scope = self._pods.in_namespace(scope) if scope else self._pods
        await self._remove([key for key in in_scope if key not in listed])
        self._is_complete[scope] = True
        self._changed()

    def _take(self, event: WatchEvent) -> TargetKey | None:
        """Keep or remove a pod and update its target; None for one that cannot be read."""
        read_pod = partial(self._read_pod, is_gone=event.type is EventType.DROP)
        read = self._reader.read("pods", event.document, read_pod, unreadable_pod)
        if read is None:
            return None
        if self._pods.set(read.key, read.classified):
            self._update(read.key)
            self._changed()
        return read.key if read.is_readable else None

    def _read_pod(self, document: Json, *, is_gone: bool) -> ReadPod:
        pod = decode_pod(document)
        key = TargetKey(pod.metadata.namespace, pod.metadata.name)
        return ReadPod(key, None if is_gone else classify_pod(pod, self._config, self._unfiltered))

    async def _remove(self, keys: Iterable[TargetKey]) -> None:
        turn = current_turn()
        for key in keys:
            self._pods.set(key, None)
            self._update(key)
            await turn.maybe_yield()
        self._changed()

    # --- pods in their context -----------------------------------------------------------------

    def _update(self, key: TargetKey) -> None:
        """Merge a pod anew; one that cannot be merged is no target."""
        if not self._reader.attempt("pods", key.pod, key.namespace, partial(self._merge, key)):
            self._merged.remove(key)

    def _merge(self, key: TargetKey) -> bool:
        pod = self._pods.get(key)
        services = (row for cache in self._services.values() for row in cache.values.values())
        nodes = self._nodes.values if self._nodes.is_complete else None
        ready = node_ready(pod.node, nodes) if pod else None
        context = PodContext(ready, self._settings_of(key.namespace), services)
        self._merged.update(key, pod, context)
        return True

    def _settings_of(self, namespace: str) -> NamespaceSettings:
        return self._namespaces.values.get(namespace, _NO_SETTINGS)
