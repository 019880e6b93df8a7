"""The poll of a workload in ambient that was healthy: half-open connects, and nothing that waits.

Pure. Its task and coroutines would cost as much as all of its system calls.
"""

from collections.abc import Sequence

from exporter.access.direct import Direct
from exporter.config import Config
from exporter.diagnosis.repeats import Repeats, repeats_of
from exporter.model import Cadence, Memory, Observation, Outcome, Role
from exporter.poll import hbone_hellos
from exporter.poll.plan import Plan
from exporter.probes.attempt import Attempt
from exporter.probes.connect import probe_connect
from exporter.probes.probers import PROBERS
from exporter.transport import backend

_FAST = frozenset({Cadence.FAST})

SteadyConnects = tuple[tuple[Direct, Attempt], ...]
"""Of one target, whose polls make the same ones again, one poll at a time."""


def steady_connects(plan: Plan, timeout: float) -> SteadyConnects:
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
            attempt = Attempt(part.dialer, probe, _FAST, timeout, plan.target, plan.options)
            found.append((part.dialer, attempt))
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
    probes = [attempt.probe for _, attempt in connects]
    return repeats_of(plan.target, plan.ports, probes, memory, config, hello_due)
