"""When each target is polled: intervals, concurrency, deadlines.

In: the targets of a `TargetTable` whose polls are due. Out: a record and rendered blocks in `State`
after every poll. One poll of one target at a time; what could not start in time is counted late,
what was still running is counted skipped. Targets that were slow or silent share half of the slots.
A target whose slower cadences find no slot is polled at the fast one alone, and they are made up
for in turn: neither black holes nor slow pages delay the others.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence

from exporter import clock
from exporter.config import Config
from exporter.model import FAST_ONLY, ClusterRecord, Outcome, Target
from exporter.poll.hbone_hellos import HelloRate
from exporter.poll.plan import Plan, plan_of
from exporter.poll.poll_steps import NO_INSTRUMENTATION, ProbeInstrumentation
from exporter.poll.poll_target import PollResult, poll_target
from exporter.poll.steady_poll import steady_probes
from exporter.probes.direct_runs import DirectRun
from exporter.scheduler.due_cadences import DueCadences
from exporter.scheduler.slots import FEWEST_IN_A_ROW, next_row
from exporter.scheduler.steady_polls import RunningPoll, SteadyPolls
from exporter.scheduler.target_table import Due, ScheduledTarget, TargetTable
from exporter.state import expiry
from exporter.turn import TICK_SECONDS, current_turn, until_tick

log = logging.getLogger(__name__)

_HEARTBEAT_SECONDS = 1.0
_TICKS_PER_INTERVAL = 30
"""At least so many: short intervals have short ticks. What comes due within one starts together."""


class Scheduler:
    """Polls the targets of a table as one configuration wants it, until it is stopped."""

    def __init__(
        self,
        config: Config,
        table: TargetTable,
        instrumentation: ProbeInstrumentation = NO_INSTRUMENTATION,
        make_plan: Callable[[Target, Config], Plan] = plan_of,
        cluster: ClusterRecord | None = None,
    ) -> None:
        """Poll nothing yet."""
        self._config = config
        self._table = table
        self._instrumentation = instrumentation
        self._make_plan = make_plan
        self._cluster = cluster or ClusterRecord()
        self._cadences = DueCadences(config, table)
        self._steady = SteadyPolls(
            config, table.state, self._cluster, instrumentation, self._end_steady
        )
        self._in_a_row = FEWEST_IN_A_ROW
        self._last_tick = time.monotonic()
        self._is_stopped = self._is_cancelled = False
        self._plans = object()
        self._hellos = HelloRate()
        self._polls = asyncio.TaskGroup()

    @property
    def is_live(self) -> bool:
        """Whether the loop still makes progress."""
        allowed = max(self._config.poll.interval, 10 * _HEARTBEAT_SECONDS)
        return time.monotonic() - self._last_tick < allowed

    async def run(self) -> None:
        """Poll until stopped, and then until the last poll has ended.

        Polls run in a task group; what one raises costs its target that poll. More start when those
        that have were let do what they begin with: else they would only wait in their slots, and
        pages would find none.
        """
        self._table.slots.resize(self._config.poll.concurrency)
        async with self._polls:
            try:
                while not self._is_stopped:
                    self._make_up()
                    began = time.thread_time()
                    if self._start_due():
                        await asyncio.sleep(0)
                        self._in_a_row = next_row(self._in_a_row, time.thread_time() - began)
                        await current_turn().wait()  # who started makes its plan first
                    else:
                        await self._sleep()
                await self._steady.wait()
            except asyncio.CancelledError:
                self._is_cancelled = True
                self._steady.cancel()
                raise

    async def stop(self) -> None:
        """Start no more polls; those that run end by themselves, those that wait stay due."""
        self._is_stopped = True
        self._table.appeared.set()
        turn = current_turn()
        for row, due in self._table.slots.cancel_waiting():
            row.is_running = False
            if not row.is_made_up:
                self._table.put_back(row, due)
            row.is_made_up = False
            await turn.maybe_yield()

    def _start_due(self) -> bool:
        """Start some of what is due; whether there may be more."""
        self._last_tick = time.monotonic()
        for row, due in self._table.take_due(self._in_a_row):
            if not row.is_running:
                self._take_slot(row, due)
            elif not row.is_made_up:
                self._instrumentation.skipped()
        return self._table.next_due() <= time.monotonic()

    def _make_up(self) -> None:
        """Poll some targets whose slower cadences found no slot, while there are slots."""
        owed, slots = self._table.owed, self._table.slots
        for _ in range(min(len(owed), slots.free_pages, self._in_a_row)):
            row = owed.popleft()
            if row.is_running:
                owed.append(row)
                continue
            row.is_queued = False
            if row.owed and not (row.is_gone or row.is_slow):
                row.is_made_up = True
                self._take_slot(row, time.monotonic())

    def _take_slot(self, row: ScheduledTarget, due: float) -> None:
        row.is_running = True
        self._table.slots.take((row, due), self._start, is_slow=row.is_slow)

    async def _sleep(self) -> None:
        """Until something is due, there is a new target, or the next heartbeat."""
        tick = min(TICK_SECONDS, self._config.poll.interval / _TICKS_PER_INTERVAL)
        wait = 0.0 if self._table.owed else self._table.next_due() - time.monotonic()
        wait = until_tick(min(max(0.0, wait), _HEARTBEAT_SECONDS - tick), tick)
        appeared, loop = self._table.appeared, asyncio.get_running_loop()
        timer = loop.call_later(wait, appeared.set)
        try:
            await appeared.wait()
        finally:
            timer.cancel()
        appeared.clear()

    def _start(self, item: Due) -> bool:
        """Start a poll; whether it did: a target may have gone while it waited."""
        row, due = item
        if row.is_gone or self._is_cancelled:
            return False
        row.started = started = time.monotonic()
        self._instrumentation.started(max(0.0, started - due))
        poll = RunningPoll(row, self._cadences.of(row), row.is_slow, clock.now(), started)
        plan = self._known_plan(row)
        if plan is None or not self._steady.begin(poll, plan):
            self._polls.create_task(self._poll(poll))
        return True

    def _end_steady(self, poll: RunningPoll, plan: Plan, runs: list[DirectRun]) -> None:
        """Publish a poll that needed no task, or go on with it in one."""
        try:
            if not self._steady.repeats(poll, plan, runs, self._table.interval):
                poll.row.remember_repeats()
                result = self._steady.result(poll, plan, runs)
                if result is None:
                    self._polls.create_task(self._poll(poll))
                    return
                if not poll.row.is_gone:
                    self._take(poll.row, result)
        except Exception as error:  # noqa: BLE001 - one target must not cost the others
            self._report_failed(poll.row, error)
        self._give_back(poll)

    async def _poll(self, poll: RunningPoll) -> None:
        """Poll and publish. However that ends, the slot is given back."""
        row = poll.row
        row.remember_repeats()
        try:
            await current_turn().wait()  # many start at once, each makes its plan
            result = await self._result(poll)
            if not row.is_gone:
                self._take(row, result)
        except asyncio.CancelledError:
            if self._is_cancelled:
                raise
            self._report_cancelled(row)
        except Exception as error:  # noqa: BLE001 - one target must not cost the others
            self._report_failed(row, error)
        finally:
            self._give_back(poll)

    def _give_back(self, poll: RunningPoll) -> None:
        poll.row.is_running = poll.row.is_made_up = False
        if poll.cadences != FAST_ONLY and not poll.was_slow:
            self._table.slots.give_back_pages()
        self._table.slots.give_back(is_slow=poll.was_slow)

    def _report_failed(self, row: ScheduledTarget, error: Exception) -> None:
        """What this target sends or is costs its own poll and no other's; logged once a target."""
        row.polls += not row.is_made_up
        self._instrumentation.failed()
        if not row.has_failed:
            row.has_failed = True
            log.error("poll failed target=%s", row.target.key, exc_info=error)

    def _report_cancelled(self, row: ScheduledTarget) -> None:
        """A poll was cancelled though nobody ended the scheduler: a bug, logged once a target."""
        if not row.was_cancelled:
            row.was_cancelled = True
            log.error("poll cancelled by one of its probes target=%s", row.target.key)

    def _take(self, row: ScheduledTarget, result: PollResult) -> None:
        row.polls += not row.is_made_up
        row.remember(result.memory)
        slow, seen = self._config.poll.timeout / 2, result.observations
        row.is_slow = any(one.seconds > slow or one.outcome.is_silent for one in seen)
        refused = [one.detail for one in seen if one.outcome is Outcome.NO_ACCESS]
        row.pod_view_error = _pod_view_error(row, refused) if refused else ""
        self._publish(row, result)

    async def _result(self, poll: RunningPoll) -> PollResult:
        return await poll_target(
            self._plan(poll.row),
            poll.row.memory,
            poll.cadences,
            self._config,
            poll.at,
            in_mesh=self._cluster.in_mesh,
            step=clock.step(),
            pages=self._table.slots,
            webhook=self._cluster.webhook_path,
            instrumentation=self._instrumentation,
            hellos=self._hellos,
            begun=poll.begun,
        )

    def _known_plan(self, row: ScheduledTarget) -> Plan | None:
        """The target's plan, if this scheduler has made one for what the target is now."""
        is_current = row.planned_by is self._plans and row.planned_target is row.target
        return row.plan if is_current else None

    def _plan(self, row: ScheduledTarget) -> Plan:
        """The same, made when the target's first poll by this scheduler starts."""
        plan = self._known_plan(row)
        if plan is None:
            plan = row.plan = self._make_plan(row.target, self._config)
            row.steady = steady_probes(plan, FAST_ONLY, self._config.poll.timeout)
            row.planned_by, row.planned_target = self._plans, row.target
        return plan

    def _publish(self, row: ScheduledTarget, result: PollResult) -> None:
        record = result.record
        interval = row.memory.effective(self._table.interval)
        self._table.state.put(record, expiry(clock.now(), interval))
        cause = record.cause
        if cause != row.cause:
            log.info(
                "diagnosis changed target=%s was=%s now=%s",
                record.target.key,
                row.cause or "none",
                cause or "none",
            )
            row.cause = cause


def _is_ending(row: ScheduledTarget) -> bool:
    """Whether Kubernetes reports that the proxy ends or has ended: its pod view is empty then."""
    lifecycle = row.target.lifecycle
    return bool(lifecycle.terminating) or lifecycle.is_down


def _pod_view_error(row: ScheduledTarget, refused: Sequence[str]) -> str:
    """Why the pod's own view was refused to us, in the words of the first probe that found out."""
    return "" if _is_ending(row) else next(filter(None, refused), "")
