"""What is true of a recorded state: its row of the index, for one view."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from exporter.demo import RecordedState


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What is true of a state. `captured`, `identity`: None, empty for free.

    `causes`: each of them is right ("none" is healthy). `up` by port: 1, 0, None (unjudged).
    """

    causes: tuple[str, ...]
    up: Mapping[int, int | None] = field(default_factory=dict)
    ready: int | None = None
    agent_ready: int | None = None
    captured: int | None = None
    identity: str = ""


def expected_of(state: RecordedState, view: str) -> Expected:
    """What is true while the network alone is seen, or with the pod's view ("pod")."""
    row = state.index if view == "network" else _with_pod_view(state)
    cause = row["cause"]
    return Expected(
        causes=tuple(cause) if isinstance(cause, list) else (cause,),
        up=row.get("up") or {},
        ready=row.get("ready"),
        agent_ready=row.get("agent_ready"),
        captured=row.get("captured"),
        identity=row.get("identity") or "",
    )


def _with_pod_view(state: RecordedState) -> Mapping[str, Any]:
    """The row with what differs when the pod's view is there as well.

    Where the cause differs, what was not up and can be reached there is free to be judged.
    """
    row, connects = state.index, state.loopback.connects
    pod_view = row.get("pod_view") or {}
    up = dict(row.get("up") or {})
    if "cause" in pod_view:
        up = {port: v for port, v in up.items() if v == 1 or connects.get(port) != "ok"}
    return {**row, **pod_view, "up": {**up, **pod_view.get("up", {})}}
