"""The targets of a Kubernetes cluster: pods, their nodes and namespaces in, put and drop out.

What a pod is by itself is kept by pod, and what its node and namespace say of it is laid over
it whenever one of them changes. The rule: only the API server's word removes a target. An
outage, a refusal or a broken list removes none.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass, replace
from typing import TypeVar

import msgspec

from exporter.config import Config
from exporter.discovery.documents import Pod
from exporter.discovery.pods import ambient_redirection, ignored, targets_of_pod
from exporter.discovery.shard import is_listed_by_istiods, is_ours, outline, owns
from exporter.discovery.watch import Api, Event, Kind, Pace, Resource, Witness, follow
from exporter.model import KubernetesError, Role, Target, TargetKey

log = logging.getLogger(__name__)

_AMBIENT = {"istio.io/dataplane-mode": "ambient"}
_PODS_AT_ONCE = 10
"""So many pods are read before others get their turn on the event loop."""

_HEAD_START_SECONDS = 10.0
"""How long pods wait for nodes and namespaces, so that what is ignored is never looked at."""


@dataclass(frozen=True, slots=True)
class Reports:
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


@dataclass(frozen=True, slots=True)
class _Known:
    """What a pod says of itself: its target before others have their say.

    `ambient` is its redirection in a namespace that is not ambient, and in one that is. Not
    `is_ours`: another replica polls it, and we only say what the istiods say of it.
    """

    is_ours: bool
    target: Target | None
    ignore: str
    node: str
    ambient: tuple[str, str]


class _Condition(msgspec.Struct, frozen=True):
    type: str = ""
    status: str = ""


class _NodeStatus(msgspec.Struct, frozen=True):
    conditions: tuple[_Condition, ...] | None = None


class _Metadata(msgspec.Struct, frozen=True):
    name: str
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None


class _Node(msgspec.Struct, frozen=True):
    metadata: _Metadata
    status: _NodeStatus = _NodeStatus()


class _Namespace(msgspec.Struct, frozen=True):
    metadata: _Metadata


T = TypeVar("T")
_POD = msgspec.json.Decoder(Pod)
_NODE = msgspec.json.Decoder(_Node)
_NAMESPACE = msgspec.json.Decoder(_Namespace)


class ClusterSource:
    """Follows a cluster. `run` may be called again with another configuration.

    `targets` are this replica's. `elsewhere`: the proxies that other replicas poll; known only
    where this one owns the istiods, which speak of every proxy. Little of them is kept.
    """

    def __init__(self, reports: Reports, pace: Pace | None = None) -> None:
        self.targets: dict[TargetKey, Target] = {}
        self.elsewhere: dict[TargetKey, Target] = {}
        self._reports = reports
        self._pace = pace or Pace()
        self._pods: dict[TargetKey, _Known] = {}
        self._on_node: dict[str, set[TargetKey]] = {}
        self._nodes: dict[str, bool] = {}
        self._nodes_listed = False
        self._namespaces: dict[str, _Metadata] = {}
        self._ignored: set[TargetKey] = set()
        self._listed: dict[str, bool] = {}
        self._following: dict[str, dict[str, bool]] = {}
        self._trouble: dict[str, str] = {}
        self._tried: dict[str, asyncio.Event] = {}
        self._configure(Config())

    @property
    def ignored(self) -> int:
        """How many targets are left out because they, or their namespaces, opted out."""
        return len(self._ignored)

    @property
    def hides_istiods(self) -> bool:
        """Whether an istiod opted out, so that nobody can know all that the istiods say."""
        known = (self._pods[key].target for key in self._ignored)
        return any(target is not None and target.role is Role.ISTIOD for target in known)

    @property
    def is_followed(self) -> bool:
        """Whether every pod is known as it is now: listed once, and watched at this moment."""
        rows = self._following.get("pods", {})
        return self.is_synced and bool(rows) and all(rows.values())

    @property
    def is_synced(self) -> bool:
        """Whether every pod that is to be followed was listed once."""
        return all(self._listed.values())

    def ambient_pods(self) -> Mapping[tuple[str, str, str], int]:
        """Pods enrolled in ambient by namespace, node and redirection (enabled or missing)."""
        rows = (
            (key.namespace, pod.node, self._ambient(key, pod)) for key, pod in self._pods.items()
        )
        return Counter(row for row in rows if row[2])

    async def run(self, api: Api, config: Config) -> None:
        """Follow the cluster until cancelled."""
        self._configure(config)
        chosen = config.discovery.kubernetes
        scopes = chosen.namespaces or ("",)
        for key in [key for key in self._pods if scopes != ("",) and key.namespace not in scopes]:
            self._forget(key)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow_nodes(api, chosen.node))
            tasks.create_task(self._follow_namespaces(api))
            await self._head_start()
            for scope in scopes:
                tasks.create_task(self._follow_pods(api, scope))

    def clear(self) -> None:
        """Forget the cluster: it is not to be followed any more."""
        for key in list(self._pods):
            self._forget(key)
        for name, rows in self._following.items():
            self._set_following(name, dict.fromkeys(rows, False))
        self._reports.changed()

    def _configure(self, config: Config) -> None:
        self._config = config
        # Opting out is decided here, where it can be counted; pods.py is to see everything.
        # Roles are chosen here too: what the istiods say is about every role.
        every_role = replace(config.discovery.kubernetes, roles=())
        everything = replace(config.discovery, ignore_annotation="", kubernetes=every_role)
        self._unfiltered = replace(config, discovery=everything)
        scopes = config.discovery.kubernetes.namespaces or ("",)
        self._listed = {scope: self._listed.get(scope, False) for scope in scopes}
        self._tried = {name: asyncio.Event() for name in ("nodes", "namespaces")}
        self._following.clear()
        self._trouble.clear()

    async def _head_start(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(_HEAD_START_SECONDS):
                for tried in self._tried.values():
                    await tried.wait()

    # --- nodes -------------------------------------------------------------------------------

    async def _follow_nodes(self, api: Api, name: str) -> None:
        query = {"fieldSelector": f"metadata.name={name}"} if name else {}
        resource = Resource("nodes", "/api/v1/nodes", query)
        seen: set[str] = set()
        async with aclosing(follow(api, resource, self._witness(resource), self._pace)) as events:
            async for event in events:
                if event.kind is Kind.LISTING:
                    seen = set()
                elif event.kind is Kind.LISTED:
                    self._nodes_listed = True
                    for gone in set(self._nodes) - seen:
                        self._set_node(gone, None)
                    self._settle_all()
                    self._tried["nodes"].set()
                elif node := _decode(_NODE, event):
                    seen.add(node.metadata.name)
                    self._set_node(
                        node.metadata.name, None if event.kind is Kind.DROP else _is_ready(node)
                    )

    def _set_node(self, name: str, ready: bool | None) -> None:  # noqa: FBT001
        if self._nodes.get(name) is ready:
            return
        if ready is None:
            self._nodes.pop(name, None)
        else:
            self._nodes[name] = ready
        for key in tuple(self._on_node.get(name, ())):
            self._settle(key)
        self._reports.changed()

    def _node_ready(self, name: str) -> bool | None:
        """A node that is not listed is gone; nothing is known while there is no list."""
        return self._nodes.get(name, False) if self._nodes_listed and name else None

    # --- namespaces --------------------------------------------------------------------------

    async def _follow_namespaces(self, api: Api) -> None:
        resource = Resource("namespaces", "/api/v1/namespaces")
        seen: set[str] = set()
        async with aclosing(follow(api, resource, self._witness(resource), self._pace)) as events:
            async for event in events:
                if event.kind is Kind.LISTING:
                    seen = set()
                elif event.kind is Kind.LISTED:
                    self._namespaces = {n: row for n, row in self._namespaces.items() if n in seen}
                    self._settle_all()
                    self._tried["namespaces"].set()
                elif namespace := _decode(_NAMESPACE, event):
                    seen.add(namespace.metadata.name)
                    self._set_namespace(namespace.metadata, is_there=event.kind is not Kind.DROP)

    def _set_namespace(self, said: _Metadata, *, is_there: bool) -> None:
        name = said.name
        ignore = self._config.discovery.ignore_annotation
        kept = _Metadata(name, _only(said.labels, *_AMBIENT), _only(said.annotations, ignore))
        if not is_there:
            self._namespaces.pop(name, None)
        elif self._namespaces.get(name) != kept:
            self._namespaces[name] = kept
            for key in [key for key in self._pods if key.namespace == name]:
                self._settle(key)
            self._reports.changed()

    # --- pods --------------------------------------------------------------------------------

    async def _follow_pods(self, api: Api, scope: str) -> None:
        resource = self._pod_resource(scope)
        witness = self._witness(resource, scope)
        seen: set[TargetKey] = set()
        count = 0
        async with aclosing(follow(api, resource, witness, self._pace)) as events:
            async for event in events:
                if event.kind is Kind.LISTING:
                    seen = set()
                elif event.kind is Kind.LISTED:
                    self._finish_list(scope, seen)
                elif pod := _decode(_POD, event):
                    seen.add(self._take(pod, event.kind))
                count += 1
                if count % _PODS_AT_ONCE == 0:
                    await asyncio.sleep(0)

    def _pod_resource(self, scope: str) -> Resource:
        chosen = self._config.discovery.kubernetes
        path = f"/api/v1/namespaces/{scope}/pods" if scope else "/api/v1/pods"
        query = {}
        if chosen.label_selector:
            query["labelSelector"] = chosen.label_selector
        if chosen.node:
            query["fieldSelector"] = f"spec.nodeName={chosen.node}"
        return Resource("pods", path, query)

    def _finish_list(self, scope: str, seen: set[TargetKey]) -> None:
        mine = (key for key in self._pods if not scope or key.namespace == scope)
        for key in [key for key in mine if key not in seen]:
            self._forget(key)
        self._listed[scope] = True
        self._reports.changed()

    def _take(self, pod: Pod, kind: Kind) -> TargetKey:
        """Remember or forget a pod, and settle what it means."""
        key = TargetKey(pod.metadata.namespace, pod.metadata.name)
        known = None if kind is Kind.DROP else self._known(pod)
        if known is None:
            self._forget(key)
            return key
        before = self._pods.get(key)
        if before and before.node != known.node:
            self._leave_node(key, before.node)
        self._pods[key] = known
        self._on_node.setdefault(known.node, set()).add(key)
        self._settle(key)
        self._reports.changed()
        return key

    def _known(self, pod: Pod) -> _Known | None:
        """What matters of a pod; None for a pod that is nothing to this replica."""
        found = next(iter(targets_of_pod(pod, self._unfiltered)), None)
        ambient = (ambient_redirection(pod, {}), ambient_redirection(pod, _AMBIENT))
        shard = self._config.shard
        if not owns(found.uid if found else pod.metadata.uid, shard.ordinal, shard.total):
            ambient = ("", "")
        mine = found is not None and is_ours(found, self._config)
        if found and not mine:
            found = outline(found) if is_listed_by_istiods(found, self._config) else None
        if not found and not any(ambient):
            return None
        ignore = pod.annotations.get(self._config.discovery.ignore_annotation, "")
        return _Known(
            is_ours=mine,
            target=found,
            ignore=ignore,
            node=pod.spec.node_name or "",
            ambient=ambient,
        )

    def _forget(self, key: TargetKey) -> None:
        known = self._pods.pop(key, None)
        if known:
            self._leave_node(key, known.node)
            self._settle(key)
            self._reports.changed()

    def _leave_node(self, key: TargetKey, node: str) -> None:
        keys = self._on_node.get(node, set())
        keys.discard(key)
        if not keys:
            self._on_node.pop(node, None)

    # --- what all three mean together ----------------------------------------------------------

    def _settle_all(self) -> None:
        for key in tuple(self._pods):
            self._settle(key)

    def _settle(self, key: TargetKey) -> None:
        """Report what became of a pod's target, if anything did."""
        known = self._pods.get(key)
        self._ignored.discard(key)
        target = self._target_now(key, known.target) if known and known.target else None
        if known and not known.is_ours:
            self._note_elsewhere(key, target)
            target = None
        else:
            self._note_elsewhere(key, None)
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

    def _note_elsewhere(self, key: TargetKey, target: Target | None) -> None:
        """Remember, or forget, a proxy that another replica polls: it is no target of ours."""
        before = self.elsewhere.pop(key, None)
        if target:
            self.elsewhere[key] = target
        if before and (target is None or before.uid != target.uid):
            self._reports.drop(key)

    def _target_now(self, key: TargetKey, target: Target) -> Target | None:
        """The target with its node's and namespace's say; None while it is not to be polled."""
        name = self._config.discovery.ignore_annotation
        said = self._namespaces.get(key.namespace)
        texts = (said.annotations or {}).get(name, "") if said else "", self._pods[key].ignore
        ignores = [ignored(text) for text in texts]
        if any(row.entirely for row in ignores):
            if self._pods[key].is_ours:
                self._ignored.add(key)
            return None
        if not target.addresses:
            return None
        ports = tuple(dict.fromkeys(port for row in ignores for port in row.ports))
        ready = self._node_ready(target.node)
        lifecycle = replace(target.lifecycle, node_ready=ready)
        return replace(target, ignored_ports=ports, lifecycle=lifecycle)

    def _ambient(self, key: TargetKey, known: _Known) -> str:
        said = self._namespaces.get(key.namespace)
        return known.ambient[bool(said and said.labels == _AMBIENT)]

    # --- what happened on the way ----------------------------------------------------------------

    def _witness(self, resource: Resource, scope: str = "") -> Witness:
        name = resource.name
        self._set_following(name, {scope: False})

        def began() -> None:
            self._set_following(name, {scope: True})
            self._tell(resource.path, None)

        def failed(error: KubernetesError) -> None:
            self._set_following(name, {scope: False})
            self._tell(resource.path, error)
            if name in self._tried:
                self._tried[name].set()

        return Witness(
            asked=lambda verb, code: self._reports.asked(verb, name, code),
            began=began,
            failed=failed,
            relisted=lambda: self._reports.relisted(name),
        )

    def _set_following(self, name: str, scopes: Mapping[str, bool]) -> None:
        rows = self._following.setdefault(name, {})
        rows.update(scopes)
        self._reports.synced(name, all(rows.values()))

    def _tell(self, path: str, error: KubernetesError | None) -> None:
        """Log when something begins to fail, fails otherwise, or works again."""
        kind = f"{type(error).__name__} {error.status}" if error else ""
        if kind == self._trouble.get(path, ""):
            return
        self._trouble[path] = kind
        if error:
            log.warning(
                "kubernetes not followed, known targets stay path=%s status=%s reason=%r",
                path,
                error.status or "none",
                str(error),
            )
        else:
            log.info("kubernetes followed again path=%s", path)


def _decode(decoder: "msgspec.json.Decoder[T]", event: Event) -> T | None:
    """The object of an event; None for one that is not what it should be, which is logged."""
    try:
        return decoder.decode(event.document)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        log.warning("kubernetes object not understood reason=%r", str(error))
        return None


def _is_ready(node: _Node) -> bool:
    rows = node.status.conditions or ()
    return any(row.type == "Ready" and row.status == "True" for row in rows)


def _only(texts: Mapping[str, str] | None, *names: str) -> dict[str, str]:
    """The named texts, so that no more than these is kept."""
    return {name: texts[name] for name in names if texts and name in texts}
