"""The steps of one poll: network, follow-ups, the pod view; each runs its probes concurrently."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from msgspec import Struct

from exporter.access.dialer import Dialer, PodView
from exporter.catalogue.gateway_servers import is_server
from exporter.model import (
    FAST_ONLY,
    HBONE_ROLES,
    Cadence,
    Expectation,
    Observation,
    Outcome,
    Probe,
    ProbeKind,
    Role,
    Timed,
)
from exporter.poll import hbone_hellos
from exporter.poll.hbone_hellos import HelloRate
from exporter.poll.hello_due import is_hello_due, server_hellos
from exporter.poll.page_due import PageSlots, agents_to_ask
from exporter.poll.plan import Plan
from exporter.poll.pod_view import by_closing, is_abnormal, is_whole, is_worrying
from exporter.poll.poll_inputs import PollInputs
from exporter.probes.attempt import Attempt, Prober
from exporter.probes.probers import PROBERS
from exporter.probes.runner import probe_all


@dataclass(frozen=True, slots=True)
class ProbeInstrumentation:
    """What polls and probes are counted by.

    `started(lateness)`: a poll started so many seconds after it was due. `skipped()`: one was not
    started because the one before still ran. `under_way(more)`: so many probes more, or less, run.
    `ended(probes, role)`: probes of a target of this role ended. `failed()`: a poll raised,
    and nothing of it is published.
    """

    under_way: Callable[[int], None] = lambda _more: None
    ended: Callable[[Sequence[Timed], Role], None] = lambda _probes, _role: None
    started: Callable[[float], None] = lambda _lateness: None
    skipped: Callable[[], None] = lambda: None
    failed: Callable[[], None] = lambda: None


NO_INSTRUMENTATION = ProbeInstrumentation()


class PollSteps(Struct, frozen=True, eq=False, kw_only=True):
    """The steps of one poll; the probes of a step run concurrently.

    The fields are those of `poll_target`.
    """

    poll: PollInputs
    pages: PageSlots | None
    instrumentation: ProbeInstrumentation
    hellos: HelloRate

    async def probe_network(self) -> list[Observation]:
        """The control port and every port that is probed directly, on each address at once.

        A workload that was healthy is spared the connects that tell faults apart.
        """
        due, is_spared = self.poll.due, self.poll.memory.memo is not None
        return await self._run(
            [
                self._attempt(probe, part.dialer)
                for part in self.poll.plan.network
                for probe in part.probes
                if probe.kind.cadence in due and not (is_spared and probe.port in part.spared)
            ]
        )

    async def probe_further(self, seen: list[Observation]) -> list[Observation]:
        """What the network's answers call for, then the pod's own view; returns all that was seen.

        `seen`: what `probe_network` returned.
        """
        seen = await self._request_pages(seen)
        if follow_ups := self._follow_ups(seen):
            seen += await self._run(follow_ups)
        if self.poll.plan.pod is not None:
            seen += await self._probe_pod(self.poll.plan.pod, seen)
        return seen

    async def _request_pages(self, seen: list[Observation]) -> list[Observation]:
        """The same, with the agent's page where this poll is the first abnormal one."""
        pages = self.pages
        before = agents_to_ask(seen, self.poll.due, self.poll.memory, self.poll.now)
        if not before or (pages is not None and not pages.take_pages()):
            return seen
        try:
            return await self._with_pages(seen, before)
        finally:
            if pages is not None:
                pages.give_back_pages()

    async def _with_pages(
        self, seen: list[Observation], before: Sequence[Observation]
    ) -> list[Observation]:
        due = self.poll.due | {Cadence.PAGE}
        ways = {part.dialer.address: part.dialer for part in self.poll.plan.network}
        after = await self._run(
            [self._attempt(one.probe, ways[one.probe.address], due) for one in before]
        )
        again = {one.probe: one for one in after if one.outcome.proves}
        return [again.get(one.probe, one) for one in seen] if again else seen

    def _follow_ups(self, seen: Sequence[Observation]) -> list[tuple[Prober, Attempt]]:
        """15006: a hello through the control port, or 15006 itself where control refuses.

        Of a workload in ambient a hello to 15008, of a gateway hellos to its servers.
        """
        if self.poll.plan.target.role in HBONE_ROLES:
            return self._of_workload(seen)
        plan = self.poll.plan
        outcomes = {o.address: o.outcome for o in seen if o.probe.kind is ProbeKind.CONTROL}
        is_due = is_hello_due(self.poll, seen)
        attempts = []
        for part in plan.network:
            match outcomes.get(part.dialer.address):
                case Outcome.OK if is_due and part.hello:
                    attempts.append(self._attempt(part.hello, part.dialer))
                case Outcome.REFUSED if part.direct:
                    attempts.append(self._attempt(part.direct, part.dialer))
        ways = {part.dialer.address: part.dialer for part in plan.network}
        to_servers = server_hellos(self.poll, seen)
        return attempts + [self._attempt(probe, ways[probe.address]) for probe in to_servers]

    def _of_workload(self, seen: Sequence[Observation]) -> list[tuple[Prober, Attempt]]:
        """Hellos to 15008 that are due and within their rate; ports that were spared."""
        due = hbone_hellos.due_addresses(self.poll, seen)
        addresses = [one for one in due if self.hellos.take(time.monotonic())]
        asked = [
            self._attempt(part.hello, part.dialer)
            for part in self.poll.plan.network
            if part.hello and part.dialer.address in addresses
        ]
        if not all(one.outcome is Outcome.OK for one in seen):
            for part in self.poll.plan.network:
                more = hbone_hellos.spared_probes(part, seen)
                asked += [self._attempt(probe, part.dialer) for probe in more]
        return asked

    async def _probe_pod(self, pod: PodView, seen: Sequence[Observation]) -> list[Observation]:
        """The pod's own view; pages that the network already returned are not requested again."""
        plan = self.poll.plan
        probes = [probe for probe in plan.in_pod if probe.kind.cadence in self.poll.due]
        on_doubt = plan.on_doubt if hbone_hellos.is_doubtful(self.poll, seen) else None
        if on_doubt is not None and on_doubt not in probes:
            probes.append(on_doubt)
        if not probes:
            return []
        async with pod.entered(*by_closing(probes), urgent=is_abnormal(seen)) as dialer:
            if dialer is None:
                return [] if on_doubt is None else [Observation(on_doubt, Outcome.BLOCKED)]
            returned = {(o.probe.port, o.probe.kind) for o in seen if is_whole(o)}
            due = self.poll.due | self.poll.memory.view_owes
            due = due | {Cadence.DETAIL} if self._lost_a_server(seen) else due
            in_pod = await self._run(
                [
                    self._attempt(
                        probe, dialer, FAST_ONLY if (probe.port, probe.kind) in returned else due
                    )
                    for probe in probes
                ]
            )
        optional = {p.number for p in plan.ports if p.expectation is Expectation.OPTIONAL}
        pod.needs_attention = any(is_worrying(one) and one.port not in optional for one in in_pod)
        return in_pod

    def _lost_a_server(self, seen: Sequence[Observation]) -> bool:
        """Whether a gateway's server refuses: it may have been removed since admin was read."""
        refused = {o.port for o in seen if o.outcome is Outcome.REFUSED}
        return any(port.number in refused for port in self.poll.plan.ports if is_server(port))

    async def probe_new_servers(self, before: Plan) -> list[Observation]:
        """The servers that this poll found and that the plan `before` did not have."""
        plan = self.poll.plan
        planned = {probe for part in before.network for probe in part.probes} | {*before.in_pod}
        if plan.network:
            return await self._run(
                [
                    self._attempt(probe, part.dialer)
                    for part in plan.network
                    for probe in part.probes
                    if probe not in planned
                ]
            )
        new = [probe for probe in plan.in_pod if probe not in planned]
        if plan.pod is None or not new:
            return []
        async with plan.pod.entered([probe.port for probe in new], [], urgent=False) as dialer:
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
        self.instrumentation.ended(seen, self.poll.plan.target.role)
        return seen

    def _attempt(
        self, probe: Probe, dialer: Dialer, due: frozenset[Cadence] | None = None
    ) -> tuple[Prober, Attempt]:
        plan = self.poll.plan
        is_hbone = probe.kind is ProbeKind.HBONE_HELLO
        timeout = hbone_hellos.DEADLINE_SECONDS if is_hbone else self.poll.config.poll.timeout
        attempt = Attempt(dialer, probe, due or self.poll.due, timeout, plan.target, plan.options)
        return PROBERS[probe.kind], attempt
