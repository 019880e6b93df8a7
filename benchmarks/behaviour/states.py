"""Recorded states, replayed, and the targets that an exporter is given for them.

Every state stands twice, in two meshes: the targets of one view know an address only, those of
the other the pod's namespace too. The pod is named STATE.VIEW, so that everything that is said of
it can be told apart.
"""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

from exporter.demo import DemoPod, Mesh, load_states, mesh

VIEWS = ("network", "pod")
AGE = timedelta(days=1)
"""The pods were seconds old when they were recorded."""

_MOMENTS = frozenset({"creationTimestamp", "startedAt", "startTime"})


@dataclass(frozen=True, slots=True)
class Replay:
    """The two meshes of a folder."""

    meshes: Mapping[str, Mesh]

    async def advance(self) -> None:
        """Turn every pod to its next pages."""
        for built in self.meshes.values():
            await built.advance()

    def write_targets(self, folder: Path) -> None:
        """Write targets.yaml and the pod documents that it names."""
        rows = [
            _entry(pod, view, folder) for view, built in self.meshes.items() for pod in built.pods
        ]
        (folder / "targets.yaml").write_text(yaml.safe_dump(rows))


@asynccontextmanager
async def replay(folder: Path) -> AsyncIterator[Replay]:
    """Build both meshes; what grows does so only when they are advanced."""
    states = load_states(folder)
    async with (
        mesh(states, folder, flat=False, growing=0) as network,
        mesh(states, folder, flat=False, growing=0) as pod,
    ):
        yield Replay({"network": network, "pod": pod})


def _entry(pod: DemoPod, view: str, folder: Path) -> dict[str, object]:
    name = f"{pod.state.name}.{view}"
    entry: dict[str, object] = {
        "pod": name,
        "role": str(pod.state.role),
        "address": list(pod.target.addresses),
    }
    if view == "pod":
        entry["netns"] = pod.target.netns
    if pod.state.pod:
        document = _aged(json.loads(pod.state.pod))
        document["metadata"]["name"] = name
        (folder / f"{name}.json").write_text(json.dumps(document))
        return {**entry, "pod": f"{name}.json"}
    return {**entry, "namespace": "istio-system"}


def _aged(value: Any) -> Any:  # noqa: ANN401 - any JSON
    """The document of a pod that is as old as a day."""
    then = (datetime.now(UTC) - AGE).strftime("%Y-%m-%dT%H:%M:%SZ")
    if isinstance(value, dict):
        return {key: then if key in _MOMENTS else _aged(one) for key, one in value.items()}
    return [_aged(one) for one in value] if isinstance(value, list) else value
