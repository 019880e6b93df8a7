"""A mesh of stand-ins for as long as it is used: `async with mesh(states, folder) as built`.

In: recorded states. Out: a `DemoPod` for each, with a target that can be polled. The rule:
the processes belong to the stage process, and end when the block ends, whatever ends it.
"""

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exporter.demo.addresses import target_of
from exporter.demo.kernel import can_build_networks
from exporter.demo.recorded_state import RecordedState
from exporter.demo.recording import SHIPPED
from exporter.model import Target

_LIMIT = 1 << 24


class MeshError(RuntimeError):
    """The mesh could not be built; the message names what failed."""


@dataclass(frozen=True, slots=True)
class DemoPod:
    """One pod of the mesh: the state that it shows and the target that it is.

    `target.netns` is the pod's first process, empty where pods have no namespace.
    """

    state: RecordedState
    target: Target

    @property
    def name(self) -> str:
        """The pod's name, which is the state's and, for a repetition, a number."""
        return self.target.key.pod


class Mesh:
    """A mesh that stands. `is_flat`: on loopback addresses, without redirection."""

    def __init__(
        self, pods: tuple[DemoPod, ...], stage: asyncio.subprocess.Process, *, is_flat: bool
    ) -> None:
        self.pods = pods
        self.is_flat = is_flat
        self._stage = stage

    async def advance(self) -> None:
        """Turn every pod that showed its earlier pages to the present ones."""
        if self._stage.stdin is None or self._stage.stdout is None:
            raise MeshError("the mesh has ended")
        self._stage.stdin.write(b"advance\n")
        await self._stage.stdin.drain()
        if not await self._stage.stdout.readline():
            raise MeshError("the mesh has ended")


@asynccontextmanager
async def mesh(
    states: Sequence[RecordedState],
    folder: Path = SHIPPED,
    *,
    targets: int = 0,
    flat: bool | None = None,
    earlier: bool = True,
    growing: float = 2.0,
) -> AsyncIterator[Mesh]:
    """Build a pod for each state.

    Args:
        states: what to show.
        folder: where the states were loaded from.
        targets: grow the mesh to so many targets by repeating healthy pods: a repetition is a
            further address of the same pod.
        flat: on loopback addresses without redirection; None: where nothing else is possible.
        earlier: begin with the earlier pages of those that have them.
        growing: once advanced, what had grown goes on growing every so many seconds; 0: it
            stays as it was recorded.

    Raises:
        MeshError: a pod could not be built.
    """
    is_flat = not can_build_networks() if flat is None else flat
    repetitions = _repetitions(states, targets)
    stage = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "exporter.demo.stage",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,
        limit=_LIMIT,
    )
    try:
        request = {
            "folder": str(folder),
            "names": [state.name for state in states],
            "repetitions": repetitions,
            "flat": is_flat,
            "earlier": earlier,
            "growing": growing,
        }
        rows = await _ask(stage, request)
        yield Mesh(tuple(_pods(states, rows, is_flat=is_flat)), stage, is_flat=is_flat)
    finally:
        await _end(stage)


def _repetitions(states: Sequence[RecordedState], targets: int) -> list[int]:
    """How often each state is repeated so that the mesh grows to `targets`."""
    repeated = [index for index, state in enumerate(states) if state.is_healthy]
    counts = [0] * len(states)
    for number in range(max(0, targets - len(states)) if repeated else 0):
        counts[repeated[number % len(repeated)]] += 1
    return counts


async def _ask(stage: asyncio.subprocess.Process, request: dict[str, Any]) -> list[dict[str, Any]]:
    if stage.stdin is None or stage.stdout is None:
        raise MeshError("the stage has no pipes")
    stage.stdin.write(json.dumps(request).encode() + b"\n")
    await stage.stdin.drain()
    line = await stage.stdout.readline()
    answer: dict[str, Any] = json.loads(line) if line else {"error": "it ended too early"}
    if "error" in answer:
        raise MeshError(answer["error"])
    rows: list[dict[str, Any]] = answer["pods"]
    return rows


def _pods(
    states: Sequence[RecordedState], rows: Sequence[dict[str, Any]], *, is_flat: bool
) -> list[DemoPod]:
    now = time.time()
    pods = []
    for state, row in zip(states, rows, strict=True):
        netns = "" if is_flat else str(row["pid"])
        for number, address in enumerate(row["addresses"]):
            addresses = [address]
            if row["address6"] and not number:
                addresses.append(row["address6"])
            pods.append(DemoPod(state, target_of(state, addresses, netns, now, number=number)))
    return pods


async def _end(stage: asyncio.subprocess.Process) -> None:
    """Closing its input ends the stage, and everything with it."""
    if stage.stdin is not None:
        stage.stdin.close()
    try:
        await asyncio.wait_for(asyncio.shield(stage.wait()), timeout=20)
    except TimeoutError:
        stage.kill()
        await stage.wait()
