"""Targets as documents: records in, structs for JSON out. Pure.

`check -o json` prints the same documents as the API, so a script reads one format. Times are
seconds since the epoch, durations seconds.
"""

from collections.abc import Iterable, Mapping

import msgspec

from exporter.catalogue import ExtraPort, TargetPort, ports_of
from exporter.model import (
    CertificateValidity,
    Diagnosis,
    ListeningSocket,
    Target,
    TargetRecord,
    Verdict,
)
from exporter.report.health import health_of
from exporter.report.port_documents import command_by_hand
from exporter.report.readiness_steps import ReadinessStep, readiness_steps


class PortState(msgspec.Struct, frozen=True, kw_only=True):
    """One port of one target. `up` null: unjudged, and `outcome` is the reason.

    `naive`: whether a plain connect succeeds; null where none was tried.
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


class ProxyState(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of an Envoy or ztunnel beyond its ports; null and empty mean not known."""

    captured: bool | None
    envoy_live: bool | None
    xds_connected: bool | None
    listeners: Mapping[str, float]
    bound: Mapping[str, bool]
    rejected: Mapping[str, bool]
    rejected_reasons: Mapping[str, str]
    workloads: Mapping[str, float]


class TargetState(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is known of one target; `polled` is empty before the first poll.

    `readiness_steps`: what has to hold before the target serves, in order. `undetected_causes`:
    causes that the polls so far could not show. `chain`, `unseen`: the deprecated names of both.
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
    diagnosis: Diagnosis | None
    ready: Mapping[str, bool]
    readiness_steps: tuple[ReadinessStep, ...]
    chain: tuple[ReadinessStep, ...]
    ports: tuple[PortState, ...]
    proxy: ProxyState
    certificates: tuple[CertificateValidity, ...]
    spiffe_id: str
    listening: tuple[ListeningSocket, ...]
    polled: Mapping[str, float]
    undetected_causes: tuple[str, ...]
    unseen: tuple[str, ...]


def target_state(
    target: Target, record: TargetRecord | None, extra: Iterable[ExtraPort] = ()
) -> TargetState:
    """The document of one target; `extra` are the user's own ports, for names and commands."""
    known = record or TargetRecord(target=target)
    ports = {port.number: port for port in ports_of(target, extra)}
    steps = readiness_steps(known)
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
        diagnosis=known.diagnosis,
        ready=known.ready,
        readiness_steps=steps,
        chain=steps,
        ports=tuple(
            _port_state(verdict, ports.get(verdict.port), known)
            for verdict in sorted(known.verdicts, key=lambda verdict: verdict.port)
        ),
        proxy=msgspec.convert(known.proxy, ProxyState, from_attributes=True),
        certificates=known.certificates,
        spiffe_id=known.spiffe_id,
        listening=known.listening,
        polled={str(cadence): at for cadence, at in known.polled.items()},
        undetected_causes=known.undetected,
        unseen=known.undetected,
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
