"""The table of pods in tests/data/pods: compact rows spelled out as pods and targets.

A row says only what differs from the one that it is `like`; see the head of the file.
"""

from dataclasses import MISSING, dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from exporter.model import Target, TargetKey

TABLE = Path(__file__).parent.parent / "data" / "pods" / "table.yaml"
_NAMED = ("containers", "initContainers")
_STATUSES = ("containerStatuses", "initContainerStatuses")

Document = dict[str, Any]


@dataclass(frozen=True)
class Row:
    """A pod, what has to come out of it (None: no target), and how ambient counts it."""

    id: str
    pod: Document
    target: Document | None
    ambient: str


def read_table() -> list[Row]:
    """Every row of the table; what is expected of a target leaves its defaults out."""
    rows: dict[str, tuple[Document, Document]] = {}
    table = []
    for entry in yaml.safe_load(TABLE.read_text(encoding="utf-8")):
        pod, target = rows[entry["like"]] if "like" in entry else ({}, {})
        pod, wanted = _laid_over(pod, entry.get("pod", {})), entry.get("target", {})
        assert entry["id"] not in rows, f"{entry['id']} stands twice"
        rows[entry["id"]] = pod, _laid_over(target, wanted or {})
        expected = None if wanted is None else _without_nulls(rows[entry["id"]][1])
        table.append(Row(entry["id"], _spelled_out(pod), expected, entry.get("ambient", "")))
    return table


def described(target: Target) -> Document:
    """What of a target is not its default, in the words of the table; without its containers."""
    bare = replace(target.lifecycle, containers=(), proxy="")
    return dict(_differences(replace(target, lifecycle=bare)))


def _laid_over(below: Document, above: Document) -> Document:
    merged = dict(below)
    for key, value in above.items():
        known = merged.get(key)
        if isinstance(value, dict):
            merged[key] = _laid_over(known if isinstance(known, dict) else {}, value)
        else:
            merged[key] = value
    return merged


def _without_nulls(document: Document) -> Document:
    cleaned = {
        key: _without_nulls(value) if isinstance(value, dict) else value
        for key, value in document.items()
    }
    return {key: value for key, value in cleaned.items() if value is not None and value != {}}


def _spelled_out(pod: Document) -> Document:
    """The document as Kubernetes writes it: lists of named things, nothing that is null."""
    pod = _without_nulls(pod)
    spec, status = pod.get("spec", {}), pod.get("status", {})
    for part in _NAMED:
        if part in spec:
            spec[part] = [_container(name, row) for name, row in spec[part].items()]
    for part in _STATUSES:
        if part in status:
            status[part] = [{"name": name, **row} for name, row in status[part].items()]
    return {"apiVersion": "v1", "kind": "Pod", **pod}


def _container(name: str, row: Document) -> Document:
    env = [{"name": key, "value": value} for key, value in row.get("env", {}).items()]
    ports = [_port(text) for text in map(str, row.get("ports", ()))]
    referring = {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}
    return {"name": name, **row, "env": [referring, *env], "ports": ports}


def _port(text: str) -> Document:
    number, _, protocol = text.partition("/")
    return {"containerPort": int(number), "protocol": protocol or "TCP"}


def _differences(value: Any) -> Any:
    for field in fields(value):
        found = getattr(value, field.name)
        usual = field.default if field.default_factory is MISSING else field.default_factory()
        if found != usual:
            yield field.name, _plain(found)


def _plain(value: Any) -> Any:
    if isinstance(value, TargetKey):
        return str(value)
    if is_dataclass(value):
        return dict(_differences(value))
    return list(value) if isinstance(value, tuple) else value
