"""The closed table of causes, in the order in which they are tried.

The first cause of the target's role whose condition holds is the diagnosis: from what makes all
else meaningless to what merely costs data. Ids are stable: metrics, alerts, pages and runbooks
name them. `docs/diagnosis.md` and the served runbooks are made from this table.
"""

import re
from itertools import islice

from msgspec.structs import replace

from exporter.bounds import SENTENCE, SENTENCES, cut_text
from exporter.catalogue import PORTS_BY_ROLE, Port
from exporter.diagnosis.ambient_causes import AMBIENT_CAUSES, AMBIENT_ORDER
from exporter.diagnosis.case import Case
from exporter.diagnosis.cause import Cause
from exporter.diagnosis.control_plane_causes import CONTROL_PLANE_CAUSES
from exporter.diagnosis.lifecycle_causes import LIFECYCLE_CAUSES
from exporter.diagnosis.proxy_causes import PROXY_CAUSES
from exporter.diagnosis.reachability_causes import REACHABILITY_CAUSES
from exporter.diagnosis.running_proxy_causes import RUNNING_PROXY_CAUSES
from exporter.model import Diagnosis, Role, Target

_TABLE = (
    *LIFECYCLE_CAUSES,
    *REACHABILITY_CAUSES,
    *AMBIENT_CAUSES,
    *PROXY_CAUSES,
    *RUNNING_PROXY_CAUSES,
    *CONTROL_PLANE_CAUSES,
)

CAUSES = {cause.id: cause for cause in _TABLE}
"""Every cause by its id, in the order of the table."""

_BY_ROLE = {role: tuple(cause for cause in _TABLE if role in cause.roles) for role in Role}
_BY_ROLE[Role.AMBIENT] = (
    *(cause for cause in LIFECYCLE_CAUSES if Role.AMBIENT in cause.roles),
    *(CAUSES[name] for name in AMBIENT_ORDER),
)


def first_cause(case: Case) -> Diagnosis | None:
    """The first cause whose condition holds, else whose fallback does; None without one.

    A fault that began before Kubernetes began to delete the pod stays the cause while it holds.
    """
    causes = _BY_ROLE[case.target.role]
    for cause in causes:
        evidence = cause.holds(case)
        if evidence is not None:
            earlier = _earlier_fault(case) if cause.id == _DRAINING else None
            return earlier or _diagnosis(case, cause, evidence)
    for cause in causes:
        if cause.fallback and (evidence := cause.fallback(case)) is not None:
            return _diagnosis(case, cause, evidence)
    return None


def undetected_causes(case: Case) -> tuple[str, ...]:
    """Causes that the polls so far cannot have shown, whatever is wrong."""
    causes = _BY_ROLE[case.target.role]
    return tuple(cause.id for cause in causes if cause.undetected and cause.undetected(case))


_DRAINING = "draining"


def _earlier_fault(case: Case) -> Diagnosis | None:
    cause = CAUSES.get(case.memory.fault) if case.target.lifecycle.terminating else None
    evidence = cause.holds(case) if cause else None
    return _diagnosis(case, cause, evidence) if cause and evidence is not None else None


def _diagnosis(case: Case, cause: Cause, evidence: tuple[str, ...]) -> Diagnosis:
    """With what the kubelet reports of the containers, where it explains the cause."""
    explains = case.explain_containers(cause.cause_class)
    usual = _with_own_ports(cause.advices.get(case.target.role, cause.advice), case.target)
    remedy = (cause.remedy(case) if cause.remedy else "") or usual
    sentences = islice(dict.fromkeys((*evidence, *explains)), SENTENCES)
    found = cause.diagnosis(tuple(cut_text(one, SENTENCE) for one in sentences), remedy)
    return replace(found, sentence=_with_own_ports(found.sentence, case.target))


_NUMBER = re.compile(r"\b[0-9]{4,5}\b")


def _with_own_ports(text: str, target: Target) -> str:
    """A text of the table with the numbers of this target's ports in place of the usual ones."""
    own = {row.number: row.number_in(target.settings) for row in PORTS_BY_ROLE[target.role]}
    return _NUMBER.sub(lambda found: str(own.get(int(found[0])) or found[0]), text)


def causes_on(row: Port) -> tuple[Cause, ...]:
    """The causes that the state of this port shows, in the order of the table."""
    return tuple(cause for cause in _TABLE if cause.shows_on(row))
