"""Every target that is polled: its memory, and when its next poll is due. It outlives reloads.

In: targets as discovery finds and loses them. Out: what is due, for the scheduler of the session.
Each target has a stable phase, a hash of its identity: its polls are due at that part of every
interval, so that the load is even, and stays so over a reload.
"""

import asyncio
import heapq
import itertools
import logging
import math
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from exporter import clock
from exporter.diagnosis.repeats import Repeats
from exporter.model import Cadence, Memory, Target, TargetKey, TargetRecord
from exporter.poll.plan import Plan
from exporter.poll.steady_poll import SteadyProbes
from exporter.scheduler.slots import Slots
from exporter.state import State, expiry
from exporter.turn import current_turn

log = logging.getLogger(__name__)

_NEVER = math.inf
_NO_MEMORY = Memory(is_followed=True)


@dataclass(slots=True, eq=False)
class ScheduledTarget:
    """One target that is polled.

    `spread` makes its phase, and shifts its slower cadences. `due`: when its next poll starts, on
    the monotonic clock; never, once it was dropped. `started`: when its last one did. `polls`
    counts those that ended. `owed`: the slower cadences that were due and found no slot; the target
    is queued for one then. `is_made_up`: the poll that runs is between two that are due, for what
    is owed. `repeats` counts polls that found the same again, in place of `last_memory`. `plan` and
    its `steady` probes were made for `planned_target` by the scheduler whose token is
    `planned_by`.
    """

    target: Target
    spread: int
    due: float = _NEVER
    started: float = -math.inf
    polls: int = 0
    last_memory: Memory = _NO_MEMORY
    repeats: Repeats | None = None
    plan: Plan | None = None
    steady: SteadyProbes = ()
    planned_by: object = None
    planned_target: Target | None = None
    is_running: bool = False
    is_slow: bool = False
    owed: frozenset[Cadence] = frozenset()
    is_queued: bool = False
    is_made_up: bool = False
    was_cancelled: bool = False
    has_failed: bool = False
    cause: str = ""
    pod_view_error: str = ""

    @property
    def is_gone(self) -> bool:
        """Whether it was dropped, or has another address now."""
        return self.due == _NEVER

    @property
    def memory(self) -> Memory:
        """What the last poll left; polls that are only counted are not in it yet."""
        return self.last_memory if self.repeats is None else self.repeats.memory

    def remember(self, memory: Memory) -> None:
        """Take what a poll left."""
        self.last_memory, self.repeats = memory, None

    def count_repeats(self, repeats: Repeats) -> None:
        """Count polls from now on that find the same; the memory is kept once, with them."""
        self.last_memory, self.repeats = _NO_MEMORY, repeats

    def remember_repeats(self) -> None:
        """Let `memory` be what the last poll left: something else than a repeat follows."""
        if self.repeats is not None:
            self.repeats.add_up()
            self.remember(self.repeats.memory)

    @property
    def phase(self) -> float:
        """The part of an interval, from 0 to 1, at which its polls are due."""
        return self.spread / 2**32


Due = tuple[ScheduledTarget, float]
"""A target, and when its poll was due."""


_Queued = tuple[float, int, ScheduledTarget]
"""When a poll is due, a number that no other has, and whose it is."""


class TargetTable:
    """The targets, in the order in which they are due.

    `state` holds their records, and `synced` what istiods report of them: both lose a target that
    is dropped. `slots` are the places of running polls. `appeared` is set when there is a new
    target. `owed` are those that wait for a slot for their slower cadences, longest first.
    """

    def __init__(self, interval: float, state: State, synced: State) -> None:
        self.state = state
        self.slots: Slots[Due] = Slots()
        self.appeared = asyncio.Event()
        self.owed: deque[ScheduledTarget] = deque()
        self._synced = synced
        self.interval = interval
        self._rows: dict[TargetKey, ScheduledTarget] = {}
        self._targets: dict[TargetKey, Target] = {}
        self._learned_versions: dict[TargetKey, str] = {}
        self._queue: list[_Queued] = []
        self._in_order: deque[_Queued] = deque()
        self._order = itertools.count()
        self._is_warm = False

    @property
    def targets(self) -> Mapping[TargetKey, Target]:
        """Every target as discovery last described it; the mapping changes with them."""
        return MappingProxyType(self._targets)

    @property
    def is_warm(self) -> bool:
        """Whether every target was polled at least once since the start."""
        if not self._is_warm:
            self._is_warm = all(row.polls for row in self._rows.values())
        return self._is_warm

    @property
    def pod_view_error(self) -> str:
        """Why a pod view is missing where it should be there; empty when all is well."""
        return next((row.pod_view_error for row in self._rows.values() if row.pod_view_error), "")

    def put(self, target: Target) -> None:
        """Poll a target, or take its new description; its memory starts anew at another address.

        Another pod of its name has to be dropped before, with its samples: `MergedTargets` does.
        The counters of a new target are served as 0 until its first poll.
        """
        row = self._rows.get(target.key)
        if target.istio_version or not row or row.target.uid != target.uid:
            self._learned_versions.pop(target.key, None)
        elif version := self._learned_versions.get(target.key):
            target = replace(target, istio_version=version)
        self._take(target, row)

    def _take(self, target: Target, row: ScheduledTarget | None) -> None:
        if row and row.target == target:
            return
        self._targets[target.key] = target
        if row and row.target.remembered_as == target.remembered_as:
            row.target = target
            return
        if row:
            row.due = _NEVER
        else:
            self.state.put(TargetRecord(target=target, polls=0), expiry(clock.now(), self.interval))
        row = self._rows[target.key] = ScheduledTarget(target, target.spread)
        self._schedule(row, self._next_in_phase(row, time.monotonic()))
        self.appeared.set()
        log.info("target appeared target=%s role=%s", target.key, target.role)

    def set_version(self, key: TargetKey, version: str) -> None:
        """Complete a target whose own description has no version, until that has one or it goes."""
        target = self._targets.get(key)
        if target is None or target.istio_version == version:
            return
        if not target.istio_version or key in self._learned_versions:
            self._learned_versions[key] = version
            self._take(replace(target, istio_version=version), self._rows.get(key))

    def drop(self, key: TargetKey) -> None:
        """Forget a target at once: it is not polled again and its series are gone."""
        self._targets.pop(key, None)
        self._learned_versions.pop(key, None)
        if row := self._rows.pop(key, None):
            row.due = _NEVER
            log.info("target vanished target=%s", key)
        self.state.drop(key)
        self._synced.drop(key)

    def next_due(self) -> float:
        """When there may be something due, on the monotonic clock; infinite for never."""
        queued, in_order = self._queue, self._in_order
        first = in_order[0][0] if in_order else _NEVER
        return min(queued[0][0], first) if queued else first

    def take_due(self, limit: int) -> list[Due]:
        """Some of the targets whose polls are due, and schedule their next ones.

        It goes through `limit` rows of the queue at most: some may be of targets that are gone.
        """
        found, now = [], time.monotonic()
        queue, in_order = self._queue, self._in_order
        for _ in range(limit):
            if self.next_due() > now:
                break
            if not queue or (in_order and in_order[0] < queue[0]):
                due, _number, row = in_order.popleft()
            else:
                due, _number, row = heapq.heappop(queue)
            if due != row.due:
                continue
            self._schedule(row, self._following(row, now))
            found.append((row, due))
        return found

    def put_back(self, row: ScheduledTarget, due: float) -> None:
        """A poll that was due has not been started: it is due still."""
        if not row.is_gone:
            self._schedule(row, due)

    async def set_interval(self, interval: float) -> None:
        """Poll at another interval from now on, and serve each target's samples until then.

        A poll comes a new interval after the last one, or in phase where that is sooner, or where
        it is past. Nothing is taken meanwhile: the session before has stopped.
        """
        if interval == self.interval:
            return
        self.interval, self._queue = interval, []
        self._in_order.clear()
        turn = current_turn()
        for row in tuple(self._rows.values()):
            if not row.is_gone:
                self._schedule(row, self._rephased(row, time.monotonic()))
                now = clock.now()
                expires = expiry(now, row.memory.effective(interval))
                self.state.keep(row.target.key, now, expires)
            await turn.maybe_yield()

    def _schedule(self, row: ScheduledTarget, due: float) -> None:
        """Polls follow each other in the order of the interval before: only few need a heap."""
        row.due = due
        queued, in_order = (due, next(self._order), row), self._in_order
        if not in_order or in_order[-1] < queued:
            in_order.append(queued)
        else:
            heapq.heappush(self._queue, queued)

    def _rephased(self, row: ScheduledTarget, now: float) -> float:
        if row.due <= now:
            return row.due
        in_phase, after_last = self._next_in_phase(row, now), row.started + self.interval
        return after_last if now <= after_last < in_phase else in_phase

    def _next_in_phase(self, row: ScheduledTarget, moment: float) -> float:
        """The first moment from this one on that is in the target's phase."""
        offset = row.phase * self.interval
        return offset + math.ceil((moment - offset) / self.interval) * self.interval

    def _following(self, row: ScheduledTarget, now: float) -> float:
        """When the poll after the one that is due now is due: intervals that passed are left out.

        An interval later, to the moment in phase that is nearest.
        """
        interval, later = self.interval, row.due + self.interval
        if later <= now:
            later += int((now - row.due) / interval) * interval
        nearest = self._next_in_phase(row, later - interval / 2)
        return nearest if nearest > now else nearest + interval
