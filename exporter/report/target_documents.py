"""What the API says of targets and ports, as structs: records in, JSON documents out. Pure.

`check -o json` prints the same documents, so a script reads one format. Times are seconds since
the epoch, durations seconds.
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum

import msgspec

from exporter.catalogue import ExtraPort, Port, TargetPort, ports_of
from exporter.diagnosis import causes_on
from exporter.model import (
    CauseClass,
    CertificateValidity,
    Diagnosis,
    ListeningSocket,
    ProxyStatus,
    Target,
    TargetRecord,
    Verdict,
)
from exporter.report.readiness_steps import ReadinessStep, readiness_steps


class Health(StrEnum):
    """What a target comes to in one word."""

    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"
    UNJUDGED = "unjudged"


def health_of(record: TargetRecord | None) -> Health:
    """One word for a record; None is a target that was not looked at yet.

    Unhealthy: it has a cause, a port that is down or a readiness that says no. Unjudged: no
    port could be judged, or the exporter itself is the cause.
    """
    if record is None:
        return Health.UNJUDGED
    if record.diagnosis:
        is_ours = record.diagnosis.cause_class is CauseClass.EXPORTER
        return Health.UNJUDGED if is_ours else Health.UNHEALTHY
    judged = {verdict.up for verdict in record.verdicts} - {None}
    if False in judged or False in record.ready.values():
        return Health.UNHEALTHY
    return Health.HEALTHY if judged else Health.UNJUDGED


class PortState(msgspec.Struct, frozen=True, kw_only=True):
    """One port of one target. `up` null: unjudged, and `outcome` says why.

    `naive`: what a plain connect says; null where none was tried.
    """

    port: int
    name: str
    component: str
    up: bool | None
    outcome: str
    view: str
    detail: str
    seconds: float
    naive: bool | None
    exposed: bool
    last_ok: float | None
    by_hand: str


class CauseDocument(msgspec.Struct, frozen=True, kw_only=True):
    """The diagnosis of one target."""

    cause: str
    cause_class: str = msgspec.field(name="class")
    sentence: str
    advice: str
    evidence: tuple[str, ...]


class Listener(msgspec.Struct, frozen=True, kw_only=True):
    """A listening socket of the pod: what `lsof -i` shows."""

    port: int
    address: str
    process: str
    protocol: str


class CertificateState(msgspec.Struct, frozen=True, kw_only=True):
    """A certificate: which one, who told of it, and how long it lasts."""

    certificate: str
    source: str
    not_before: float | None
    not_after: float


class ProxyState(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of an Envoy beyond its ports; null and empty mean not known."""

    captured: bool | None
    envoy_live: bool | None
    xds_connected: bool | None
    listeners: Mapping[str, float]
    bound: Mapping[str, bool]
    rejected: Mapping[str, bool]
    rejected_reasons: Mapping[str, str]


class TargetState(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is known of one target; `polled` is empty before the first look.

    `chain`: what has to hold before the target serves, in order.
    """

    namespace: str
    pod: str
    role: str
    addresses: tuple[str, ...]
    node: str
    workload: str
    revision: str
    istio_version: str
    state: str
    diagnosis: CauseDocument | None
    ready: Mapping[str, bool]
    chain: tuple[ReadinessStep, ...]
    ports: tuple[PortState, ...]
    proxy: ProxyState
    certificates: tuple[CertificateState, ...]
    spiffe_id: str
    listening: tuple[Listener, ...]
    polled: Mapping[str, float]
    unseen: tuple[str, ...]


class CauseShown(msgspec.Struct, frozen=True, kw_only=True):
    """A cause that shows on a port."""

    cause: str
    sentence: str


class PortDocument(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the catalogue. Versions are Istio lines ("1.24"); null means no bound."""

    port: int
    name: str
    role: str
    component: str
    bind: str
    protocol: str
    category: str
    purpose: str
    escapes_capture: bool
    moved_by: str
    since: str | None
    until: str | None
    probe: str
    pod_probe: str
    by_hand: str
    causes: tuple[CauseShown, ...]


def target_state(
    target: Target, record: TargetRecord | None, extra: Iterable[ExtraPort] = ()
) -> TargetState:
    """The document of one target; `extra` are the user's own ports, for names and commands."""
    known = record or TargetRecord(target=target)
    ports = {port.number: port for port in ports_of(target, extra)}
    return TargetState(
        namespace=target.key.namespace,
        pod=target.key.pod,
        role=target.role,
        addresses=target.addresses,
        node=target.node,
        workload=target.workload,
        revision=target.revision,
        istio_version=target.istio_version,
        state=health_of(record),
        diagnosis=_cause(known.diagnosis),
        ready=known.ready,
        chain=readiness_steps(known),
        ports=tuple(
            _port_state(verdict, ports.get(verdict.port), known)
            for verdict in sorted(known.verdicts, key=lambda verdict: verdict.port)
        ),
        proxy=_proxy_state(known.proxy),
        certificates=tuple(map(_certificate, known.certificates)),
        spiffe_id=known.spiffe_id,
        listening=tuple(map(_listener, known.listening)),
        polled={str(cadence): at for cadence, at in known.polled.items()},
        unseen=known.undetected,
    )


def port_document(row: Port) -> PortDocument:
    """The document of one catalogue row, with the sentences of the causes that show on it."""
    return PortDocument(
        port=row.number,
        name=row.name,
        role=row.role,
        component=row.component,
        bind=row.bind,
        protocol=row.protocol,
        category=row.category,
        purpose=row.purpose,
        escapes_capture=row.escapes_capture,
        moved_by=row.moved_by_text,
        since=_line(row.since),
        until=_line(row.until),
        probe=row.probe or "",
        pod_probe=row.pod_probe or "",
        by_hand=command_by_hand(row.by_hand, row.number),
        causes=tuple(CauseShown(cause=one.id, sentence=one.sentence) for one in causes_on(row)),
    )


def command_by_hand(command: str, number: int, target: Target | None = None) -> str:
    """The command that looks at the port by hand; with placeholders where no target is given."""
    address = target.addresses[0] if target and target.addresses else "POD_IP"
    return command.format(
        address=f"[{address}]" if ":" in address else address,
        port=number,
        pod=target.key.pod if target else "POD",
        namespace=target.key.namespace if target else "NAMESPACE",
    )


def _port_state(verdict: Verdict, port: TargetPort | None, record: TargetRecord) -> PortState:
    return PortState(
        port=verdict.port,
        name=port.name if port else "",
        component=verdict.component,
        up=verdict.up,
        outcome=verdict.outcome,
        view=verdict.view,
        detail=verdict.detail,
        seconds=round(record.durations.get(verdict.port, 0.0), 6),
        naive=verdict.naive,
        exposed=verdict.exposed,
        last_ok=record.last_ok.get(verdict.port),
        by_hand=command_by_hand(port.by_hand, verdict.port, record.target) if port else "",
    )


def _cause(diagnosis: Diagnosis | None) -> CauseDocument | None:
    if diagnosis is None:
        return None
    return CauseDocument(
        cause=diagnosis.cause,
        cause_class=diagnosis.cause_class,
        sentence=diagnosis.sentence,
        advice=diagnosis.advice,
        evidence=diagnosis.evidence,
    )


def _proxy_state(proxy: ProxyStatus) -> ProxyState:
    return ProxyState(
        captured=proxy.captured,
        envoy_live=proxy.envoy_live,
        xds_connected=proxy.xds_connected,
        listeners=proxy.listeners,
        bound=proxy.bound,
        rejected=proxy.rejected,
        rejected_reasons=proxy.rejected_reasons,
    )


def _certificate(life: CertificateValidity) -> CertificateState:
    return CertificateState(
        certificate=life.certificate,
        source=life.source,
        not_before=life.not_before,
        not_after=life.not_after,
    )


def _listener(socket: ListeningSocket) -> Listener:
    return Listener(
        port=socket.port,
        address=socket.address,
        process=socket.process,
        protocol=socket.protocol,
    )


def _line(version: tuple[int, int] | None) -> str | None:
    return None if version is None else f"{version[0]}.{version[1]}"
