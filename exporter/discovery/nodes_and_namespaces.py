"""What surrounds pods: the readiness of nodes, and what namespaces ask for all their pods.

`ObjectCache` keeps the objects of one resource by name, as much of each as matters here.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import msgspec

from exporter.kube.json_decoding import decode
from exporter.kube.watch_events import EventType, WatchEvent

T = TypeVar("T")
AMBIENT = ("istio.io/dataplane-mode", "ambient")


class _Metadata(msgspec.Struct, frozen=True):
    name: str
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None


class _Condition(msgspec.Struct, frozen=True):
    type: str = ""
    status: str = ""


class _NodeStatus(msgspec.Struct, frozen=True):
    conditions: tuple[_Condition, ...] | None = None


class _Node(msgspec.Struct, frozen=True):
    metadata: _Metadata
    status: _NodeStatus = _NodeStatus()


class _Namespace(msgspec.Struct, frozen=True):
    metadata: _Metadata


_NODE = msgspec.json.Decoder(_Node)
_NAMESPACE = msgspec.json.Decoder(_Namespace)


@dataclass(frozen=True, slots=True)
class NamespaceSettings:
    """What a namespace asks for its pods: the ignore annotation's value, and ambient."""

    ignore: str = ""
    ambient: bool = False


def readiness_of(event: WatchEvent) -> tuple[str, bool]:
    """A node's name and whether it is ready; raises for what is no node."""
    node = decode(_NODE, event.document)
    rows = node.status.conditions or ()
    return node.metadata.name, any(r.type == "Ready" and r.status == "True" for r in rows)


def namespace_settings_of(event: WatchEvent, annotation: str) -> tuple[str, NamespaceSettings]:
    """A namespace's name and its wish; `annotation` is the ignore annotation's name."""
    said = decode(_NAMESPACE, event.document).metadata
    label, value = AMBIENT
    is_ambient = (said.labels or {}).get(label) == value
    return said.name, NamespaceSettings((said.annotations or {}).get(annotation, ""), is_ambient)


class ObjectCache(Generic[T]):
    """What is known of each object, by name. `changed(name)` when that became something else.

    `tried` is set once a list was read or refused: there is nothing more to wait for.
    """

    def __init__(self, changed: Callable[[str], None]) -> None:
        self.values: dict[str, T] = {}
        self.is_listed = False
        self.tried = asyncio.Event()
        self._changed = changed

    async def follow(
        self, events: AsyncIterator[WatchEvent], read: Callable[[WatchEvent], tuple[str, T] | None]
    ) -> None:
        """Keep up with the events for ever."""
        seen: set[str] = set()
        async for event in events:
            if event.kind is EventType.LISTING:
                seen = set()
            elif event.kind is EventType.LISTED:
                self._finish(seen)
            elif found := read(event):
                name, value = found
                seen.add(name)
                self._set(name, None if event.kind is EventType.DROP else value)

    def _finish(self, seen: set[str]) -> None:
        for name in [name for name in self.values if name not in seen]:
            self._set(name, None)
        was_listed, self.is_listed = self.is_listed, True
        if not was_listed:
            self._changed("")
        self.tried.set()

    def _set(self, name: str, value: T | None) -> None:
        if self.values.get(name) == value:
            return
        if value is None:
            del self.values[name]
        else:
            self.values[name] = value
        self._changed(name)
