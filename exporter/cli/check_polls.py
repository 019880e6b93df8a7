"""The polls of `check`: what they found so far, and what they leave for the next ones.

The serving path's polls, records and documents, without its scheduler. A target is polled again
at once where its first hello decides nothing.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import msgspec

from exporter import clock
from exporter.cli.target_sources import CheckSource
from exporter.config import Config
from exporter.kube.api_errors import KubernetesError
from exporter.model import (
    EVERY_CADENCE,
    HBONE_ROLES,
    Cadence,
    Memory,
    Target,
    TargetKey,
    TargetRecord,
)
from exporter.report.not_judged import not_judged
from exporter.report.target_documents import TargetState, target_state

log = logging.getLogger(__name__)


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What `-o json` and `-o yaml` print. `unseen`: the deprecated name of `not_judged`."""

    targets: tuple[TargetState, ...]
    not_judged: tuple[str, ...]
    unseen: tuple[str, ...]


@dataclass(slots=True)
class Polled:
    """The targets of one `check`, with the record and the memory of each."""

    source: CheckSource
    targets: Sequence[Target]
    memories: dict[TargetKey, Memory] = field(default_factory=dict)
    records: dict[TargetKey, TargetRecord] = field(default_factory=dict)

    def report(self) -> Report:
        """The documents of all targets."""
        extra = self.source.config.ports
        sentences = (*self.source.not_judged, *not_judged(self.records.values()))
        return Report(
            targets=tuple(target_state(t, self.records.get(t.key), extra) for t in self.targets),
            not_judged=sentences,
            unseen=sentences,
        )

    async def poll(self, done: Callable[[], None] = lambda: None) -> None:
        """Poll every target once; `done` is called after each.

        What one of them sends or is costs its own poll and no other's: it is logged, and the target
        has no result of this poll.
        """
        from exporter.app.in_mesh import is_in_mesh
        from exporter.app.process import raise_file_limit
        from exporter.poll.poll_target import poll_target

        raise_file_limit()
        in_mesh = await is_in_mesh()
        source = self.source
        slots = asyncio.Semaphore(source.at_once)

        async def poll_one(target: Target) -> None:
            memory = self.memories.get(target.key, Memory())
            async with slots:
                plan = source.plan(target)
                poll_again = partial(poll_target, plan, in_mesh=in_mesh, step=clock.step())
                now = clock.now()
                due = _due(memory, source.config, now)
                result = await poll_again(memory, due, source.config, now)
                if _is_decided_by_another_hello(result.record):
                    await asyncio.sleep(_BETWEEN_HELLOS_SECONDS)
                    result = await poll_again(result.memory, _HELLOS, source.config, clock.now())
            self.memories[target.key] = result.memory
            self.records[target.key] = result.record

        async def poll_alone(target: Target) -> None:
            try:
                await poll_one(target)
            except Exception:
                log.exception("poll failed target=%s", target.key)
                self.records.pop(target.key, None)
            done()

        async with asyncio.TaskGroup() as polls:
            for target in self.targets:
                polls.create_task(poll_alone(target))

    async def update_targets(self) -> None:
        """Take the targets as they are now; while they cannot be listed, the old ones stay.

        What is another's pod by now, or elsewhere, begins without a memory.
        """
        before = {target.key: target.remembered_as for target in self.targets}
        with contextlib.suppress(KubernetesError):
            self.targets = await self.source.targets()
        kept = {one.key for one in self.targets if before.get(one.key) == one.remembered_as}
        for by_key in (self.records, self.memories):
            for key in [key for key in by_key if key not in kept]:
                del by_key[key]


def _due(memory: Memory, config: Config, now: float) -> frozenset[Cadence]:
    """All cadences in a target's first poll, then that of the identity at its own interval."""
    last = memory.polled.get(Cadence.IDENTITY)
    is_due = last is None or now - last >= config.poll.identity_interval
    return EVERY_CADENCE if is_due else EVERY_CADENCE - {Cadence.IDENTITY}


def _is_decided_by_another_hello(record: TargetRecord) -> bool:
    """Whether ztunnel failed one hello, which names no cause before it fails a second one."""
    return record.target.role in HBONE_ROLES and not record.diagnosis and bool(record.undetected)


_BETWEEN_HELLOS_SECONDS = 1.0
_HELLOS = frozenset({Cadence.FAST, Cadence.IDENTITY})
