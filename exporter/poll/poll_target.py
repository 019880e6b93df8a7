"""One look at one target: probe its ports, conclude what is so.

In: a target, what its last polls left (`Memory`) and which cadences are due. Out: a `PollResult`
with the record, the next memory and the raw observations. The poller, `/probe` and `check` all call
it, so a verdict never depends on who asked.

Strategy: the control port and the genuine ports first; then what their answers call for (the
TLS hello, or 15006 itself); then the pod's own view. One attempt each, no retries.
"""

import time
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass

from msgspec import Struct
from msgspec.structs import replace

from exporter.access.dialer import Dialer
from exporter.catalogue import TargetPort
from exporter.catalogue.gateway_servers import is_server, newest_admin
from exporter.config import Config
from exporter.diagnosis import diagnose
from exporter.model import (
    PROVING,
    AdminFacts,
    AgentFacts,
    Cadence,
    Expectation,
    IstiodFacts,
    Memory,
    Observation,
    Outcome,
    Role,
    Target,
    TargetRecord,
    WebhookPath,
)
from exporter.poll.follow_up import is_hello_due
from exporter.poll.plan import (
    SOCKETS,
    Plan,
    PodViewFactory,
    no_pod_view,
    plan_of,
    with_servers,
)
from exporter.probes.attempt import Attempt
from exporter.probes.probers import ENDED_BY_CLOSING, PROBERS
from exporter.probes.runner import Prober, probe_all

EVERY_CADENCE = frozenset(Cadence)
FAST_ONLY = frozenset({Cadence.FAST})

_FOLLOWING = frozenset({"hello"})
"""Probes that follow upon the answers of others."""

_NOT_FAST = _FOLLOWING | {"exposure"}
"""Probes that only the identity cadence starts with."""


@dataclass(frozen=True, slots=True)
class ProbeInstrumentation:
    """Who wants to know of probes: how many are under way more or less, and what they saw."""

    under_way: Callable[[int], None] = lambda _more: None
    ended: Callable[[Sequence[Observation], Role], None] = lambda _observations, _role: None


NO_INSTRUMENTATION = ProbeInstrumentation()


class PollResult(Struct, frozen=True):
    """What one look brought: the record to publish, the memory to keep, the raw observations.

    `repeats`: the record says what the last one said, but for its times.
    """

    record: TargetRecord
    memory: Memory
    observations: tuple[Observation, ...]
    repeats: bool = False


async def look(  # noqa: PLR0913 - as `poll_target`
    target: Target,
    memory: Memory,
    due: frozenset[Cadence],
    config: Config,
    now: float,
    *,
    in_mesh: bool = False,
    forward: PodViewFactory = no_pod_view,
) -> PollResult:
    """Look once at a target that is not polled: plan and look in one."""
    plan = plan_of(target, config, forward)
    return await poll_target(plan, memory, due, config, now, in_mesh=in_mesh)


async def poll_target(  # noqa: PLR0913 - the poller hands in what it counts and knows
    plan: Plan,
    memory: Memory,
    due: frozenset[Cadence],
    config: Config,
    now: float,
    *,
    in_mesh: bool = False,
    webhook: WebhookPath | None = None,
    meter: ProbeInstrumentation = NO_INSTRUMENTATION,
) -> PollResult:
    """Look at a target by its plan.

    Args:
        plan: what to ask, from `plan_of`.
        memory: what the last look returned; `Memory()` for the first.
        due: the cadences to ask now; FAST is always among them.
        config: intervals, timeouts and switches.
        now: seconds since the epoch.
        in_mesh: the exporter sits behind a sidecar, so nothing it sees can be trusted.
        webhook: what the API server's last try of the injection webhook showed.
        meter: is told of the probes.
    """
    began = time.monotonic()
    bare = plan
    plan = with_servers(bare, memory.admin.value if memory.admin else None)
    asker = _Poll(plan, due, config.poll.timeout, meter)
    seen = await asker.probe_network()
    seen += await asker.follow_up(seen, memory, config, now)
    seen += await asker.probe_pod(seen)
    if admin := newest_admin(seen):
        known, plan = plan, with_servers(bare, admin)
        seen += await _Poll(plan, due, config.poll.timeout, meter).probe_new_servers(known)
    took = time.monotonic() - began
    memory = replace(
        memory,
        polled={**memory.polled, **dict.fromkeys(due, now)},
        took={**memory.took, **dict.fromkeys(due, took)},
    )
    record, remembered = diagnose(
        plan.target,
        plan.ports,
        seen,
        memory,
        config,
        now,
        control=plan.control,
        in_mesh=in_mesh,
        webhook=webhook,
    )
    repeats = remembered.steady is not None and remembered.steady is memory.steady
    return PollResult(record, remembered, tuple(seen), repeats)


class _Poll(Struct, frozen=True, eq=False):
    """The waves of one look."""

    plan: Plan
    due: frozenset[Cadence]
    timeout: float
    meter: ProbeInstrumentation

    async def probe_network(self) -> list[Observation]:
        """The control port and every port that is asked directly, on each address at once."""
        plan, due = self.plan, self.due
        left_out = _FOLLOWING if Cadence.IDENTITY in due else _NOT_FAST
        asked = [port for port in plan.network if port.probe not in left_out]
        if plan.knock is not None:
            asked.append(plan.knock)
        return await self._all(
            [self._ask(port.probe, port, dialer, due) for dialer in plan.dialers for port in asked]
        )

    async def follow_up(
        self, seen: Sequence[Observation], memory: Memory, config: Config, now: float
    ) -> list[Observation]:
        """15006: a hello through the control port, or a look at itself where control refuses."""
        inbound = next((port for port in self.plan.network if port.probe == "hello"), None)
        if inbound is None or self.plan.control is None:
            return []
        hello = is_hello_due(
            self.plan.target, seen, memory, config, now, Cadence.IDENTITY in self.due
        )
        control = {o.address: o.outcome for o in seen if o.port == self.plan.control}
        visits = []
        for dialer in self.plan.dialers:
            match control[dialer.address]:
                case Outcome.OK if hello:
                    visits.append(self._ask("hello", inbound, dialer, self.due))
                case Outcome.REFUSED:
                    visits.append(self._ask("blackhole", inbound, dialer, self.due))
        return await self._all(visits)

    async def probe_pod(self, seen: Sequence[Observation]) -> list[Observation]:
        """The pod's own view; pages that the network already brought are not asked again."""
        pod = self.plan.pod
        if pod is None:
            return []
        asked = [p for p in self.plan.inside if p is not SOCKETS or Cadence.DETAIL in self.due]
        apart = [port.number for port in asked if port.pod_probe in ENDED_BY_CLOSING]
        together = [p.number for p in asked if p.number not in apart and p is not SOCKETS]
        async with pod.entered(together, apart, urgent=_is_abnormal(seen)) as dialer:
            if dialer is None:
                return []
            answered = {o.port for o in seen if _told_all(o)}
            due = self.due | {Cadence.DETAIL} if self._doubts(seen) else self.due
            inside = await self._all(
                [
                    self._ask(
                        port.pod_probe, port, dialer, FAST_ONLY if _is_told(port, answered) else due
                    )
                    for port in asked
                ]
            )
        pod.needs_attention = any(map(_is_worrying, asked, inside))
        return inside

    def _doubts(self, seen: Sequence[Observation]) -> bool:
        """Whether a gateway's server refuses: it may have been taken away since admin was asked."""
        refused = {o.port for o in seen if o.outcome is Outcome.REFUSED}
        return any(port.number in refused for port in self.plan.network if is_server(port))

    async def probe_new_servers(self, known: Plan) -> list[Observation]:
        """The servers that were learnt of in this look."""
        before = known.network if known.dialers else known.inside
        numbers = {port.number for port in before}
        new = [port for port in self.plan.ports if is_server(port) and port.number not in numbers]
        if self.plan.dialers:
            asked = [(port, dialer) for dialer in self.plan.dialers for port in new]
            return await self._all([self._ask(p.probe, p, d, self.due) for p, d in asked])
        if self.plan.pod is None or not new:
            return []
        async with self.plan.pod.entered([port.number for port in new], [], urgent=False) as dialer:
            if dialer is None:
                return []
            return await self._all([self._ask(p.pod_probe, p, dialer, self.due) for p in new])

    async def _all(self, visits: Sequence[tuple[Prober, Attempt]]) -> list[Observation]:
        """Make the visits side by side."""
        if not visits:
            return []
        self.meter.under_way(len(visits))
        try:
            seen = await probe_all(visits)
        finally:
            self.meter.under_way(-len(visits))
        self.meter.ended(seen, self.plan.target.role)
        return seen

    def _ask(
        self, name: str, port: TargetPort, dialer: Dialer, due: frozenset[Cadence]
    ) -> tuple[Prober, Attempt]:
        visit = Attempt(dialer, port, due, self.timeout, self.plan.target, self.plan.options)
        return PROBERS[name], visit


def _is_told(port: TargetPort, answered: Container[int]) -> bool:
    """Whether the network has brought this port's pages already."""
    return bool(port.probe) and port.number in answered


def _told_all(observation: Observation) -> bool:
    """Whether the network's answer leaves nothing to ask of this port inside the pod."""
    facts = observation.facts
    match facts:
        case AgentFacts():
            whole = facts.page in (None, Outcome.OK)
        case IstiodFacts():
            whole = facts.syncz is not None
        case _:
            whole = True
    return observation.outcome is Outcome.OK and whole


def _is_abnormal(seen: Sequence[Observation]) -> bool:
    """Whether the network's answers call for a look from inside; a closed admin is as it should."""
    return any(o.outcome is not Outcome.OK for o in seen if not isinstance(o.facts, AdminFacts))


def _is_worrying(port: TargetPort, seen: Observation) -> bool:
    """Whether what was seen inside is to be looked at again soon."""
    is_fine = seen.outcome in PROVING or seen.outcome is Outcome.NO_ACCESS
    return not is_fine and port.expectation is not Expectation.OPTIONAL
