"""The poll of a target that was healthy: connects and a GET each, and nothing that waits.

Pure. Of a poll in ambient, its task and coroutines would cost as much as all of its system calls.
"""

from collections.abc import Sequence

from exporter.config import Config
from exporter.diagnosis.repeats import Repeats, repeats_of
from exporter.model import HBONE_ROLES, Cadence, Memory, Observation, Outcome, Probe
from exporter.poll import hbone_hellos, hello_due
from exporter.poll.plan import Plan
from exporter.probes.attempt import Attempt, Prober
from exporter.probes.direct_runs import is_direct
from exporter.probes.probers import PROBERS

SteadyProbes = tuple[tuple[Prober, Attempt], ...]
"""Of one target, whose polls make the same ones again, one poll at a time."""


def steady_probes(plan: Plan, due: frozenset[Cadence], timeout: float) -> SteadyProbes:
    """What such a poll sends; empty for a target that is sent anything else."""
    if plan.pod is not None:
        return ()
    found = []
    for part in plan.network:
        for probe in part.probes:
            if probe.port in part.spared or probe.kind.cadence not in due:
                continue
            attempt = Attempt(part.dialer, probe, due, timeout, plan.target, plan.options)
            if not is_direct(PROBERS[probe.kind], attempt):
                return ()
            found.append((PROBERS[probe.kind], attempt))
    return tuple(found)


def is_all(
    plan: Plan,
    seen: Sequence[Observation],
    memory: Memory,
    config: Config,
    now: float,
    step: float,
) -> bool:
    """Whether nothing follows upon what was seen: every port is well, and no hello is due."""
    if not all(one.outcome is Outcome.OK for one in seen):
        return False
    if plan.target.role not in HBONE_ROLES:
        return now < hello_due.next_due(plan, seen, memory, config, step)
    due = hbone_hellos.due_addresses(
        plan.target, seen, memory, config, now, due_identity=False, step=step
    )
    return not any(due)


def repeats_after(
    plan: Plan, probes: SteadyProbes, memory: Memory, config: Config, step: float
) -> Repeats | None:
    """Where the polls after the one that left this memory are counted that see the same."""
    wanted = [attempt.probe for _, attempt in probes]
    hello_at = _next_hello(plan, wanted, memory, config, step)
    return repeats_of(plan.target, plan.ports, wanted, memory, config, hello_at)


def _next_hello(
    plan: Plan, probes: Sequence[Probe], memory: Memory, config: Config, step: float
) -> float:
    """From when on a poll in which every port is well sends a hello; 0 for at once."""
    if plan.target.role in HBONE_ROLES:
        addresses = [probe.address for probe in probes]
        return hbone_hellos.next_due(addresses, memory, config, step)
    seen = [Observation(probe, Outcome.OK) for probe in probes]
    return hello_due.next_due(plan, seen, memory, config, step)
