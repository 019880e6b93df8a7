"""What a poll requests in the pod's own view, by what the network has returned. Pure."""

from collections.abc import Iterable, Sequence

from exporter.model import (
    AgentFacts,
    IstiodFacts,
    Observation,
    Outcome,
    Probe,
    ProbeKind,
    ZtunnelFacts,
)

_SHOWS_NO_PORT = frozenset({ProbeKind.EXPOSURE, ProbeKind.SERVER_HELLO})
"""Probes that fail where all is well: admin is closed, a server speaks no TLS."""


def by_closing(probes: Iterable[Probe]) -> tuple[list[int], list[int]]:
    """The ports of the probes: those whose closing proves nothing, and those whose closing does."""
    together: list[int] = []
    apart: list[int] = []
    for probe in probes:
        if probe.kind is not ProbeKind.SOCKETS:
            (apart if probe.kind.is_answered_by_closing else together).append(probe.port)
    return together, apart


def is_whole(observation: Observation) -> bool:
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


def is_abnormal(seen: Sequence[Observation]) -> bool:
    """Whether the network's answers call for the pod's view; admin is closed where all is well."""
    return any(
        one.outcome is not Outcome.OK for one in seen if one.probe.kind not in _SHOWS_NO_PORT
    )


def is_worrying(seen: Observation) -> bool:
    """Whether what the pod view showed is to be probed again soon."""
    is_fine = seen.outcome.proves or seen.outcome is Outcome.NO_ACCESS
    return not is_fine and seen.probe.kind is not ProbeKind.SOCKETS
