"""One poll of one target: probe its ports, judge what was seen.

In: a target, what its last polls left (`Memory`) and which cadences are due. Out: a `PollResult`
with the record, the next memory and the raw observations. The scheduler, `/probe` and `check` all
call it, so a verdict never depends on the caller.

Strategy: the control port and the uncaptured ports first; then what their answers call for (the
TLS hello, or 15006 itself); then the pod's own view. One attempt each, no retries.
"""

import time
from collections.abc import Container, Iterable, Mapping

from msgspec import Struct
from msgspec.structs import replace

from exporter.catalogue.gateway_servers import newest_admin
from exporter.config import Config
from exporter.diagnosis import diagnose
from exporter.model import Cadence, Memory, Observation, Target, TargetRecord, View, WebhookPath
from exporter.model.interning import shared, shared_mapping
from exporter.poll.hbone_hellos import HelloRate
from exporter.poll.page_due import PageSlots, with_pages
from exporter.poll.plan import Plan, PodViewFactory, no_pod_view, plan_of, with_servers
from exporter.poll.poll_inputs import PollInputs
from exporter.poll.poll_steps import NO_INSTRUMENTATION, PollSteps, ProbeInstrumentation
from exporter.turn import current_turn


class PollResult(Struct, frozen=True):
    """The results of one poll: the record to publish, the memory to keep, the raw observations."""

    record: TargetRecord
    memory: Memory
    observations: tuple[Observation, ...]


class Begun(Struct, frozen=True):
    """A poll so far: what it has seen, and when it started by the monotonic clock."""

    seen: list[Observation]
    started: float


async def poll_once(  # noqa: PLR0913 - as `poll_target`
    target: Target,
    memory: Memory,
    due: frozenset[Cadence],
    config: Config,
    now: float,
    *,
    in_mesh: bool = False,
    step: float = 0.0,
    forward: PodViewFactory = no_pod_view,
) -> PollResult:
    """Poll a target once that the scheduler does not poll: plan and poll in one."""
    plan = plan_of(target, config, forward)
    return await poll_target(plan, memory, due, config, now, in_mesh=in_mesh, step=step)


async def poll_target(  # noqa: PLR0913 - the scheduler hands in what it counts and remembers
    plan: Plan,
    memory: Memory,
    due: frozenset[Cadence],
    config: Config,
    now: float,
    *,
    in_mesh: bool = False,
    step: float = 0.0,
    pages: PageSlots | None = None,
    webhook: WebhookPath | None = None,
    instrumentation: ProbeInstrumentation = NO_INSTRUMENTATION,
    hellos: HelloRate | None = None,
    begun: Begun | None = None,
) -> PollResult:
    """Poll a target by its plan.

    Args:
        plan: what to send, from `plan_of`.
        memory: what the last poll returned; `Memory()` for the first.
        due: the cadences that are due now; FAST is always among them.
        config: intervals, timeouts and switches.
        now: seconds since the epoch, by a clock that nobody sets.
        in_mesh: the exporter sits behind a sidecar, so nothing it sees can be trusted.
        step: how far the wall clock is ahead of that; the record's own times are the wall clock's.
        pages: what bounds the agents' pages; who hands it in adds those of abnormal targets itself.
        webhook: what the API server's last dry run of the injection webhook showed.
        instrumentation: what is called as probes start and end.
        hellos: how many hellos may go to 15008 of all workloads together; None for this one's own.
        begun: what was done of it already.
    """
    started = begun.started if begun else time.monotonic()
    without_servers, plan = plan, with_servers(plan, memory.admin.value if memory.admin else None)
    due &= plan.cadences
    if pages is None:
        due = with_pages(due, plan.target, memory, config, now)
    poll = PollInputs(plan, memory, due, config, now, step)
    steps = PollSteps(
        poll=poll, pages=pages, instrumentation=instrumentation, hellos=hellos or HelloRate()
    )
    seen = begun.seen if begun else await steps.probe_network()
    seen = await steps.probe_further(seen)
    if admin := newest_admin(seen):
        poll = replace(poll, plan=with_servers(without_servers, admin))
        seen += await replace(steps, poll=poll).probe_new_servers(plan)
    begun = Begun(seen, started)
    await current_turn().wait()
    return conclude(poll, begun, in_mesh=in_mesh, webhook=webhook)


def conclude(
    poll: PollInputs, begun: Begun, *, in_mesh: bool = False, webhook: WebhookPath | None = None
) -> PollResult:
    """The result of a poll that has seen all that it wanted to."""
    plan, memory, config, now, step = poll.plan, poll.memory, poll.config, poll.now, poll.step
    seen, took = begun.seen, time.monotonic() - begun.started
    polled = {**memory.polled}
    for cadence in poll.due:
        polled[cadence] = now  # merging two mappings makes one with room for both
    memory = replace(
        memory,
        polled=polled,
        took=_long(memory.took, poll.due, took, config.poll.interval),
        view_interval=plan.pod.seconds_between_views() if plan.pod else 0.0,
        view_owes=_owed_by_view(poll, seen),
    )
    record, remembered = diagnose(
        plan.target,
        plan.ports,
        seen,
        memory,
        config,
        now,
        in_mesh=in_mesh,
        step=step,
        webhook=webhook,
    )
    return PollResult(record.with_times_moved(step), remembered, tuple(seen))


_READ_IN_POD = frozenset({Cadence.DETAIL, Cadence.IDENTITY})
_NONE: frozenset[Cadence] = frozenset()


def _owed_by_view(poll: PollInputs, seen: Iterable[Observation]) -> frozenset[Cadence]:
    """The slower cadences that were due since the last view of the pod; the next one reads them.

    Of many pods few polls have a port-forward, and fewer still one while admin's pages are due.
    """
    plan, owed = poll.plan, poll.memory.view_owes
    if plan.pod is None or not plan.in_pod:
        return _NONE
    if any(one.view is View.POD and one.outcome.proves for one in seen):
        return _NONE
    return owed if poll.due & _READ_IN_POD <= owed else shared(owed | (poll.due & _READ_IN_POD))


def _long(
    before: Mapping[Cadence, float], due: Container[Cadence], took: float, interval: float
) -> Mapping[Cadence, float]:
    """How long the last poll of each cadence took, where it took longer than the interval."""
    if not before and took <= interval:
        return before
    kept = {cadence: seconds for cadence, seconds in before.items() if cadence not in due}
    if took > interval:
        kept |= {cadence: took for cadence in Cadence if cadence in due}
    return shared_mapping(kept)
