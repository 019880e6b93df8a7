"""Reads objects of the Kubernetes API one by one: what cannot be read is left out, and logged once.

Everybody who may create a pod writes such objects. Whatever an object makes the code that reads it
raise, it costs that object alone: neither the list that it is on, nor the watch, nor the process.
"""

import logging
from collections.abc import Callable
from typing import TypeVar

import msgspec

from exporter.kube.json_decoding import decode
from exporter.kube.watch_events import WatchEvent
from exporter.model import TargetKey

log = logging.getLogger(__name__)

T = TypeVar("T")

_MOST_LOGGED = 10_000
"""So many refused objects are remembered; after that they are logged anew."""


class _Metadata(msgspec.Struct, frozen=True):
    name: str = ""
    namespace: str = ""
    uid: str = ""


class _Object(msgspec.Struct, frozen=True):
    metadata: _Metadata = _Metadata()


_OBJECT = msgspec.json.Decoder(_Object)


class Reader:
    """Reads objects; remembers which of them were refused."""

    def __init__(self) -> None:
        self._logged: set[tuple[str, _Metadata]] = set()

    def read(self, resource: str, event: WatchEvent, read: Callable[[WatchEvent], T]) -> T | None:
        """What `read` returns; None for an object that it cannot read, whatever it raises."""
        try:
            return read(event)
        except Exception as error:  # noqa: BLE001 - one object must not cost the others
            self._refuse(resource, event, error)
            return None

    def _refuse(self, resource: str, event: WatchEvent, error: Exception) -> None:
        metadata = _named(event)
        if (resource, metadata) in self._logged:
            return
        if len(self._logged) >= _MOST_LOGGED:
            self._logged.clear()
        self._logged.add((resource, metadata))
        log.warning(
            "kubernetes object left out resource=%s namespace=%r name=%r reason=%r",
            resource,
            metadata.namespace,
            metadata.name,
            f"{type(error).__name__}: {error}"[:300],
        )


def key_of(event: WatchEvent) -> TargetKey | None:
    """The pod that an object is about, though the rest of it cannot be read; None for nobody's."""
    metadata = _named(event)
    return TargetKey(metadata.namespace or "default", metadata.name) if metadata.name else None


def _named(event: WatchEvent) -> _Metadata:
    """Whose object it is, as far as that can be read."""
    try:
        return decode(_OBJECT, event.document).metadata
    except Exception:  # noqa: BLE001 - then it has no name
        return _Metadata()
