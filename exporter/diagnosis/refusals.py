"""Refusals that come from a policy on the way and not from the pod. Pure.

A policy that resets connections looks as a process that is gone. Kubernetes shows the difference: a
container whose own readiness probe would have failed by now, and that is still ready, serves.
"""

from collections.abc import Sequence

from msgspec.structs import replace

from exporter.model import Lifecycle, Observation, Outcome, ProbeKind, View


def refused_since(
    lifecycle: Lifecycle, observations: Sequence[Observation], before: float | None, now: float
) -> float | None:
    """Since when the network refuses everything while Kubernetes reports the container ready.

    None where it does not. `before` is what this returned for the last poll.
    """
    seen = [
        one.outcome
        for one in observations
        if one.view is View.NETWORK and one.probe.kind is not ProbeKind.EXPOSURE
    ]
    if not seen or any(outcome is not Outcome.REFUSED for outcome in seen):
        return None
    if not lifecycle.container_ready or not lifecycle.node_ready:
        return None
    return now if before is None else before


def come_from_a_policy(lifecycle: Lifecycle, since: float | None, now: float) -> bool:
    """Whether a process that is gone would have failed its readiness probe since then."""
    unready_after, started = lifecycle.unready_after, lifecycle.started
    if since is None or unready_after is None or started is None or started >= since:
        return False
    return now - since > unready_after


def as_rejected(observations: Sequence[Observation]) -> list[Observation]:
    """The same observations with the network's refusals as what they are."""
    return [
        replace(seen, outcome=Outcome.REJECTED, detail=_DETAIL)
        if seen.view is View.NETWORK and seen.outcome is Outcome.REFUSED
        else seen
        for seen in observations
    ]


_DETAIL = "refused on the way: the container has stayed ready for longer than its probe allows"
