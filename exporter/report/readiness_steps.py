"""The readiness chain of a target: what has to hold, in order, before it serves. Pure.

A broken link breaks what comes after it, so the first broken one is where to look.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import msgspec

from exporter.model import AGENT_ROLES, ENVOY_ROLES, PROVING, Role, TargetRecord, Verdict

Judged = tuple[bool | None, str]
"""Whether a link holds, None where that is not known, and what is known in a few words."""

_UNKNOWN: Judged = (None, "not known")


class ReadinessStep(msgspec.Struct, frozen=True, kw_only=True):
    """One link. `holds` null: not known. `says`: what is known, in a few words."""

    name: str
    about: str
    holds: bool | None
    says: str


@dataclass(frozen=True, slots=True)
class _Row:
    roles: tuple[Role, ...]
    name: str
    about: str
    judge: Callable[[TargetRecord], Judged]


def readiness_steps(record: TargetRecord) -> tuple[ReadinessStep, ...]:
    """The links of the target's role, first things first."""
    return tuple(
        ReadinessStep(name=row.name, about=row.about, holds=holds, says=says)
        for row in _ROWS
        if record.target.role in row.roles
        for holds, says in (row.judge(record),)
    )


def _said(*, holds: bool | None, yes: str, no: str) -> Judged:
    if holds is None:
        return _UNKNOWN
    return (True, yes) if holds else (False, no)


def _xds(record: TargetRecord) -> Judged:
    return _said(holds=record.proxy.xds_connected, yes="connected", no="no connection to istiod")


def _configuration(record: TargetRecord) -> Judged:
    proxy = record.proxy
    rejected = [resource for resource, is_rejected in proxy.rejected.items() if is_rejected]
    if rejected:
        return False, f"rejected: {', '.join(rejected)}"
    unbound = [name for name, is_bound in proxy.bound.items() if not is_bound]
    if unbound:
        return False, f"not bound: {', '.join(unbound)}"
    if warming := proxy.listeners.get("warming"):
        return False, f"{warming:.0f} warming"
    return (True, "accepted and bound") if proxy.rejected or proxy.bound else _UNKNOWN


def _envoy(record: TargetRecord) -> Judged:
    if record.proxy.envoy_live is not None:
        return _said(holds=record.proxy.envoy_live, yes="live", no="not live")
    return _answer(record, (record.target.settings.admin_port,))


def _agent(record: TargetRecord) -> Judged:
    return _ready(record, "agent", record.target.settings.status_port)


def _health(record: TargetRecord) -> Judged:
    return _ready(record, "envoy", record.target.settings.health_port)


def _redirection(record: TargetRecord) -> Judged:
    return _said(holds=record.proxy.captured, yes="works", no="missing")


def _ready(record: TargetRecord, endpoint: str, port: int) -> Judged:
    """What an endpoint says of its readiness, and how its port ended where it says no."""
    verdict = next((v for v in record.verdicts if v.port == port), None)
    ready = record.ready.get(endpoint)
    if ready is None:
        return _answer(record, (port,))
    no = str(verdict.outcome) if verdict and verdict.outcome not in PROVING else "not ready"
    return _said(holds=ready, yes="ready", no=no.replace("_", " "))


def _answer(record: TargetRecord, ports: Iterable[int]) -> Judged:
    """Whether these ports are proved up, named with the first that is not."""
    judged = [v for v in record.verdicts if v.port in ports and v.up is not None]
    down = next((v for v in judged if not v.up), None)
    if down:
        return False, _end_of(down)
    return (True, "answers") if judged else _UNKNOWN


def _end_of(verdict: Verdict) -> str:
    return f"{verdict.port} {verdict.outcome.replace('_', ' ')}"


_ROWS = (
    _Row((*AGENT_ROLES, Role.ZTUNNEL), "istiod", "sends configuration", _xds),
    _Row(ENVOY_ROLES, "Envoy", "runs and serves", _envoy),
    _Row(ENVOY_ROLES, "Configuration", "accepted and bound by Envoy", _configuration),
    _Row(AGENT_ROLES, "pilot-agent", "says ready on 15020", _agent),
    _Row(ENVOY_ROLES, "Readiness", "Envoy says ready on 15021", _health),
    _Row((Role.SIDECAR,), "Redirection", "inbound traffic passes Envoy", _redirection),
    _Row(
        (Role.ZTUNNEL,),
        "Readiness",
        "ztunnel says ready on 15021",
        lambda r: _ready(r, "ztunnel", 15021),
    ),
    _Row(
        (Role.AGENTGATEWAY,),
        "Readiness",
        "answers on 15021",
        lambda r: _answer(r, (15021,)),
    ),
    _Row(
        (Role.ISTIOD,),
        "istiod",
        "says ready on 8080",
        lambda r: _ready(r, "istiod", 8080),
    ),
    _Row(
        (Role.ISTIOD,),
        "xDS",
        "serves proxies on 15010 and 15012",
        lambda r: _answer(r, (15010, 15012)),
    ),
    _Row(
        (Role.ISTIOD,),
        "Webhooks",
        "answer on 15017",
        lambda r: _ready(r, "webhook", 15017),
    ),
    _Row((Role.CNI,), "Readiness", "says ready on 8000", lambda r: _ready(r, "cni", 8000)),
)
