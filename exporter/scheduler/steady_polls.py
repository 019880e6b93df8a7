"""Polls of targets that were healthy, without a task: connects, a GET each, and what they mean.

Whatever else shows, the poll goes on in a task as any other, from what was seen.
"""

import time
from collections.abc import Callable, Sequence
from functools import partial

from msgspec import Struct

from exporter import clock
from exporter.config import Config
from exporter.diagnosis.memo import Shown
from exporter.model import FAST_ONLY, Cadence, ClusterRecord
from exporter.poll.plan import Plan
from exporter.poll.poll_inputs import PollInputs
from exporter.poll.poll_steps import ProbeInstrumentation
from exporter.poll.poll_target import Begun, PollResult, conclude
from exporter.poll.steady_poll import SteadyProbes, is_all, repeats_after, steady_probes
from exporter.probes.attempt import ProbeResult
from exporter.probes.direct_runs import DirectRun, DirectRuns
from exporter.scheduler.target_table import ScheduledTarget
from exporter.state import State, expiry


class RunningPoll(Struct, eq=False):
    """One poll that runs. `at`: seconds since the epoch; `started`: by the monotonic clock."""

    row: ScheduledTarget
    cadences: frozenset[Cadence]
    was_slow: bool
    at: float
    started: float
    begun: Begun | None = None


Ended = Callable[[RunningPoll, Plan, list[DirectRun]], None]
"""Is called with a poll, its plan and all its probes, which have ended."""


class SteadyPolls:
    """Those of one configuration that run."""

    def __init__(
        self,
        config: Config,
        state: State,
        cluster: ClusterRecord,
        instrumentation: ProbeInstrumentation,
        ended: Ended,
    ) -> None:
        self._config = config
        self._state = state
        self._cluster = cluster
        self._instrumentation = instrumentation
        self._ended = ended
        self._runs: DirectRuns | None = None
        self._under_way = 0

    def begin(self, poll: RunningPoll, plan: Plan) -> bool:
        """Start a poll where it is one of these; whether it is."""
        memory, probes = poll.row.memory, self._probes_of(poll, plan)
        if not probes or self._cluster.in_mesh:
            return False
        if memory.memo is None or memory.admin is not None:  # which may name more ports
            return False
        self._count(len(probes))
        if self._runs is None:
            self._runs = DirectRuns()
        self._runs.begin(probes, poll.started, partial(self._seen, poll, plan))
        return True

    def _probes_of(self, poll: RunningPoll, plan: Plan) -> SteadyProbes:
        """What it sends; empty where it is none of these, as where hellos are due."""
        if not poll.row.steady or poll.cadences == FAST_ONLY:
            return poll.row.steady
        if Cadence.IDENTITY in poll.cadences:
            return ()
        return steady_probes(plan, poll.cadences, self._config.poll.timeout)

    def _seen(self, poll: RunningPoll, plan: Plan, runs: list[DirectRun]) -> None:
        self._count(-len(runs))
        self._instrumentation.ended(runs, plan.target.role)
        self._ended(poll, plan, runs)

    def repeats(
        self, poll: RunningPoll, plan: Plan, runs: list[DirectRun], interval: float
    ) -> bool:
        """Whether it saw what the judged poll before it saw; then it is counted as that.

        Only polls of the fast cadence are. `interval`: seconds between polls.
        """
        row, step = poll.row, clock.step()
        if poll.cadences != FAST_ONLY or row.is_gone or row.is_slow or self._cluster.in_mesh:
            return False
        known = row.repeats
        if known is None:
            known = repeats_after(self._inputs(poll, plan), row.steady)
            if known is None:
                return False
            row.count_repeats(known)
            self._state.repeat(row.target.key, known)
        if poll.at >= known.until or step != known.step:
            return False
        if time.monotonic() - poll.started >= known.slow:
            return False
        seconds = _seconds_of_same(runs, known.shown)
        if seconds is None:
            return False
        known.polls += 1
        known.at = poll.at
        known.seconds = seconds
        known.expires = expiry(poll.at, interval)
        row.polls += not row.is_made_up
        return True

    def result(self, poll: RunningPoll, plan: Plan, runs: list[DirectRun]) -> PollResult | None:
        """The result of one that is no repeat; None where something follows upon what it saw."""
        begun = poll.begun = Begun([run.observation() for run in runs], poll.started)
        inputs = self._inputs(poll, plan)
        if self._cluster.in_mesh or not is_all(inputs, begun.seen):
            return None
        return conclude(inputs, begun)

    def _inputs(self, poll: RunningPoll, plan: Plan) -> PollInputs:
        row = poll.row
        return PollInputs(plan, row.memory, poll.cadences, self._config, poll.at, clock.step())

    async def wait(self) -> None:
        """Until none runs."""
        if self._runs is not None:
            await self._runs.wait()

    def cancel(self) -> None:
        """Nobody waits for those that run."""
        if self._runs is not None:
            self._runs.cancel()
        self._count(-self._under_way)

    def _count(self, more: int) -> None:
        self._under_way += more
        self._instrumentation.under_way(more)


def _seconds_of_same(runs: list[DirectRun], known: Sequence[Shown]) -> tuple[float, ...] | None:
    """How long each probe took; None unless each ended as the one before."""
    seconds = []
    for run, before in zip(runs, known, strict=True):
        result: ProbeResult = run.result  # type: ignore[assignment] # it has ended
        if result.outcome is not before.outcome or result.detail != before.detail:
            return None
        if result.facts != before.facts:
            return None
        seconds.append(run.seconds)
    return tuple(seconds)
