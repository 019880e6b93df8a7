"""The poll of a workload in ambient that was healthy: half-open connects, and nothing that waits.

Pure. Its task and coroutines would cost as much as all of its system calls.
"""

from collections.abc import Sequence

from exporter.access.direct import Direct
from exporter.config import Config
from exporter.diagnosis.repeats import Repeats, repeats_of
from exporter.model import Memory, Observation, Outcome, Probe, Role
from exporter.poll import hbone_hellos
from exporter.poll.plan import Plan
from exporter.probes.connect import probe_connect
from exporter.probes.probers import PROBERS
from exporter.transport import backend

SteadyConnects = tuple[tuple[Direct, Probe], ...]


def steady_connects(plan: Plan) -> SteadyConnects:
    """What such a poll sends; empty for a target that is sent anything else."""
    if plan.target.role is not Role.AMBIENT or plan.pod is not None or not backend.bare_connect:
        return ()
    found = []
    for part in plan.network:
        for probe in part.probes:
            if probe.port in part.spared:
                continue
            if PROBERS[probe.kind] is not probe_connect or not isinstance(part.dialer, Direct):
                return ()
            found.append((part.dialer, probe))
    return tuple(found)


def is_all(
    plan: Plan,
    seen: Sequence[Observation],
    memory: Memory,
    config: Config,
    now: float,
    step: float,
) -> bool:
    """Whether nothing follows upon what was seen: every port accepts, and no hello is due."""
    if not all(one.outcome is Outcome.OK for one in seen):
        return False
    due = hbone_hellos.due_addresses(
        plan.target, seen, memory, config, now, due_identity=False, step=step
    )
    return not any(due)


def repeats_after(
    plan: Plan, connects: SteadyConnects, memory: Memory, config: Config, step: float
) -> Repeats | None:
    """Where the polls after the one that left this memory are counted that see the same."""
    addresses = [dialer.address for dialer, _ in connects]
    hello_due = hbone_hellos.next_due(addresses, memory, config, step)
    probes = [probe for _, probe in connects]
    return repeats_of(plan.target, plan.ports, probes, memory, config, hello_due)
