"""One poll of one target: probe its ports, judge what was seen.

In: a target, what its last polls left (`Memory`) and which cadences are due. Out: a `PollResult`
with the record, the next memory and the raw observations. The scheduler, `/probe` and `check` all
call it, so a verdict never depends on the caller.

Strategy: the control port and the genuine ports first; then what their answers call for (the
TLS hello, or 15006 itself); then the pod's own view. One attempt each, no retries.
"""

import time
from collections.abc import Container, Iterator, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from exporter.access.dialer import Dialer
from exporter.catalogue.gateway_servers import is_server, newest_admin
from exporter.config import Config
from exporter.diagnosis import diagnose
from exporter.model import (
    HBONE_ROLES,
    Cadence,
    Expectation,
    Memory,
    Observation,
    Outcome,
    Probe,
    ProbeKind,
    Target,
    TargetRecord,
    WebhookPath,
)
from exporter.model.shared import shared_mapping
from exporter.poll import hbone_hellos
from exporter.poll.hbone_hellos import HelloRate
from exporter.poll.hello_due import is_hello_due
from exporter.poll.instrumentation import NO_INSTRUMENTATION, ProbeInstrumentation
from exporter.poll.page_due import agents_to_ask, with_page
from exporter.poll.plan import Plan, PodViewFactory, no_pod_view, plan_of, with_servers
from exporter.poll.pod_view import by_closing, is_abnormal, is_whole, is_worrying
from exporter.poll.server_hellos import server_hellos
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
    hellos: HelloRate | None = None,
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
        hellos: how many hellos may go to 15008 of all workloads together; None for this one's own.
    """
    began = time.monotonic()
    without_servers = plan
    plan = with_servers(without_servers, memory.admin.value if memory.admin else None)
    if adds_page:
        due = with_page(due, plan.target.role, memory, config, now)
    poll = _Poll(plan, due, config.poll.timeout, instrumentation, hellos or HelloRate())
    seen = await poll.probe_network(memory)
    seen = await poll.request_pages(seen, memory, now)
    seen += await poll.follow_up(seen, memory, config, now, step)
    is_open = hbone_hellos.is_doubtful(plan.target, plan.on_doubt, seen, memory, due)
    seen += await poll.probe_pod(seen, is_doubtful=is_open)
    if admin := newest_admin(seen):
        before, plan = plan, with_servers(without_servers, admin)
        seen += await replace(poll, plan=plan).probe_new_servers(before)
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
    hellos: HelloRate

    async def probe_network(self, memory: Memory) -> list[Observation]:
        """The control port and every port that is probed directly, on each address at once.

        A workload that was healthy is spared the connects that tell faults apart.
        """
        due, is_spared = self.due, memory.memo is not None
        return await self._run(
            [
                self._attempt(probe, part.dialer)
                for part in self.plan.network
                for probe in part.probes
                if probe.kind.cadence in due and not (is_spared and probe.port in part.spared)
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
        """15006: a hello through the control port, or 15006 itself where control refuses.

        Of a workload in ambient a hello to 15008.
        """
        is_identity_due = Cadence.IDENTITY in self.due
        if self.plan.target.role in HBONE_ROLES:
            due = hbone_hellos.due_addresses(
                self.plan.target,
                seen,
                memory,
                config,
                now,
                due_identity=is_identity_due,
                step=step,
            )
            addresses = [one for one in due if self.hellos.take(time.monotonic())]
            asked = [
                self._attempt(part.hello, part.dialer)
                for part in self.plan.network
                if part.hello and part.dialer.address in addresses
            ]
            for part in self.plan.network:
                more = hbone_hellos.spared_probes(part, seen)
                asked += [self._attempt(probe, part.dialer) for probe in more]
            return await self._run(asked)
        outcomes = {o.address: o.outcome for o in seen if o.probe.kind is ProbeKind.CONTROL}
        is_due = is_hello_due(self.plan.target, seen, memory, config, now, is_identity_due, step)
        attempts = []
        for part in self.plan.network:
            match outcomes.get(part.dialer.address):
                case Outcome.OK if is_due and part.hello:
                    attempts.append(self._attempt(part.hello, part.dialer))
                case Outcome.REFUSED if part.direct:
                    attempts.append(self._attempt(part.direct, part.dialer))
        if config.poll.hello:
            attempts += self._server_hellos(seen, memory)
        return await self._run(attempts)

    def _server_hellos(
        self, seen: Sequence[Observation], memory: Memory
    ) -> Iterator[tuple[Prober, Attempt]]:
        """Those to a gateway's servers."""
        ways = {part.dialer.address: part.dialer for part in self.plan.network}
        due = Cadence.IDENTITY in self.due
        for probe in server_hellos(self.plan, seen, memory, is_identity_due=due):
            yield self._attempt(probe, ways[probe.address])

    async def probe_pod(
        self, seen: Sequence[Observation], *, is_doubtful: bool
    ) -> list[Observation]:
        """The pod's own view; pages that the network already returned are not requested again."""
        pod = self.plan.pod
        if pod is None:
            return []
        probes = [probe for probe in self.plan.in_pod if probe.kind.cadence in self.due]
        on_doubt = self.plan.on_doubt if is_doubtful else None
        if on_doubt is not None and on_doubt not in probes:
            probes.append(on_doubt)
        if not probes:
            return []
        async with pod.entered(*by_closing(probes), urgent=is_abnormal(seen)) as dialer:
            if dialer is None:
                return []
            returned = {(o.probe.port, o.probe.kind) for o in seen if is_whole(o)}
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
        pod.needs_attention = any(is_worrying(one) and one.port not in optional for one in in_pod)
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
        timeout = (
            hbone_hellos.DEADLINE_SECONDS if probe.kind is ProbeKind.HBONE_HELLO else self.timeout
        )
        attempt = Attempt(dialer, probe, due or self.due, timeout, plan.target, plan.options)
        return PROBERS[probe.kind], attempt


def _long(
    before: Mapping[Cadence, float], due: Container[Cadence], took: float, interval: float
) -> Mapping[Cadence, float]:
    """How long the last poll of each cadence took, where it took longer than the interval."""
    kept = {cadence: seconds for cadence, seconds in before.items() if cadence not in due}
    if took > interval:
        kept |= {cadence: took for cadence in Cadence if cadence in due}
    return shared_mapping(kept)
