"""When to poll whom: intervals, phases, concurrency, deadlines.

In: targets as discovery finds and loses them. Out: a record and rendered blocks in `State` after
every look. Targets are spread over the interval by a stable hash, so the load is even and a
restart does not shift it. One look at a target at a time; what could not start in time is counted
late, what was still busy is counted skipped. Targets that were silent share half of the slots, so
that black holes never delay the others.
"""

import asyncio
import heapq
import itertools
import logging
import math
import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from exporter.config import Config
from exporter.model import (
    SILENT,
    Cadence,
    Memory,
    Observation,
    Outcome,
    Role,
    Target,
    TargetKey,
    WebhookPath,
)
from exporter.poll.plan import Plan, PodViewFactory, no_pod_view, plan_of
from exporter.poll.poll_target import (
    EVERY_CADENCE,
    FAST_ONLY,
    PollResult,
    ProbeInstrumentation,
    poll_target,
)
from exporter.scheduler.slots import Slots
from exporter.state import STALE_AFTER_INTERVALS, State

log = logging.getLogger(__name__)

_HEARTBEAT_SECONDS = 1.0
_TICK_SECONDS = 0.1
"""Targets that come due within a tick start together: what is awake and cached serves them all.

Measured: a fifth less CPU a probe than with a fifth of it.
"""

_TICKS_PER_INTERVAL = 50
"""At least so many: short intervals have short ticks."""

_LOOKS_IN_A_ROW = 16
"""So many looks begin before what they asked can answer: some hundred connects."""


@dataclass(frozen=True, slots=True)
class PollInstrumentation:
    """Where the poller reports what it did; the exporter's own metrics behind callables."""

    under_way: Callable[[int], None]
    probed: Callable[[Sequence[Observation], Role], None]
    polled: Callable[[float], None]
    skipped: Callable[[], None]


@dataclass(slots=True)
class _Watched:
    """One target under watch. `turn` counts its polls, `offset` shifts its slower cadences.

    `gone`: it was dropped, or is watched anew.
    """

    plan: Plan
    offset: int
    memory: Memory = field(default_factory=Memory)
    turn: int = 0
    busy: bool = False
    silent: bool = False
    gone: bool = False
    cause: str = ""
    trouble: str = ""
    was_cancelled: bool = False


class Scheduler:
    """Polls every target that it was given, until it is told to forget it."""

    def __init__(
        self,
        config: Config,
        state: State,
        tally: PollInstrumentation,
        forward: PodViewFactory = no_pod_view,
    ) -> None:
        self._state = state
        self._tally = tally
        self._forward = forward
        self._meter = ProbeInstrumentation(tally.under_way, tally.probed)
        self._watched: dict[TargetKey, _Watched] = {}
        self._queue: list[tuple[float, int, _Watched]] = []
        self._order = itertools.count()
        self._alarm: asyncio.Future[None] | None = None
        self._last_turn = time.monotonic()
        self._first_pass = False
        self._is_ending = False
        self.in_mesh = False
        self.webhook: WebhookPath | None = None
        self._slots = Slots()
        self.configure(config)

    def configure(self, config: Config) -> None:
        """Take a new configuration; it holds from each target's next poll on."""
        self._config = config
        poll = config.poll
        spans = {Cadence.DETAIL: poll.detail_interval, Cadence.IDENTITY: poll.identity_interval}
        self._slower = [(slow, math.ceil(span / poll.interval)) for slow, span in spans.items()]
        self._slots.resize(config.poll.concurrency)
        for watched in self._watched.values():
            watched.plan = plan_of(watched.plan.target, config, self._forward)

    def put(self, target: Target) -> None:
        """Watch a target, or take its new description; a new address starts its memory anew."""
        known = self._watched.get(target.key)
        if known and known.plan.target == target:
            return
        plan = plan_of(target, self._config, self._forward)
        if known and known.plan.target.addresses == target.addresses:
            known.plan = plan
            return
        spread = zlib.crc32(target.uid.encode() or str(target.key).encode())
        if known:
            known.gone = True
        watched = _Watched(plan=plan, offset=spread)
        self._watched[target.key] = watched
        log.info("target appeared target=%s role=%s", target.key, target.role)
        phase = spread / 2**32 * self._config.poll.interval
        heapq.heappush(self._queue, (time.monotonic() + phase, next(self._order), watched))
        self._wake()

    def drop(self, key: TargetKey) -> None:
        """Forget a target at once: it is not polled again and its series are gone."""
        if watched := self._watched.pop(key, None):
            watched.gone = True
            log.info("target vanished target=%s", key)
        self._state.drop(key)

    def replace_all(self, targets: tuple[Target, ...]) -> None:
        """Watch exactly these targets."""
        for key in set(self._watched) - {target.key for target in targets}:
            self.drop(key)
        for target in targets:
            self.put(target)

    @property
    def targets(self) -> dict[TargetKey, Target]:
        """The targets under watch."""
        return {key: watched.plan.target for key, watched in self._watched.items()}

    @property
    def pod_view_error(self) -> str:
        """Why the inside of a pod could not be seen where it should be; empty when all is well."""
        return next((w.trouble for w in self._watched.values() if w.trouble), "")

    @property
    def is_live(self) -> bool:
        """Whether the loop still makes turns."""
        allowed = max(self._config.poll.interval, 10 * _HEARTBEAT_SECONDS)
        return time.monotonic() - self._last_turn < allowed

    @property
    def is_warm(self) -> bool:
        """Whether every target was polled at least once since the start."""
        if not self._first_pass:
            self._first_pass = all(watched.turn > 0 for watched in self._watched.values())
        return self._first_pass

    async def run(self) -> None:
        """Poll until cancelled. Looks run in a task group: a bug in one ends the process."""
        self._is_ending = False
        async with asyncio.TaskGroup() as looks:
            try:
                while True:
                    while self._start_due(looks):  # noqa: ASYNC110 - others get a turn in between
                        await asyncio.sleep(0)
                    await self._sleep()
            finally:
                self._is_ending = True

    def _start_due(self, looks: asyncio.TaskGroup) -> bool:
        """Start some of what is due; whether there may be more."""
        self._last_turn = time.monotonic()
        interval = self._config.poll.interval
        queue = self._queue
        for _ in range(_LOOKS_IN_A_ROW):
            if not queue or queue[0][0] > time.monotonic():
                return False
            due, order, watched = queue[0]
            if watched.gone:
                heapq.heappop(queue)
                continue
            missed = max(0, int((time.monotonic() - due) / interval))
            heapq.heapreplace(queue, (due + (1 + missed) * interval, order, watched))
            if watched.busy:
                self._tally.skipped()
                continue
            watched.busy = True
            begin = partial(self._begin, looks, watched, due)
            self._slots.take(begin, is_silent=watched.silent)
        return True

    async def _sleep(self) -> None:
        wait = _HEARTBEAT_SECONDS
        if self._queue:
            tick = min(_TICK_SECONDS, self._config.poll.interval / _TICKS_PER_INTERVAL)
            wait = min(wait, max(tick, self._queue[0][0] - time.monotonic()))
        loop = asyncio.get_running_loop()
        self._alarm = loop.create_future()
        timer = loop.call_later(wait, self._wake)
        try:
            await self._alarm
        finally:
            timer.cancel()

    def _wake(self) -> None:
        if self._alarm is not None and not self._alarm.done():
            self._alarm.set_result(None)

    def _begin(self, looks: asyncio.TaskGroup, watched: _Watched, due: float) -> bool:
        """Begin a look; whether it did: a target may have gone while it waited."""
        is_wanted = not watched.gone and not self._is_ending
        if is_wanted:
            looks.create_task(self._poll(watched, due))
        return is_wanted

    async def _poll(self, watched: _Watched, due: float) -> None:
        """Look, and publish. However that ends, the slot is given back."""
        was_silent = watched.silent
        try:
            looked = await self._look(watched, due)
        except asyncio.CancelledError:
            if self._is_ending:
                raise
            self._tell_cancelled(watched)
            return
        finally:
            watched.busy = False
            self._slots.give_back(is_silent=was_silent)
        self._take(watched, looked)

    def _tell_cancelled(self, watched: _Watched) -> None:
        """A look was cancelled though nobody had ended the poller: a bug, told once a target."""
        if not watched.was_cancelled:
            watched.was_cancelled = True
            log.error("poll cancelled by one of its probes target=%s", watched.plan.target.key)

    def _take(self, watched: _Watched, looked: PollResult) -> None:
        if watched.gone:
            return
        watched.turn += 1
        watched.memory = looked.memory
        watched.silent = _is_silent(looked.observations)
        watched.trouble = "" if _is_ending(watched) else _pod_view_error(looked.observations)
        self._publish(watched, looked)

    async def _look(self, watched: _Watched, due: float) -> PollResult:
        self._tally.polled(max(0.0, time.monotonic() - due))
        return await poll_target(
            watched.plan,
            watched.memory,
            self._due_now(watched),
            self._config,
            time.time(),
            in_mesh=self.in_mesh,
            webhook=self.webhook,
            meter=self._meter,
        )

    def _due_now(self, watched: _Watched) -> frozenset[Cadence]:
        if watched.turn == 0:
            return EVERY_CADENCE
        turn = watched.turn + watched.offset
        slower = [cadence for cadence, every in self._slower if turn % every == 0]
        return FAST_ONLY.union(slower) if slower else FAST_ONLY

    def _publish(self, watched: _Watched, looked: PollResult) -> None:
        record = looked.record
        interval = watched.memory.effective(self._config.poll.interval)
        expires = time.time() + STALE_AFTER_INTERVALS * interval
        self._state.put(record, expires, repeats=looked.repeats)
        cause = record.diagnosis.cause if record.diagnosis else ""
        if cause != watched.cause:
            log.info(
                "diagnosis changed target=%s was=%s now=%s",
                record.target.key,
                watched.cause or "none",
                cause or "none",
            )
            watched.cause = cause


def _is_silent(observations: tuple[Observation, ...]) -> bool:
    """Whether the target let probes run into their deadlines, so that it holds its slot long."""
    return any(o.outcome in SILENT for o in observations)


def _is_ending(watched: _Watched) -> bool:
    """Whether Kubernetes says that the proxy goes or is gone: no wonder that nothing is inside."""
    life = watched.plan.target.lifecycle
    return bool(life.terminating) or life.is_down


def _pod_view_error(observations: tuple[Observation, ...]) -> str:
    """Why the pod's own view was refused to us, in the words of the first probe that found out."""
    refused = (o.detail for o in observations if o.outcome is Outcome.NO_ACCESS)
    return next((detail for detail in refused if detail), "")
