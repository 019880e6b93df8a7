"""Diagnosis: what a target's observations mean. Pure: values in, values out, no clock.

`diagnose` reads the observations into `evidence`, updates `memory`, judges each port
(`verdicts`) and finds the first cause whose condition holds (`causes`). A healthy target that shows
the same again has the same record (`memo`). It is total: any observations give a record.
"""

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from exporter.catalogue import TargetPort
from exporter.config import Config
from exporter.diagnosis.agent_page import is_wanted_sooner
from exporter.diagnosis.case import Case
from exporter.diagnosis.causes import first_cause, undetected_causes
from exporter.diagnosis.evidence import Evidence, read_evidence
from exporter.diagnosis.lost_answers import read_lost, silent_probes
from exporter.diagnosis.memo import memo_of, reused_record
from exporter.diagnosis.memory import mark_answers, remember
from exporter.diagnosis.proxy_status import proxy_of, readiness_of
from exporter.diagnosis.refusals import read_refusals
from exporter.diagnosis.remembered_pod_view import with_pod_view
from exporter.diagnosis.target_certificates import (
    certificates_of,
    presented_certificate,
    presented_root,
    server_certificates_of,
)
from exporter.diagnosis.verdicts import judge
from exporter.model import (
    CauseClass,
    Diagnosis,
    Memory,
    Observation,
    Role,
    Target,
    TargetRecord,
    WebhookPath,
)
from exporter.model.interning import shared, shared_mapping


def diagnose(  # noqa: PLR0913 - the inputs of a poll
    target: Target,
    ports: Sequence[TargetPort],
    observations: Sequence[Observation],
    memory: Memory,
    config: Config,
    now: float,
    *,
    in_mesh: bool = False,
    step: float = 0.0,
    webhook: WebhookPath | None = None,
) -> tuple[TargetRecord, Memory]:
    """What one poll's observations mean, and what the next poll needs to know.

    Args:
        target: whose they are.
        ports: its ports, from `catalogue.ports_of`.
        observations: one per port, view and address, those that decide on 15006 included.
        memory: what the last poll returned; `Memory()` for the first.
        config: intervals and graces.
        now: seconds since the epoch.
        in_mesh: the exporter sits behind a sidecar, so that nothing it sees can be trusted.
        step: how far the wall clock is ahead of `now`; certificates are judged by it.
        webhook: what the API server's last dry run of the injection webhook showed, for istiods.
    """
    evidence = Evidence(target, ports, config, now, in_mesh, step)
    if not in_mesh and (reused := reused_record(evidence, observations, memory)):
        return reused
    silent = silent_probes(observations)
    observations = read_lost(ports, observations, memory)
    observations, since = read_refusals(target, observations, memory.refused_since, now)
    memory = replace(memory, memo=None, record=None, refused_since=since, silent=silent)
    evidence.webhook = webhook if target.role is Role.ISTIOD else None
    read_evidence(evidence, observations)
    known = memory if in_mesh else remember(evidence, with_pod_view(evidence, memory))
    judged = judge(evidence, known)
    verdicts = judged.verdicts
    ready = {} if in_mesh else readiness_of(evidence, verdicts)
    case = Case(evidence, known, verdicts, proxy_of(evidence, known, verdicts), ready)
    diagnosis = first_cause(case)
    known = mark_answers(known, verdicts.values(), now)
    is_fault = diagnosis is not None and diagnosis.cause_class is CauseClass.FAULT
    known = replace(known, faulty_polls=known.faulty_polls + is_fault)
    record = _record_of(case, known, diagnosis, judged.durations)
    known = replace(
        known,
        fault=_fault_before_deletion(record, known),
        is_abnormal=not in_mesh and (diagnosis is not None or is_wanted_sooner(evidence, known)),
    )
    memo = memo_of(evidence, observations, record, known)
    return record, replace(known, memo=memo, record=record if memo else None)


def _record_of(
    case: Case, memory: Memory, diagnosis: Diagnosis | None, durations: Mapping[int, float]
) -> TargetRecord:
    in_mesh = case.evidence.in_mesh
    presented = None if in_mesh else presented_certificate(memory)
    return TargetRecord(
        target=case.target,
        verdicts=shared(tuple(case.verdicts.values())),
        ready=shared_mapping(case.ready),
        diagnosis=diagnosis,
        proxy=case.proxy,
        control_plane=memory.istiod.value if memory.istiod else None,
        listings=memory.listings,
        certificates=certificates_of(case.evidence, memory),
        spiffe_id=presented.value.spiffe_id if presented else "",
        version=_reported_version(memory),
        root="" if in_mesh else presented_root(memory),
        servers=() if in_mesh else server_certificates_of(memory),
        listening=memory.listening,
        durations=durations,
        polled=memory.polled,
        last_ok=memory.last_ok,
        undetected=undetected_causes(case),
        polls=memory.polls,
        faulty_polls=memory.faulty_polls,
    )


def _reported_version(memory: Memory) -> str:
    """Istio's version by Envoy's bootstrap or its statistics; empty where neither was read."""
    bootstrap = memory.admin.value.istio_version if memory.admin else ""
    return bootstrap or (memory.stats.value.build if memory.stats else "")


def _fault_before_deletion(record: TargetRecord, memory: Memory) -> str:
    """The cause of the present fault; of the last one where the pod is being deleted."""
    if record.target.lifecycle.terminating:
        return memory.fault
    found = record.diagnosis
    return found.cause if found and found.cause_class is CauseClass.FAULT else ""
