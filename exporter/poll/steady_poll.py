"""The poll of a target that was healthy: connects and a GET each, and nothing that waits.

Pure. Of a poll in ambient, its task and coroutines would cost as much as all of its system calls.
"""

from collections.abc import Sequence

from exporter.diagnosis.repeats import Repeats, repeats_of
from exporter.model import HBONE_ROLES, Cadence, Observation, Outcome, Probe
from exporter.poll import hbone_hellos, hello_due
from exporter.poll.plan import Plan
from exporter.poll.poll_inputs import PollInputs
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


def is_all(poll: PollInputs, seen: Sequence[Observation]) -> bool:
    """Whether nothing follows upon what was seen: every port is well, and no hello is due."""
    if not all(one.outcome is Outcome.OK for one in seen):
        return False
    if poll.plan.target.role not in HBONE_ROLES:
        return poll.now < hello_due.next_due(poll, seen)
    return not any(hbone_hellos.due_addresses(poll, seen))


def repeats_after(poll: PollInputs, probes: SteadyProbes) -> Repeats | None:
    """Where this poll and those after it are counted that see the same as the one before."""
    plan, wanted = poll.plan, [attempt.probe for _, attempt in probes]
    hello_at = _next_hello(poll, wanted)
    return repeats_of(plan.target, plan.ports, wanted, poll.memory, poll.config, hello_at)


def _next_hello(poll: PollInputs, probes: Sequence[Probe]) -> float:
    """From when on a poll in which every port is well sends a hello; 0 for at once."""
    if poll.plan.target.role in HBONE_ROLES:
        return hbone_hellos.next_due(poll, [probe.address for probe in probes])
    return hello_due.next_due(poll, [Observation(probe, Outcome.OK) for probe in probes])
