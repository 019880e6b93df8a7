"""The targets of a Kubernetes cluster: pods, their nodes and namespaces in, put and drop out.

What a pod is by itself is kept by pod, and what its node and namespace say of it is laid over
it whenever one of them changes. The rule: only the API server's word removes a target. An
outage, a refusal or a broken list removes none.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from exporter.config import Config
from exporter.discovery.classified_pods import (
    ClassifiedPod,
    ClassifiedPods,
    classify_pod,
    unfiltered,
)
from exporter.discovery.nodes_and_namespaces import (
    NamespaceSettings,
    ObjectCache,
    namespace_settings_of,
    readiness_of,
)
from exporter.discovery.pod_documents import decode_pod
from exporter.discovery.pods import ignored
from exporter.discovery.scope import (
    NAMESPACES,
    is_chosen,
    nodes_of,
    pods_of,
    scopes_of,
    services_of,
)
from exporter.discovery.services import Service, service_of, with_services
from exporter.discovery.watch_status import WatchStatus
from exporter.kube.object_reader import Reader, key_of
from exporter.kube.watch import follow
from exporter.kube.watch_events import EventType, WatchEvent
from exporter.kube.watch_options import ApiClient, Resource, WatchOptions
from exporter.model import Role, Target, TargetKey
from exporter.yielder import Yielder

T = TypeVar("T")

_NO_SETTINGS = NamespaceSettings()
_HEAD_START_SECONDS = 10.0
"""How long pods wait for nodes and namespaces, so that what is ignored is never looked at."""


@dataclass(frozen=True, slots=True)
class ClusterCallbacks:
    """Where the source reports; targets first, then what it did, behind callables.

    `changed()` after anything that is counted changed. `synced`, `relisted` and `asked` take
    the resource's name as the exporter's own metrics do.
    """

    put: Callable[[Target], None]
    drop: Callable[[TargetKey], None]
    changed: Callable[[], None]
    synced: Callable[[str, bool], None]
    relisted: Callable[[str], None]
    asked: Callable[[str, str, str], None]


class ClusterSource:
    """Follows a cluster. `run` may be called again with another configuration.

    `targets` are this replica's. `other_shards`: the proxies that other replicas poll; known only
    where this one owns the istiods, which speak of every proxy. Little of them is kept.
    """

    def __init__(self, reports: ClusterCallbacks, options: WatchOptions | None = None) -> None:
        self.targets: dict[TargetKey, Target] = {}
        self.other_shards: dict[TargetKey, Target] = {}
        self._reports = reports
        self._options = options or WatchOptions()
        self._progress = WatchStatus(reports.synced, reports.relisted, reports.asked)
        self._reader = Reader()
        self._pods = ClassifiedPods()
        self._nodes = ObjectCache[bool](self._node_changed)
        self._namespaces = ObjectCache[NamespaceSettings](self._namespace_changed)
        self._services: dict[str, ObjectCache[Service]] = {}
        self._ignored: set[TargetKey] = set()
        self._stale: dict[TargetKey, None] = {}
        self._has_stale = asyncio.Event()
        self._config = self._everything = Config()
        self._listed = {"": False}

    @property
    def ignored(self) -> int:
        """How many targets are left out because they, or their namespaces, opted out."""
        return len(self._ignored)

    @property
    def ignores_istiods(self) -> bool:
        """Whether an istiod opted out, so that nobody can know all that the istiods say."""
        known = (self._pods.get(key) for key in self._ignored)
        return any(row and row.target and row.target.role is Role.ISTIOD for row in known)

    @property
    def is_followed(self) -> bool:
        """Whether every pod is known as it is now: listed once, and watched at this moment."""
        return self.is_synced and self._progress.is_followed("pods")

    @property
    def is_synced(self) -> bool:
        """Whether every pod that is to be followed was listed once."""
        return all(self._listed.values())

    def ambient_pods(self) -> Mapping[tuple[str, str, str], int]:
        """Pods enrolled in ambient by namespace, node and redirection (enabled or missing)."""
        return self._pods.ambient(lambda name: self._wish(name).ambient)

    async def run(self, api: ApiClient, config: Config) -> None:
        """Follow the cluster until cancelled."""
        chosen = config.discovery.kubernetes
        self._configure(config)
        wish = partial(namespace_settings_of, annotation=config.discovery.ignore_annotation)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._cache_objects(api, nodes_of(chosen), self._nodes, readiness_of))
            tasks.create_task(self._cache_objects(api, NAMESPACES, self._namespaces, wish))
            tasks.create_task(self._settle_stale())
            for scope, services in self._services.items():
                tasks.create_task(
                    self._cache_objects(api, services_of(scope), services, service_of)
                )
            await self._head_start()
            for scope in scopes_of(chosen):
                tasks.create_task(self._follow_pods(api, scope))

    def clear(self) -> None:
        """Forget the cluster: it is not to be followed any more."""
        self._forget(tuple(self._pods))
        self._progress.stop()
        self._reports.changed()

    def _configure(self, config: Config) -> None:
        chosen = config.discovery.kubernetes
        self._config, self._everything = config, unfiltered(config)
        self._listed = {scope: self._listed.get(scope, False) for scope in scopes_of(chosen)}
        self._forget([key for key in self._pods if not is_chosen(key.namespace, chosen)])
        before, scopes = self._services, scopes_of(chosen) if chosen.services else ()
        self._services = {scope: self._services_in(scope) for scope in scopes}
        if before != self._services:
            self._mark_stale(self._pods)
        self._nodes.tried.clear()
        self._namespaces.tried.clear()
        self._progress.forget()

    async def _head_start(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(_HEAD_START_SECONDS):
                await self._nodes.tried.wait()
                await self._namespaces.tried.wait()

    # --- nodes, namespaces and services --------------------------------------------------------

    async def _cache_objects(
        self,
        api: ApiClient,
        resource: Resource,
        mirror: ObjectCache[T],
        read: Callable[[WatchEvent], tuple[str, T]],
    ) -> None:
        callbacks = self._progress.callbacks(resource, tried=mirror.tried.set)
        async with aclosing(follow(api, resource, callbacks, self._options)) as events:
            await mirror.follow(events, partial(self._reader.read, resource.name, read=read))

    def _node_changed(self, name: str) -> None:
        """A node became ready, not ready or gone; no name: the nodes were listed at last."""
        self._mark_stale(self._pods.on_node(name) if name else self._pods)

    def _namespace_changed(self, name: str) -> None:
        self._mark_stale(key for key in self._pods if key.namespace == name)

    def _services_in(self, scope: str) -> ObjectCache[Service]:
        return self._services.get(scope) or ObjectCache[Service](self._service_changed)

    def _service_changed(self, name: str) -> None:
        namespace = name.partition("/")[0]
        self._mark_stale(key for key in self._pods if namespace in ("", key.namespace))

    def _mark_stale(self, keys: Iterable[TargetKey]) -> None:
        self._stale.update(dict.fromkeys(keys))
        self._has_stale.set()

    async def _settle_stale(self) -> None:
        """Settle what nodes and namespaces changed: a few pods, or all of them."""
        while True:
            await self._has_stale.wait()
            self._has_stale.clear()
            yielder = Yielder()
            while self._stale:
                self._settle(self._stale.popitem()[0])
                await yielder.maybe_yield()
            self._reports.changed()

    # --- pods ----------------------------------------------------------------------------------

    async def _follow_pods(self, api: ApiClient, scope: str) -> None:
        resource = pods_of(scope, self._config.discovery.kubernetes)
        callbacks = self._progress.callbacks(resource, scope)
        seen: set[TargetKey] = set()
        yielder = Yielder()
        async with aclosing(follow(api, resource, callbacks, self._options)) as events:
            async for event in events:
                if event.kind is EventType.LISTING:
                    seen = set()
                elif event.kind is EventType.LISTED:
                    self._finish_list(scope, seen)
                elif key := self._take(event):
                    seen.add(key)
                await yielder.maybe_yield()

    def _finish_list(self, scope: str, seen: set[TargetKey]) -> None:
        mine = (key for key in self._pods if not scope or key.namespace == scope)
        self._forget([key for key in mine if key not in seen])
        self._listed[scope] = True
        self._reports.changed()

    def _take(self, event: WatchEvent) -> TargetKey | None:
        """Remember or forget a pod, and settle what it means; None for one that is left out."""
        found = self._reader.read("pods", event, self._read_pod)
        key, known = found or (key_of(event), None)
        if key and self._pods.set(key, known):
            self._settle(key)
            self._reports.changed()
        return key if found else None

    def _read_pod(self, event: WatchEvent) -> tuple[TargetKey, ClassifiedPod | None]:
        pod = decode_pod(event.document)
        key = TargetKey(pod.metadata.namespace, pod.metadata.name)
        is_gone = event.kind is EventType.DROP
        return key, None if is_gone else classify_pod(pod, self._config, self._everything)

    def _forget(self, keys: Iterable[TargetKey]) -> None:
        for key in keys:
            self._pods.set(key, None)
            self._settle(key)
        self._reports.changed()

    # --- what all three mean together ----------------------------------------------------------

    def _settle(self, key: TargetKey) -> None:
        """Report what became of a pod's target, if anything did."""
        known = self._pods.get(key)
        self._ignored.discard(key)
        target = self._target_now(key, known) if known else None
        is_ours = known is not None and known.is_ours
        self._note_other_shards(key, None if is_ours else target)
        self._note(key, target if is_ours else None)

    def _note(self, key: TargetKey, target: Target | None) -> None:
        before = self.targets.get(key)
        if target == before:
            return
        is_another = before is not None and target is not None and before.uid != target.uid
        if before and (target is None or is_another):
            del self.targets[key]
            self._reports.drop(key)
        if target:
            self.targets[key] = target
            self._reports.put(target)

    def _note_other_shards(self, key: TargetKey, target: Target | None) -> None:
        """Remember, or forget, a proxy that another replica polls: it is no target of ours."""
        before = self.other_shards.pop(key, None)
        if target:
            self.other_shards[key] = target
        if before and (target is None or before.uid != target.uid):
            self._reports.drop(key)

    def _target_now(self, key: TargetKey, known: ClassifiedPod) -> Target | None:
        """The target with its node's and namespace's say; None while it is not to be polled."""
        target = known.target
        if target is None:
            return None
        ignores = [ignored(text) for text in (self._wish(key.namespace).ignore, known.ignore)]
        if any(row.entirely for row in ignores):
            if known.is_ours:
                self._ignored.add(key)
            return None
        if not target.addresses:
            return None
        ports = tuple(dict.fromkeys(port for row in ignores for port in row.ports))
        lifecycle = replace(target.lifecycle, node_ready=self._node_ready(known.node))
        services = (row for mirror in self._services.values() for row in mirror.values.values())
        served = with_services(target, services)
        return replace(served, ignored_ports=ports, lifecycle=lifecycle)

    def _node_ready(self, name: str) -> bool | None:
        """A node that is not listed is gone; nothing is known while there is no list."""
        return self._nodes.values.get(name, False) if self._nodes.is_listed and name else None

    def _wish(self, namespace: str) -> NamespaceSettings:
        return self._namespaces.values.get(namespace, _NO_SETTINGS)
