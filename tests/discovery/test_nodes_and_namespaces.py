"""Nodes and namespaces: what is read of each, and the cache of the values by name."""

import json
from collections.abc import AsyncIterator

import msgspec
import pytest

from exporter.discovery.nodes_and_namespaces import (
    NamespaceSettings,
    ObjectCache,
    namespace_settings_of,
    node_ready,
    readiness_of,
)
from exporter.kube.json_decoding import Json
from exporter.kube.watch_events import EventType, WatchEvent

IGNORE = "istio-port-exporter/ignore"
START, END = WatchEvent(EventType.LIST_START), WatchEvent(EventType.LIST_END)


def encoded(document: object) -> bytes:
    return json.dumps(document).encode()


def named(name: str, change: EventType = EventType.PUT) -> WatchEvent:
    return WatchEvent(change, encoded(name))


def read(document: Json) -> tuple[str, int] | None:
    """An object's name, with its length as the value; none of an object whose name is odd."""
    name: str = json.loads(document)
    return None if name == "odd" else (name, len(name))


async def updated(cache: ObjectCache[int], *events: WatchEvent) -> None:
    async def stream() -> AsyncIterator[WatchEvent]:
        for change in events:
            yield change

    await cache.update_from(stream(), read)


@pytest.mark.parametrize(
    ("conditions", "ready"),
    [
        ([{"type": "Ready", "status": "True"}], True),
        ([{"type": "Ready", "status": "Unknown"}], False),
        ([{"type": "DiskPressure", "status": "True"}], False),
        (None, False),
    ],
    ids=["ready", "unknown", "another", "none"],
)
def test_a_node_is_ready_by_its_condition(conditions: object, ready: bool) -> None:
    node = encoded({"metadata": {"name": "n1"}, "status": {"conditions": conditions}})
    assert readiness_of(node) == ("n1", ready)


@pytest.mark.parametrize(
    ("name", "nodes", "ready"),
    [
        ("n1", {"n1": True}, True),
        ("n1", {"n1": False}, False),
        ("n1", {"n2": True}, False),
        ("n1", {}, False),
        ("n1", None, None),
        ("", None, None),
        ("", {"n1": True}, None),
    ],
)
def test_a_pods_node_is_ready_gone_or_not_known(
    name: str, nodes: dict[str, bool] | None, ready: object
) -> None:
    assert node_ready(name, nodes) is ready


def test_a_namespace_sets_the_ignore_annotation_and_ambient_for_its_pods() -> None:
    metadata = {
        "name": "shop",
        "annotations": {IGNORE: "15090"},
        "labels": {"istio.io/dataplane-mode": "ambient"},
    }
    settings = NamespaceSettings("15090", ambient=True)
    assert namespace_settings_of(encoded({"metadata": metadata}), IGNORE) == ("shop", settings)
    plain = encoded({"metadata": {"name": "shop"}})
    assert namespace_settings_of(plain, IGNORE) == ("shop", NamespaceSettings())


def test_an_object_without_a_name_is_malformed() -> None:
    with pytest.raises(msgspec.ValidationError):
        readiness_of(encoded({"metadata": {}}))


async def test_a_change_is_reported_once_by_its_name() -> None:
    changes: list[str] = []
    cache = ObjectCache[int](changes.append)
    await updated(cache, START, named("a"), END, named("a"), named("b"))
    assert (cache.values, changes) == ({"a": 1, "b": 1}, ["a", "", "b"])
    await updated(cache, named("a", EventType.DROP), named("a", EventType.DROP))
    assert (cache.values, changes[3:]) == ({"b": 1}, ["a"])


async def test_what_the_next_list_lacks_is_removed_at_its_end() -> None:
    changes: list[str] = []
    cache = ObjectCache[int](changes.append)
    await updated(cache, START, named("a"), named("b"), END)
    await updated(cache, START, named("b"))
    assert sorted(cache.values) == ["a", "b"], "a list that failed midway removes nothing"
    await updated(cache, START, named("b"), named("odd"), END)
    assert (sorted(cache.values), changes[-1]) == (["b"], "a")


async def test_the_first_complete_list_is_reported_without_a_name() -> None:
    changes: list[str] = []
    cache = ObjectCache[int](changes.append)
    await updated(cache, START)
    assert not cache.is_complete
    await updated(cache, END, START, END)
    assert cache.is_complete
    assert cache.attempted.is_set()
    assert changes == [""]
