"""The readiness of nodes, and the settings of namespaces that apply to all their pods.

`ObjectCache` keeps the objects of one resource by name, reduced to what discovery needs.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

import msgspec

from exporter.bounds import SETTINGS_TEXT
from exporter.discovery.ambient_pods import is_ambient_namespace
from exporter.discovery.missing_proxies import NamespaceInjection, namespace_injection
from exporter.discovery.pod_documents import Metadata
from exporter.kube.json_decoding import Json, decode
from exporter.kube.watch_events import EventType, WatchEvent
from exporter.turn import current_turn

T = TypeVar("T")


class _Condition(msgspec.Struct, frozen=True):
    type: str = ""
    status: str = ""


class _NodeStatus(msgspec.Struct, frozen=True):
    conditions: tuple[_Condition, ...] | None = None


class _Node(msgspec.Struct, frozen=True):
    metadata: Metadata
    status: _NodeStatus = _NodeStatus()


class _Namespace(msgspec.Struct, frozen=True):
    metadata: Metadata


_NODE = msgspec.json.Decoder(_Node)
_NAMESPACE = msgspec.json.Decoder(_Namespace)


@dataclass(frozen=True, slots=True)
class NamespaceSettings:
    """A namespace's settings for its pods: the ignore annotation's value, ambient, injection."""

    ignore: str = ""
    ambient: bool = False
    injection: NamespaceInjection = NamespaceInjection.UNSET


def readiness_of(document: Json) -> tuple[str, bool]:
    """A node's name and whether it is ready; raises for what is no node."""
    node = decode(_NODE, document)
    rows = node.status.conditions or ()
    return node.metadata.name, any(r.type == "Ready" and r.status == "True" for r in rows)


def node_ready(name: str, nodes: Mapping[str, bool] | None) -> bool | None:
    """Whether a pod's node is ready; one that is not in the list is gone.

    None without a list, and for a pod that has no node yet.
    """
    return None if nodes is None or not name else nodes.get(name, False)


def namespace_settings_of(document: Json, annotation: str) -> tuple[str, NamespaceSettings]:
    """A namespace's name and settings; `annotation` is the ignore annotation's name."""
    metadata = decode(_NAMESPACE, document).metadata
    labels = metadata.labels or {}
    return metadata.name, NamespaceSettings(
        ignore=(metadata.annotations or {}).get(annotation, "")[: SETTINGS_TEXT + 1],
        ambient=is_ambient_namespace(labels),
        injection=namespace_injection(labels),
    )


class ObjectCache(Generic[T]):
    """One value an object, by name. `changed(name)` whenever a value changes.

    `attempted` is set once a list was read or failed: waiting longer would gain nothing.
    """

    def __init__(self, changed: Callable[[str], None]) -> None:
        self.values: dict[str, T] = {}
        self.is_complete = False
        self.attempted = asyncio.Event()
        self._changed = changed

    async def update_from(
        self,
        events: AsyncIterator[WatchEvent],
        read: Callable[[Json], tuple[str, T] | None],
    ) -> None:
        """Apply the events, which end only by cancellation."""
        listed: set[str] | None = None
        turn = current_turn()
        async for event in events:
            await turn.maybe_yield()
            if event.type is EventType.LIST_START:
                listed = set()
            elif event.type is EventType.LIST_END:
                await self._finish(listed or set())
                listed = None  # a watch may last for months
            elif found := read(event.document):
                name, value = found
                if listed is not None:
                    listed.add(name)
                self._set(name, None if event.type is EventType.DROP else value)

    async def _finish(self, listed: set[str]) -> None:
        turn = current_turn()
        for name in [name for name in self.values if name not in listed]:
            self._set(name, None)
            await turn.maybe_yield()
        was_complete, self.is_complete = self.is_complete, True
        if not was_complete:
            self._changed("")
        self.attempted.set()

    def _set(self, name: str, value: T | None) -> None:
        if self.values.get(name) == value:
            return
        if value is None:
            del self.values[name]
        else:
            self.values[name] = value
        self._changed(name)
