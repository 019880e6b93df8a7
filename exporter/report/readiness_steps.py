"""The readiness steps of a target: what has to hold, in order, before it serves. Pure.

A failed step fails the ones after it, so the first failed one is where to begin.
"""

from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from exporter.catalogue import port_number_of
from exporter.model import AGENT_ROLES, ENVOY_ROLES, PortName, Role, TargetRecord

Judgement = tuple[bool | None, str]
"""Whether a step holds, None where that is not known, and a few words on it."""

Ports = tuple[int, ...]
Judge = Callable[[TargetRecord, Ports], Judgement]

_UNKNOWN: Judgement = (None, "not known")


class ReadinessStep(msgspec.Struct, frozen=True, kw_only=True):
    """One step. `holds` null: not known. `says`: the deprecated name of `detail`."""

    name: str
    about: str
    holds: bool | None
    detail: str
    says: str


@dataclass(frozen=True, slots=True)
class _Step:
    """A row of the table. `about` may name the ports with {}."""

    roles: tuple[Role, ...]
    name: str
    about: str
    judge: Judge
    ports: tuple[PortName, ...] = ()


def readiness_steps(record: TargetRecord) -> tuple[ReadinessStep, ...]:
    """The steps of the target's role, in order."""
    return tuple(_judged(step, record) for step in _STEPS if record.target.role in step.roles)


def _judged(step: _Step, record: TargetRecord) -> ReadinessStep:
    ports = tuple(port_number_of(record.target, name) for name in step.ports)
    holds, detail = step.judge(record, ports)
    numbers = " and ".join(str(port) for port in ports if port) or "a port that is switched off"
    return ReadinessStep(
        name=step.name, about=step.about.format(numbers), holds=holds, detail=detail, says=detail
    )


def _either(holds: bool | None, yes: str, no: str) -> Judgement:  # noqa: FBT001 - the value judged
    if holds is None:
        return _UNKNOWN
    return (True, yes) if holds else (False, no)


_NO_CONFIGURATION = {
    "identity_not_issued": "none came",
    "configuration_incomplete": "incomplete",
    "istiod_unreachable": "none came",
}
"""What the causes before the first configuration leave to say of it."""


def _xds(record: TargetRecord, _ports: Ports) -> Judgement:
    if record.cause == "istiod_unreachable":
        return False, "has never answered"
    return _either(record.proxy.xds_connected, "connected", "no connection to istiod")


def _configuration(record: TargetRecord, _ports: Ports) -> Judgement:
    proxy = record.proxy
    rejected = [resource for resource, is_rejected in proxy.rejected.items() if is_rejected]
    if rejected:
        return False, f"rejected: {', '.join(rejected)}"
    if missing := _NO_CONFIGURATION.get(record.cause):
        return False, missing
    unbound = [name for name, is_bound in proxy.bound.items() if not is_bound]
    if unbound:
        return False, f"not bound: {', '.join(unbound)}"
    if warming := proxy.listeners.get("warming"):
        return False, f"{warming:.0f} warming"
    if proxy.updates and not any(proxy.updates.values()):
        return False, "no update came"
    return (True, "accepted and bound") if proxy.updates or proxy.bound else _UNKNOWN


def _envoy(record: TargetRecord, ports: Ports) -> Judgement:
    if record.proxy.envoy_live is None:
        return _responds(record, ports)
    return _either(record.proxy.envoy_live, "live", "not live")


def _redirection(record: TargetRecord, _ports: Ports) -> Judgement:
    return _either(record.proxy.captured, "works", "missing")


def _workloads(record: TargetRecord, _ports: Ports) -> Judgement:
    counts = record.proxy.workloads
    if pending := counts.get("pending"):
        return False, f"{pending:.0f} pending"
    return (True, f"{counts['active']:.0f} active") if "active" in counts else _UNKNOWN


def _ready(endpoint: str) -> Judge:
    """Judges by the readiness that an endpoint reports, or by how the probe of its port ended."""

    def judge(record: TargetRecord, ports: Ports) -> Judgement:
        is_ready = record.ready.get(endpoint)
        if is_ready is None:
            return _responds(record, ports)
        verdict = next((v for v in record.verdicts if v.port in ports), None)
        no = str(verdict.outcome) if verdict and not verdict.outcome.proves else "not ready"
        return _either(is_ready, "ready", no.replace("_", " "))

    return judge


def _responds(record: TargetRecord, ports: Ports) -> Judgement:
    """Whether these ports are proved up; names the first that is down."""
    judged = [v for v in record.verdicts if v.port in ports and v.up is not None]
    down = next((v for v in judged if not v.up), None)
    if down:
        return False, f"{down.port} {down.outcome.replace('_', ' ')}"
    return (True, "responds") if judged else _UNKNOWN


_STEPS = (
    _Step((*AGENT_ROLES, Role.ZTUNNEL), "istiod", "sends configuration", _xds),
    _Step(ENVOY_ROLES, "Envoy", "runs and serves", _envoy, (PortName.ADMIN,)),
    _Step(ENVOY_ROLES, "Configuration", "accepted and bound by Envoy", _configuration),
    _Step(AGENT_ROLES, "pilot-agent", "reports ready on {}", _ready("agent"), (PortName.STATUS,)),
    _Step(
        ENVOY_ROLES, "Readiness", "Envoy reports ready on {}", _ready("envoy"), (PortName.HEALTH,)
    ),
    _Step((Role.SIDECAR,), "Redirection", "inbound traffic passes Envoy", _redirection),
    _Step(
        (Role.AMBIENT,),
        "ztunnel",
        "presents the workload's certificate on {}",
        _responds,
        (PortName.HBONE,),
    ),
    _Step((Role.AMBIENT,), "Redirection", "inbound traffic passes ztunnel", _redirection),
    _Step(
        (Role.ZTUNNEL,),
        "Readiness",
        "ztunnel reports ready on {}",
        _ready("ztunnel"),
        (PortName.READINESS,),
    ),
    _Step((Role.ZTUNNEL,), "Workloads", "serves every pod that it was given", _workloads),
    _Step((Role.AGENTGATEWAY,), "Readiness", "responds on {}", _responds, (PortName.READINESS,)),
    _Step(
        (Role.ISTIOD,), "istiod", "reports ready on {}", _ready("istiod"), (PortName.HTTP_DEBUG,)
    ),
    _Step(
        (Role.ISTIOD,),
        "xDS",
        "serves proxies on {}",
        _responds,
        (PortName.GRPC_XDS, PortName.TLS_XDS),
    ),
    _Step(
        (Role.ISTIOD,), "Webhooks", "respond on {}", _ready("webhook"), (PortName.HTTPS_WEBHOOKS,)
    ),
    _Step((Role.CNI,), "Readiness", "reports ready on {}", _ready("cni"), (PortName.READINESS,)),
)
