"""Conditions of the causes on a workload in ambient: enrolment, redirection, who serves it. Pure.

"Refuses" is a reset, which is the pod's own; what the network rejects by ICMP is no refusal.
"""

from collections.abc import Callable

from exporter.diagnosis.case import Case, Sentences
from exporter.diagnosis.container_evidence import duration
from exporter.diagnosis.evidence import describe
from exporter.diagnosis.liveness import kubernetes_reports_ready
from exporter.diagnosis.workload_evidence import (
    AddressEvidence,
    accepts,
    addresses_of,
    awaits_pod_view,
    families,
    is_served_in_pod,
    lacks_redirection,
    refuses,
)
from exporter.model import Observation, Outcome, PortName, Redirection, Role


def is_starting(case: Case) -> Sentences:
    """Not enrolled yet, or not handed to ztunnel yet, within the start grace."""
    age = _age(case)
    is_new = age is not None and age < case.config.discovery.start_grace
    if not is_new or case.target.redirection not in _UNFINISHED or not _rows(case, _lacks_ztunnel):
        return None
    return (f"the pod was made {age:.0f} s ago", _annotation(case))


_UNFINISHED = (Redirection.PENDING, Redirection.MISSING)


def network_blocks(case: Case) -> Sentences:
    """The network rejects 15008, or drops it while something else shows that the pod lives."""
    rows = _rows(case, lambda row: _is_blocked(case, row))
    if not rows:
        return None
    return (*_all(case, rows), *_why_not_the_pod(case, rows))


def _is_blocked(case: Case, row: AddressEvidence) -> bool:
    if row.hbone is None or row.hbone.outcome in (Outcome.OK, Outcome.LOST):
        return False
    in_pod = _in_pod(case, row)
    if refuses(row.hbone):
        return bool(in_pod) or (in_pod is None and accepts(row.control))
    if row.hbone.outcome is Outcome.REJECTED or accepts(row.control):
        return True
    if row.is_silent:
        return bool(in_pod) or kubernetes_reports_ready(case.target.lifecycle)
    return row.hbone.outcome.is_silent and row.responds and not row.lets_strangers_in


def _why_not_the_pod(case: Case, rows: list[AddressEvidence]) -> tuple[str, ...]:
    if any(_in_pod(case, row) for row in rows):
        return (f"in the pod ztunnel serves {_hbone(case)}",)
    if kubernetes_reports_ready(case.target.lifecycle):
        return ("Kubernetes reports that pod and node are ready",)
    return ()


def admit_advice(case: Case) -> str:
    """What a policy has to admit; empty for what is not in ambient."""
    if case.target.settings.ambient:
        return _ADMIT_THROUGH_ZTUNNEL
    if case.target.role is not Role.AMBIENT:
        return ""
    control = next((one.port for one in case.evidence.connects), case.config.poll.control_port)
    return (
        f"Admit TCP {_hbone(case)} and {control} beside the application's ports, from the "
        f"exporter's namespace; mesh clients need {_hbone(case)} from everywhere. Tunnels that are "
        "open live on: clients notice at their next connection."
    )


_ADMIT_THROUGH_ZTUNNEL = (
    "Let the exporter's plaintext reach 15020, 15021 and 15090 through the proxy's ztunnel: by a "
    "PeerAuthentication that is PERMISSIVE on these ports, and by AuthorizationPolicies; or take "
    "the proxy out of ambient (label istio.io/dataplane-mode: none)."
)


def nothing_answers(case: Case) -> Sentences:
    """Everything is silent at an address, and nothing more is known."""
    rows = _rows(case, lambda row: row.is_silent and _in_pod(case, row) is not False)
    if not rows:
        return None
    return (f"no port answers{families(rows, case.evidence)}, not even with a refusal",)


def port_is_taken(case: Case) -> Sentences:
    """15008 is held by something that is not TLS, or has no mesh identity, or is no ztunnel."""
    names = (PortName.HBONE, PortName.VIRTUAL_INBOUND, PortName.VIRTUAL_OUTBOUND, PortName.DNS)
    own = {case.number(name) for name in names}
    taken = [
        f"{verdict.port}: {verdict.detail}"
        for verdict in case.verdicts.values()
        if verdict.outcome in (Outcome.WRONG_PROTOCOL, Outcome.WRONG_IDENTITY)
        and verdict.port in own
    ]
    return tuple(taken) or None


def redirection_is_missing(case: Case) -> Sentences:
    """15008 accepts, by ztunnel, and the control port refuses."""
    rows = _rows(case, lambda row: lacks_redirection(case.evidence, case.memory, row))
    if not rows:
        return None
    where = families(rows, case.evidence)
    open_ones = [_describe(case, one) for row in rows for one in row.applications if accepts(one)]
    return (
        f"{_hbone(case)} accepts and the control port refuses{where}",
        *dict.fromkeys(open_ones),
    )


def families_differ(case: Case) -> Sentences:
    """15008 accepts at one address and refuses at another."""
    refusing = _rows(case, _refuses_hbone)
    accepting = _rows(case, lambda row: accepts(row.hbone))
    if not refusing or not accepting:
        return None
    evidence = case.evidence
    where, elsewhere = families(refusing, evidence), families(accepting, evidence)
    return (f"{_hbone(case)} refuses{where} and accepts{elsewhere}",)


def is_not_enrolled(case: Case) -> Sentences:
    """No ztunnel is there, enrolment is requested, and istio-cni has annotated nothing."""
    return _unfinished(case, Redirection.MISSING, _lacks_ztunnel)


def enrolment_is_pending(case: Case) -> Sentences:
    """15008 refuses and the annotation is `pending`: rules without a ztunnel behind them."""
    return _unfinished(case, Redirection.PENDING, _refuses_hbone)


def _unfinished(
    case: Case, state: Redirection, holds: Callable[[AddressEvidence], bool]
) -> Sentences:
    rows = _rows(case, holds)
    if not rows or case.target.redirection is not state:
        return None
    age = _age(case)
    made = () if age is None else (f"the pod was made {duration(age)} ago",)
    return (*_all(case, rows), _annotation(case), *made)


def has_left_mesh(case: Case) -> Sentences:
    """15008 and the control port refuse, and a port of the application accepts.

    A 15008 that is silent changes nothing: the redirection would have accepted or refused for both.
    """
    rows = _rows(case, lambda row: row.lets_strangers_in)
    if not rows or awaits_pod_view(case.memory):
        return None
    return (*_all(case, rows), *_nobody_in_pod(case, rows), *_annotated(case))


def is_not_served(case: Case) -> Sentences:
    """15008 refuses, and nothing shows that strangers get in."""
    rows = _rows(
        case,
        lambda row: refuses(row.hbone) or (row.is_silent and _in_pod(case, row) is False),
    )
    if not rows or (awaits_pod_view(case.memory) and any(row.lets_strangers_in for row in rows)):
        return None
    unknown = () if case.target.settings.application_ports else (_NO_PORT_DECLARED,)
    return (*_all(case, rows), *_nobody_in_pod(case, rows), *_annotated(case), *unknown)


def enrolled_part_is_pending(case: Case) -> Sentences:
    """Everything of an enrolled part of Istio refuses, and its annotation is `pending`."""
    age, grace = _age(case), case.config.discovery.start_grace
    if case.target.redirection is not Redirection.PENDING or (age is not None and age < grace):
        return None
    return _refused_by_redirection(case)


def enrolled_part_is_not_served(case: Case) -> Sentences:
    """Everything of an enrolled part of Istio refuses, where its redirection would accept."""
    return _refused_by_redirection(case) if case.target.settings.ambient else None


def _refused_by_redirection(case: Case) -> Sentences:
    seen = [one for group in case.evidence.network.values() for one in group]
    if case.target.lifecycle.is_down or any(one.connected for one in seen):
        return None
    if not seen or not all(map(refuses, seen)):
        return None
    return (*dict.fromkeys(map(describe, seen)), _annotation(case))


def starved_advice(case: Case) -> str:
    """The advice where an enrolled proxy accepts everywhere and is silent; empty for any other."""
    return _ZTUNNEL_FIRST if case.target.settings.ambient else ""


_ZTUNNEL_FIRST = (
    "Look at ztunnel on the pod's node first, which accepts for every enrolled pod: where others "
    "of the node are silent too, restart it. Else look at the container's CPU limit and throttling."
)

_NO_PORT_DECLARED = "no port is declared that would show whether strangers get in"


def _rows(case: Case, holds: Callable[[AddressEvidence], bool]) -> list[AddressEvidence]:
    return [row for row in addresses_of(case.evidence) if holds(row)]


def _in_pod(case: Case, row: AddressEvidence) -> bool | None:
    return is_served_in_pod(case.evidence, case.memory, row)


def _nobody_in_pod(case: Case, rows: list[AddressEvidence]) -> tuple[str, ...]:
    is_shown = any(_in_pod(case, row) is False for row in rows)
    return (f"in the pod nobody serves {_hbone(case)}",) if is_shown else ()


def _lacks_ztunnel(row: AddressEvidence) -> bool:
    return row.lacks_ztunnel


def _refuses_hbone(row: AddressEvidence) -> bool:
    return refuses(row.hbone)


def _hbone(case: Case) -> int:
    return case.number(PortName.HBONE)


def _age(case: Case) -> float | None:
    created = case.target.lifecycle.created
    return None if created is None else case.now - created


def _annotation(case: Case) -> str:
    if case.target.redirection is Redirection.MISSING:
        return "label asks for ambient, and istio-cni has not annotated the pod"
    return f"its annotation ambient.istio.io/redirection is {case.target.redirection}"


def _annotated(case: Case) -> tuple[str, ...]:
    return (_annotation(case),) if case.target.redirection else ()


def _all(case: Case, rows: list[AddressEvidence]) -> tuple[str, ...]:
    found = [_describe(case, one) for row in rows for one in row.all]
    return tuple(dict.fromkeys(found))


def _describe(case: Case, seen: Observation) -> str:
    text = describe(seen)
    if seen in case.evidence.connects:
        text = f"the control port {text.split(' ', 1)[1]}"
    elif seen.outcome is Outcome.OK:
        text = f"{seen.port} accepts"
    if len(case.target.addresses) == 1:
        return text
    return f"{text} over {'IPv6' if ':' in seen.address else 'IPv4'}"
