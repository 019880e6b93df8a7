"""Reads objects of the Kubernetes API one by one: a malformed one is skipped, and logged once.

Anybody who may create a pod writes such objects. Whatever the code that reads an object raises,
only that object is lost: neither its list, nor the watch, nor the process.
"""

import logging
from collections.abc import Callable
from typing import TypeVar

import msgspec

from exporter.bounds import KUBERNETES_NAME, OBJECT
from exporter.kube.json_decoding import Json, decode

log = logging.getLogger(__name__)

T = TypeVar("T")

_MOST_LOGGED = 10_000
"""So many malformed objects are remembered; after that each is logged again."""


class ObjectMetadata(msgspec.Struct, frozen=True):
    """Whose object it is, as far as that can be read."""

    name: str = ""
    namespace: str = ""
    uid: str = ""


class _Object(msgspec.Struct, frozen=True):
    metadata: ObjectMetadata = ObjectMetadata()


_OBJECT = msgspec.json.Decoder(_Object)


class ObjectReader:
    """Reads objects; remembers which of them it has logged as malformed.

    `refused(resource)` is called for each that is left out.
    """

    def __init__(self, refused: Callable[[str], None] = lambda _resource: None) -> None:
        self._refused = refused
        self._logged: set[tuple[str, ObjectMetadata]] = set()

    def read(
        self,
        resource: str,
        document: Json,
        read: Callable[[Json], T],
        otherwise: Callable[[ObjectMetadata], T | None] = lambda _metadata: None,
    ) -> T | None:
        """What `read` returns; where it raises anything, what `otherwise` makes of its name."""
        try:
            return read(_bounded(document))
        except Exception as error:  # noqa: BLE001 - one object must not cost the others
            metadata = metadata_of(document)  # takes its time where the object is large
            self._refuse(resource, metadata, error)
            return otherwise(metadata)

    def attempt(
        self, resource: str, name: str, namespace: str, action: Callable[[], T]
    ) -> T | None:
        """What `action` returns; None where it raises anything: that object is left out."""
        try:
            return action()
        except Exception as error:  # noqa: BLE001 - one object must not cost the others
            self._refuse(resource, ObjectMetadata(name, namespace), error)
            return None

    def _refuse(self, resource: str, metadata: ObjectMetadata, error: Exception) -> None:
        """Count what is left out, and log it once."""
        self._refused(resource)
        if (resource, metadata) in self._logged:
            return
        if len(self._logged) >= _MOST_LOGGED:
            self._logged.clear()
        self._logged.add((resource, metadata))
        log.warning(
            "object left out resource=%s namespace=%r name=%r reason=%r",
            resource,
            metadata.namespace,
            metadata.name,
            f"{type(error).__name__}: {error}"[:300],
        )


def _bounded(document: Json) -> Json:
    size = memoryview(document).nbytes
    if size > OBJECT:
        raise ValueError(f"it has {size} bytes, and an object may have {OBJECT}")
    return document


def metadata_of(document: Json) -> ObjectMetadata:
    """Name, namespace and uid, even where the rest cannot be read; empty where they cannot."""
    try:
        read = decode(_OBJECT, document).metadata
    except Exception:  # noqa: BLE001 - then it has no name
        return ObjectMetadata()
    most = KUBERNETES_NAME
    return ObjectMetadata(read.name[:most], read.namespace[:most], read.uid[:most])
