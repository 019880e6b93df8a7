"""The readiness chain of a target: what has to hold, in order, before it serves. Pure.

A broken link breaks what comes after it, so the first broken one is where to look.
"""

from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from exporter.catalogue import PORTS_BY_ROLE, port_number_of
from exporter.model import (
    AGENT_ROLES,
    ENVOY_ROLES,
    PROVING,
    PortName,
    Role,
    Target,
    TargetRecord,
    Verdict,
)

Judged = tuple[bool | None, str]
"""Whether a link holds, None where that is not known, and what is known in a few words."""

Judge = Callable[[TargetRecord], Judged]

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
    judge: Judge


def readiness_steps(record: TargetRecord) -> tuple[ReadinessStep, ...]:
    """The links of the target's role, first things first."""
    return tuple(
        ReadinessStep(
            name=row.name, about=_with_numbers(row.about, record.target), holds=holds, says=says
        )
        for row in _ROWS
        if record.target.role in row.roles
        for holds, says in (row.judge(record),)
    )


def _with_numbers(about: str, target: Target) -> str:
    """The text with the numbers of the target's ports in place of their names."""
    numbers = {str(row.name): row.number_in(target.settings) for row in PORTS_BY_ROLE[target.role]}
    return about.format_map(numbers)


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
    return _answer(record, PortName.ADMIN)


def _redirection(record: TargetRecord) -> Judged:
    return _said(holds=record.proxy.captured, yes="works", no="missing")


def _ready(endpoint: str, name: PortName) -> Judge:
    """Judges by an endpoint's readiness, or by how its port ended where there is none."""

    def judge(record: TargetRecord) -> Judged:
        number = port_number_of(record.target, name)
        verdict = next((v for v in record.verdicts if v.port == number), None)
        ready = record.ready.get(endpoint)
        if ready is None:
            return _answer(record, name)
        no = str(verdict.outcome) if verdict and verdict.outcome not in PROVING else "not ready"
        return _said(holds=ready, yes="ready", no=no.replace("_", " "))

    return judge


def _answer(record: TargetRecord, *names: PortName) -> Judged:
    """Whether these ports are proved up, named with the first that is not."""
    ports = [port_number_of(record.target, name) for name in names]
    judged = [v for v in record.verdicts if v.port in ports and v.up is not None]
    down = next((v for v in judged if not v.up), None)
    if down:
        return False, _end_of(down)
    return (True, "answers") if judged else _UNKNOWN


def _end_of(verdict: Verdict) -> str:
    return f"{verdict.port} {verdict.outcome.replace('_', ' ')}"


_STATUS, _HEALTH, _READINESS = PortName.STATUS, PortName.HEALTH, PortName.READINESS

_ROWS = (
    _Row((*AGENT_ROLES, Role.ZTUNNEL), "istiod", "sends configuration", _xds),
    _Row(ENVOY_ROLES, "Envoy", "runs and serves", _envoy),
    _Row(ENVOY_ROLES, "Configuration", "accepted and bound by Envoy", _configuration),
    _Row(AGENT_ROLES, "pilot-agent", "says ready on {status}", _ready("agent", _STATUS)),
    _Row(ENVOY_ROLES, "Readiness", "Envoy says ready on {health}", _ready("envoy", _HEALTH)),
    _Row((Role.SIDECAR,), "Redirection", "inbound traffic passes Envoy", _redirection),
    _Row(
        (Role.ZTUNNEL,),
        "Readiness",
        "ztunnel says ready on {readiness}",
        _ready("ztunnel", _READINESS),
    ),
    _Row(
        (Role.AGENTGATEWAY,),
        "Readiness",
        "answers on {readiness}",
        lambda r: _answer(r, _READINESS),
    ),
    _Row(
        (Role.ISTIOD,),
        "istiod",
        "says ready on {http-debug}",
        _ready("istiod", PortName.HTTP_DEBUG),
    ),
    _Row(
        (Role.ISTIOD,),
        "xDS",
        "serves proxies on {grpc-xds} and {tls-xds}",
        lambda r: _answer(r, PortName.GRPC_XDS, PortName.TLS_XDS),
    ),
    _Row(
        (Role.ISTIOD,),
        "Webhooks",
        "answer on {https-webhooks}",
        _ready("webhook", PortName.HTTPS_WEBHOOKS),
    ),
    _Row((Role.CNI,), "Readiness", "says ready on {readiness}", _ready("cni", _READINESS)),
)
