"""Refusals that come from a policy on the way and not from the pod. Pure.

A policy that resets connections looks as a process that is gone. Kubernetes shows the difference: a
container whose own readiness probe would have failed by now, and that is still ready, serves; or
Envoy does, whose 15021 fetches from the agent what refuses us on 15020. Where one port is refused
by a policy, the others that refuse show nothing either.
A gateway or waypoint in ambient refuses nothing itself: its ztunnel accepts every connection, and
closes it where nobody listens, or where a policy of the mesh denies it.
"""

from collections.abc import Sequence

from msgspec.structs import replace

from exporter.model import (
    ENVOY_ROLES,
    Lifecycle,
    Observation,
    Outcome,
    ProbeKind,
    Redirection,
    Role,
    Target,
    View,
)


def read_refusals(
    target: Target, observations: Sequence[Observation], before: float | None, now: float
) -> tuple[Sequence[Observation], float | None]:
    """The observations with each refusal as what it is, and since when readiness is refused.

    `before` is the latter as the last poll left it; None where what the kubelet probes is not
    refused, or Kubernetes does not report the container ready.
    """
    meant = _as_meant(target, observations)
    since = _refused_since(target, meant, before, now)
    if _come_from_a_policy(target.lifecycle, since, now):
        return _as_rejected(meant, _STAYS_READY), since
    return (_as_rejected(meant, _RELAYED) if _is_relayed(target, meant) else meant), since


def _as_meant(target: Target, observations: Sequence[Observation]) -> Sequence[Observation]:
    """What ztunnel has closed, as refused, or as rejected where the proxy is seen to serve.

    15008 of a waypoint is its Envoy's own. Where nothing shows whether the proxy lives, a policy
    or a dead proxy may be the reason, and the observations stay as they are.
    """
    if not target.settings.ambient or not any(map(_is_closed_by_ztunnel, observations)):
        return observations
    proved = {one.port for one in observations if one.outcome.proves and not _is_bare(one)}
    if _HBONE in proved:
        meant = {"outcome": Outcome.REJECTED, "detail": _DENIED}
    elif proved or target.lifecycle.container_ready is not None:
        meant = {"outcome": Outcome.REFUSED, "detail": _NOBODY}
    else:
        return observations
    return [replace(one, **meant) if _is_closed_by_ztunnel(one) else one for one in observations]


_HBONE = 15008
_DENIED = "closed by ztunnel, whose policy denies it: the proxy answers on 15008"
_NOBODY = "closed by ztunnel, behind which nobody answers"


def _is_closed_by_ztunnel(seen: Observation) -> bool:
    is_closed = seen.outcome in (Outcome.RESET, Outcome.CLOSED)
    return is_closed and seen.view is View.NETWORK and seen.port != _HBONE and not _is_bare(seen)


def _is_bare(seen: Observation) -> bool:
    """Whether a connect was all, which ztunnel accepts for everybody."""
    return seen.probe.kind in (ProbeKind.TCP, ProbeKind.CONTROL)


def _refused_since(
    target: Target, observations: Sequence[Observation], before: float | None, now: float
) -> float | None:
    """Since when the network refuses what the kubelet probes, and the container is ready.

    Everything has to refuse where that port is not known, or not seen. None where it does not.
    `before` is what this returned for the last poll. In ambient the kubelet gets past a redirection
    that refuses everybody else: there everything counts, and only what ztunnel closed.
    """
    lifecycle, is_ambient = target.lifecycle, _is_in_ambient(target)
    seen = [
        one
        for one in observations
        if one.view is View.NETWORK
        and one.probe.kind is not ProbeKind.EXPOSURE
        and not (is_ambient and _is_bare(one) and one.outcome is Outcome.OK)
    ]
    probed = [one for one in seen if one.port == lifecycle.probed_port and not is_ambient]
    if not seen or any(one.outcome is not Outcome.REFUSED for one in probed or seen):
        return None
    if is_ambient and not all(one.connected for one in seen):
        return None
    if not lifecycle.container_ready or not lifecycle.node_ready:
        return None
    return now if before is None else before


def _is_in_ambient(target: Target) -> bool:
    if target.role is Role.AMBIENT or target.settings.ambient:
        return True
    return target.redirection in (Redirection.ENABLED, Redirection.PENDING)


def _come_from_a_policy(lifecycle: Lifecycle, since: float | None, now: float) -> bool:
    """Whether a process that is gone would have failed its readiness probe since then."""
    unready_after, started = lifecycle.unready_after, lifecycle.started
    if since is None or unready_after is None or started is None or started >= since:
        return False
    return now - since > unready_after


def _is_relayed(target: Target, observations: Sequence[Observation]) -> bool:
    """Whether Envoy reaches the agent, whose port refuses us."""
    if target.role not in ENVOY_ROLES:
        return False
    seen = [one for one in observations if one.view is View.NETWORK]
    health = {one.outcome for one in seen if one.port == target.settings.health_port}
    status = {one.outcome for one in seen if one.port == target.settings.status_port}
    return health == {Outcome.OK} and status == {Outcome.REFUSED}


def _as_rejected(observations: Sequence[Observation], why: str) -> list[Observation]:
    """The same observations with the network's refusals as what they are."""
    return [
        replace(seen, outcome=Outcome.REJECTED, detail=why)
        if seen.view is View.NETWORK and seen.outcome is Outcome.REFUSED
        else seen
        for seen in observations
    ]


_STAYS_READY = "refused on the way: the container has stayed ready for longer than its probe allows"
_RELAYED = "refused on the way: Envoy reaches the agent"
