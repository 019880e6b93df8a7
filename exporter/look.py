"""One look at one target: probe its ports, conclude what is so.

In: a target, what its last polls left (`Memory`) and which cadences are due. Out: a `Look` with
the record, the next memory and the raw observations. The poller, `/probe` and `check` all call
it, so a verdict never depends on who asked.

Strategy: the control port and the genuine ports first; then what their answers call for (the
TLS hello, or 15006 itself); then the pod's own view. One attempt each, no retries.
"""

from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, replace
from functools import partial

from exporter.access import Dialer, PodView
from exporter.access.direct import Direct
from exporter.access.netns import Netns
from exporter.access.processes import processes_under
from exporter.catalogue import Port, TargetPort, control_port, ports_of
from exporter.config import Config
from exporter.diagnosis import diagnose, is_server, learnt_servers, newest_admin, wants_hello
from exporter.model import (
    PROVING,
    SOCKETS_PORT,
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
from exporter.probes import (
    ENDED_BY_CLOSING,
    PROBERS,
    MeshTrust,
    ProbeOptions,
    Prober,
    Visit,
    probe_all,
)

EVERY_CADENCE = frozenset(Cadence)
FAST_ONLY = frozenset({Cadence.FAST})


@dataclass(frozen=True, slots=True)
class Meter:
    """Who wants to know of probes: how many begin, and each one that ended.

    A look that is cancelled takes back what it had begun.
    """

    begun: Callable[[int], None] = lambda _probes: None
    ended: Callable[[Observation, Role], None] = lambda _observation, _role: None


UNMETERED = Meter()


@dataclass(frozen=True, slots=True)
class Look:
    """What one look brought: the record to publish, the memory to keep, the raw observations."""

    record: TargetRecord
    memory: Memory
    observations: tuple[Observation, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """What is asked of one target on every look; made once a target.

    `control` is the control port's number, None where capture cannot be shown.
    """

    target: Target
    ports: tuple[TargetPort, ...]
    control: int | None
    network: tuple[TargetPort, ...]
    inside: tuple[TargetPort, ...]
    dialers: tuple[Dialer, ...]
    pod: PodView | None
    options: ProbeOptions


Forward = Callable[[Target], PodView | None]
"""The way into a target that has no netns; None for none."""


def no_forward(_target: Target) -> None:
    """No way into a target that has no netns."""
    return


def plan_of(target: Target, config: Config, forward: Forward = no_forward) -> Plan:
    """What to ask of this target, from its role, its settings and the configuration."""
    ports = ports_of(target, config.ports, applications=config.poll.application_ports)
    control = control_port(target, config.poll.control_port)
    asked = {"exposure": config.poll.exposure, "hello": config.poll.hello}
    network = tuple(port for port in ports if port.probe and asked.get(port.probe, True))
    pod: PodView | None = _inside(target, config)
    tables = (_SOCKETS,) if pod else ()
    if pod is None and target.addresses:
        pod = forward(target)
    inside = (*(port for port in ports if port.pod_probe), *tables) if pod else ()
    return Plan(
        target=target,
        ports=ports,
        control=control,
        network=network,
        inside=inside,
        dialers=tuple(Direct(address) for address in target.addresses),
        pod=pod,
        options=ProbeOptions(
            control=control,
            application_probes=config.poll.application_probes,
            trust=_trust_of(target, config),
        ),
    )


def _with_servers(plan: Plan, admin: AdminFacts | None) -> Plan:
    """The plan with the servers that a gateway's Envoy was told of, which nothing else tells.

    A connect from the network is proof there, so inside they are asked only for want of one.
    """
    learnt = learnt_servers(plan.target, plan.ports, admin)
    if not learnt:
        return plan
    numbers = {port.number for port in learnt}

    def with_learnt(ports: tuple[TargetPort, ...]) -> tuple[TargetPort, ...]:
        return (*(port for port in ports if port.number not in numbers), *learnt)

    return replace(
        plan,
        ports=with_learnt(plan.ports),
        network=with_learnt(plan.network),
        inside=plan.inside if plan.dialers else with_learnt(plan.inside),
    )


def _inside(target: Target, config: Config) -> Netns | None:
    """How this target is seen from inside: by the namespace it names, or its pod's processes."""
    if not target.addresses:
        return None
    if target.netns:
        return Netns(target.netns, *target.addresses)
    if config.access.loopback == "netns" and target.container_id:
        node = processes_under(config.access.netns.proc)
        locate = partial(node.locate, target.uid, target.container_id)
        return Netns(locate, *target.addresses)
    return None


def _trust_of(target: Target, config: Config) -> MeshTrust | None:
    """How this target proves itself: istiod where it is expected, and the API's own for a token.

    Whose pod and service account it is, the API said when the target was found (`trusted`).
    """
    istiod, namespace = config.istiod, target.key.namespace
    if target.role is not Role.ISTIOD or namespace not in istiod.namespaces:
        return None
    services = ("istiod", f"istiod-{target.revision}") if target.revision else ("istiod",)
    return MeshTrust(
        root_file=istiod.root_cert_file,
        names=tuple(f"{service}.{namespace}.svc" for service in services),
        token_file=istiod.debug_token_file if target.trusted else "",
    )


def inside_only(plan: Plan) -> Plan:
    """The same without the network's view."""
    return replace(plan, control=None, network=(), dialers=())


async def look(  # noqa: PLR0913 - as `look_by`
    target: Target,
    memory: Memory,
    due: frozenset[Cadence],
    config: Config,
    now: float,
    *,
    in_mesh: bool = False,
    forward: Forward = no_forward,
) -> Look:
    """Look once at a target that is not polled: plan and look in one."""
    plan = plan_of(target, config, forward)
    return await look_by(plan, memory, due, config, now, in_mesh=in_mesh)


async def look_by(  # noqa: PLR0913 - the poller hands in what it counts and knows
    plan: Plan,
    memory: Memory,
    due: frozenset[Cadence],
    config: Config,
    now: float,
    *,
    in_mesh: bool = False,
    webhook: WebhookPath | None = None,
    meter: Meter = UNMETERED,
) -> Look:
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
    bare = plan
    plan = _with_servers(bare, memory.admin.value if memory.admin else None)
    asker = _Asker(plan, due, config.poll.timeout, meter)
    seen = await asker.network_wave()
    seen += await asker.follow_up(seen, memory, config, now)
    seen += await asker.pod_wave(seen)
    if admin := newest_admin(seen):
        known, plan = plan, _with_servers(bare, admin)
        seen += await _Asker(plan, due, config.poll.timeout, meter).further_wave(known)
    memory = replace(memory, polled={**memory.polled, **dict.fromkeys(due, now)})
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
    return Look(record, remembered, tuple(seen))


@dataclass(frozen=True, slots=True)
class _Asker:
    """The waves of one look."""

    plan: Plan
    due: frozenset[Cadence]
    timeout: float
    meter: Meter

    async def network_wave(self) -> list[Observation]:
        """The control port and every port that is asked directly, on each address at once."""
        asked = [port for port in self.plan.network if port.probe != "hello"]
        if Cadence.IDENTITY not in self.due:
            asked = [port for port in asked if port.probe != "exposure"]
        visits = [
            self._ask(port.probe, port, dialer, self.due)
            for dialer in self.plan.dialers
            for port in asked
        ]
        if self.plan.control is not None:
            control = _bare(self.plan.control)
            visits += [self._ask("connect", control, d, self.due) for d in self.plan.dialers]
        return await self._all(visits)

    async def follow_up(
        self, seen: Sequence[Observation], memory: Memory, config: Config, now: float
    ) -> list[Observation]:
        """15006: a hello through the control port, or a look at itself where control refuses."""
        inbound = next((port for port in self.plan.network if port.probe == "hello"), None)
        if inbound is None or self.plan.control is None:
            return []
        hello = wants_hello(
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

    async def pod_wave(self, seen: Sequence[Observation]) -> list[Observation]:
        """The pod's own view; pages that the network already brought are not asked again."""
        pod = self.plan.pod
        if pod is None:
            return []
        asked = [p for p in self.plan.inside if p is not _SOCKETS or Cadence.DETAIL in self.due]
        apart = [port.number for port in asked if port.pod_probe in ENDED_BY_CLOSING]
        together = [p.number for p in asked if p.number not in apart and p is not _SOCKETS]
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
        pod.is_worrying = any(map(_is_worrying, asked, inside))
        return inside

    def _doubts(self, seen: Sequence[Observation]) -> bool:
        """Whether a gateway's server refuses: it may have been taken away since admin was asked."""
        refused = {o.port for o in seen if o.outcome is Outcome.REFUSED}
        return any(port.number in refused for port in self.plan.network if is_server(port))

    async def further_wave(self, known: Plan) -> list[Observation]:
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

    async def _all(self, visits: Sequence[tuple[Prober, Visit]]) -> list[Observation]:
        """Make the visits side by side."""
        left = len(visits)
        self.meter.begun(left)
        try:
            seen = await probe_all(visits)
            for observation in seen:
                self.meter.ended(observation, self.plan.target.role)
            left = 0
        finally:
            self.meter.begun(-left)
        return seen

    def _ask(
        self, name: str, port: TargetPort, dialer: Dialer, due: frozenset[Cadence]
    ) -> tuple[Prober, Visit]:
        visit = Visit(dialer, port, due, self.timeout, self.plan.target, self.plan.options)
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


def _bare(number: int, pod_probe: str = "") -> TargetPort:
    """A port that is no port of Istio's: the control port, the socket table."""
    row = Port(
        number=number,
        role=Role.SIDECAR,
        name="",
        component="",
        bind="all",
        protocol="TCP",
        category="control",
        purpose="",
    )
    return TargetPort(number=number, row=row, expectation=Expectation.OPTIONAL, pod_probe=pod_probe)


_SOCKETS = _bare(SOCKETS_PORT, "sockets")
