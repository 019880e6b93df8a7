"""One poll of one target: probe its ports, judge what was seen.

In: a target, what its last polls left (`Memory`) and which cadences are due. Out: a `PollResult`
with the record, the next memory and the raw observations. The scheduler, `/probe` and `check` all
call it, so a verdict never depends on the caller.

Strategy: the control port and the genuine ports first; then what their answers call for (the
TLS hello, or 15006 itself); then the pod's own view. One attempt each, no retries.
"""

import time
from collections.abc import Container, Iterable, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from exporter.access.dialer import Dialer
from exporter.catalogue.gateway_servers import is_server, newest_admin
from exporter.config import Config
from exporter.diagnosis import diagnose
from exporter.model import (
    AgentFacts,
    Cadence,
    Expectation,
    IstiodFacts,
    Memory,
    Observation,
    Outcome,
    Probe,
    ProbeKind,
    Target,
    TargetRecord,
    WebhookPath,
    ZtunnelFacts,
)
from exporter.model.shared import shared_mapping
from exporter.poll.hello_due import is_hello_due
from exporter.poll.instrumentation import NO_INSTRUMENTATION, ProbeInstrumentation
from exporter.poll.page_due import agents_to_ask, with_page
from exporter.poll.plan import Plan, PodViewFactory, no_pod_view, plan_of, with_servers
from exporter.probes.attempt import Attempt
from exporter.probes.probers import PROBERS
from exporter.probes.runner import Prober, probe_all

EVERY_CADENCE = frozenset(Cadence)
FAST_ONLY = frozenset({Cadence.FAST})


class PollResult(Struct, frozen=True):
    """The results of one poll: the record to publish, the memory to keep, the raw observations."""

    record: TargetRecord
    memory: Memory
    observations: tuple[Observation, ...]


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
    adds_page: bool = True,
    webhook: WebhookPath | None = None,
    instrumentation: ProbeInstrumentation = NO_INSTRUMENTATION,
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
        adds_page: add the agent's page where that of an abnormal target is due; the scheduler does.
        webhook: what the API server's last dry run of the injection webhook showed.
        instrumentation: what is called as probes start and end.
    """
    began = time.monotonic()
    without_servers = plan
    plan = with_servers(without_servers, memory.admin.value if memory.admin else None)
    if adds_page:
        due = with_page(due, plan.target.role, memory, config, now)
    poll = _Poll(plan, due, config.poll.timeout, instrumentation)
    seen = await poll.probe_network()
    seen = await poll.request_pages(seen, memory, now)
    seen += await poll.follow_up(seen, memory, config, now, step)
    seen += await poll.probe_pod(seen)
    if admin := newest_admin(seen):
        before, plan = plan, with_servers(without_servers, admin)
        seen += await _Poll(plan, due, config.poll.timeout, instrumentation).probe_new_servers(
            before
        )
    took = time.monotonic() - began
    memory = replace(
        memory,
        polled={**memory.polled, **dict.fromkeys(due, now)},
        took=_long(memory.took, due, took, config.poll.interval),
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


class _Poll(Struct, frozen=True, eq=False):
    """The steps of one poll; the probes of a step run concurrently."""

    plan: Plan
    due: frozenset[Cadence]
    timeout: float
    instrumentation: ProbeInstrumentation

    async def probe_network(self) -> list[Observation]:
        """The control port and every port that is probed directly, on each address at once."""
        due = self.due
        return await self._run(
            [
                self._attempt(probe, part.dialer)
                for part in self.plan.network
                for probe in part.probes
                if probe.kind.cadence in due
            ]
        )

    async def request_pages(
        self, seen: list[Observation], memory: Memory, now: float
    ) -> list[Observation]:
        """The same, with the agent's page where this poll is the first abnormal one."""
        before = agents_to_ask(seen, self.due, memory, now)
        due = self.due | {Cadence.PAGE}
        ways = {part.dialer.address: part.dialer for part in self.plan.network}
        after = await self._run(
            [self._attempt(one.probe, ways[one.probe.address], due) for one in before]
        )
        again = {one.probe: one for one in after if one.outcome.proves}
        return [again.get(one.probe, one) for one in seen] if again else seen

    async def follow_up(
        self, seen: Sequence[Observation], memory: Memory, config: Config, now: float, step: float
    ) -> list[Observation]:
        """15006: a hello through the control port, or 15006 itself where control refuses."""
        outcomes = {o.address: o.outcome for o in seen if o.probe.kind is ProbeKind.CONTROL}
        is_due = is_hello_due(
            self.plan.target, seen, memory, config, now, Cadence.IDENTITY in self.due, step
        )
        attempts = []
        for part in self.plan.network:
            match outcomes.get(part.dialer.address):
                case Outcome.OK if is_due and part.hello:
                    attempts.append(self._attempt(part.hello, part.dialer))
                case Outcome.REFUSED if part.direct:
                    attempts.append(self._attempt(part.direct, part.dialer))
        return await self._run(attempts)

    async def probe_pod(self, seen: Sequence[Observation]) -> list[Observation]:
        """The pod's own view; pages that the network already returned are not requested again."""
        pod = self.plan.pod
        if pod is None:
            return []
        probes = [probe for probe in self.plan.in_pod if probe.kind.cadence in self.due]
        async with pod.entered(*_by_closing(probes), urgent=_is_abnormal(seen)) as dialer:
            if dialer is None:
                return []
            returned = {(o.probe.port, o.probe.kind) for o in seen if _is_whole(o)}
            due = self.due | {Cadence.DETAIL} if self._lost_a_server(seen) else self.due
            in_pod = await self._run(
                [
                    self._attempt(
                        probe, dialer, FAST_ONLY if (probe.port, probe.kind) in returned else due
                    )
                    for probe in probes
                ]
            )
        optional = {p.number for p in self.plan.ports if p.expectation is Expectation.OPTIONAL}
        pod.needs_attention = any(_is_worrying(one) and one.port not in optional for one in in_pod)
        return in_pod

    def _lost_a_server(self, seen: Sequence[Observation]) -> bool:
        """Whether a gateway's server refuses: it may have been removed since admin was read."""
        refused = {o.port for o in seen if o.outcome is Outcome.REFUSED}
        return any(port.number in refused for port in self.plan.ports if is_server(port))

    async def probe_new_servers(self, before: Plan) -> list[Observation]:
        """The servers that this poll found and that the plan `before` did not have."""
        planned = {probe for part in before.network for probe in part.probes} | {*before.in_pod}
        if self.plan.network:
            return await self._run(
                [
                    self._attempt(probe, part.dialer)
                    for part in self.plan.network
                    for probe in part.probes
                    if probe not in planned
                ]
            )
        new = [probe for probe in self.plan.in_pod if probe not in planned]
        if self.plan.pod is None or not new:
            return []
        async with self.plan.pod.entered([probe.port for probe in new], [], urgent=False) as dialer:
            if dialer is None:
                return []
            return await self._run([self._attempt(probe, dialer) for probe in new])

    async def _run(self, attempts: Sequence[tuple[Prober, Attempt]]) -> list[Observation]:
        """Make these attempts concurrently."""
        if not attempts:
            return []
        self.instrumentation.under_way(len(attempts))
        try:
            seen = await probe_all(attempts)
        finally:
            self.instrumentation.under_way(-len(attempts))
        self.instrumentation.ended(seen, self.plan.target.role)
        return seen

    def _attempt(
        self, probe: Probe, dialer: Dialer, due: frozenset[Cadence] | None = None
    ) -> tuple[Prober, Attempt]:
        plan = self.plan
        attempt = Attempt(dialer, probe, due or self.due, self.timeout, plan.target, plan.options)
        return PROBERS[probe.kind], attempt


def _long(
    before: Mapping[Cadence, float], due: Container[Cadence], took: float, interval: float
) -> Mapping[Cadence, float]:
    """How long the last poll of each cadence took, where it took longer than the interval."""
    kept = {cadence: seconds for cadence, seconds in before.items() if cadence not in due}
    if took > interval:
        kept |= {cadence: took for cadence in Cadence if cadence in due}
    return shared_mapping(kept)


def _by_closing(probes: Iterable[Probe]) -> tuple[list[int], list[int]]:
    """The ports of the probes: those whose closing proves nothing, and those whose closing does."""
    together: list[int] = []
    apart: list[int] = []
    for probe in probes:
        if probe.kind is not ProbeKind.SOCKETS:
            (apart if probe.kind.is_answered_by_closing else together).append(probe.port)
    return together, apart


def _is_whole(observation: Observation) -> bool:
    """Whether the network's answer leaves nothing to request of this port in the pod view."""
    facts = observation.facts
    match facts:
        case AgentFacts() | ZtunnelFacts():
            whole = facts.page in (None, Outcome.OK, Outcome.TOO_LARGE)
        case IstiodFacts():
            whole = facts.syncz is not None
        case _:
            whole = True
    return observation.outcome is Outcome.OK and whole


def _is_abnormal(seen: Sequence[Observation]) -> bool:
    """Whether the network's answers call for the pod's view; admin is closed where all is well."""
    return any(
        one.outcome is not Outcome.OK for one in seen if one.probe.kind is not ProbeKind.EXPOSURE
    )


def _is_worrying(seen: Observation) -> bool:
    """Whether what the pod view showed is to be probed again soon."""
    is_fine = seen.outcome.proves or seen.outcome is Outcome.NO_ACCESS
    return not is_fine and seen.probe.kind is not ProbeKind.SOCKETS
