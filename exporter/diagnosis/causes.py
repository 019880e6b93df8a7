"""The closed table of causes, in the order in which they are tried.

The first cause of the target's role whose condition holds is the diagnosis: from what makes all
else meaningless to what merely costs data. Ids are stable: metrics, alerts, pages and runbooks
name them. `docs/diagnosis.md` and the served runbooks are made from this table.
"""

from exporter.catalogue import Port
from exporter.diagnosis.case import Case
from exporter.diagnosis.cause import Cause
from exporter.diagnosis.control_plane_causes import CONTROL_PLANE_CAUSES
from exporter.diagnosis.proxy_causes import PROXY_CAUSES
from exporter.diagnosis.reachability_causes import REACHABILITY_CAUSES
from exporter.model import Diagnosis, Role

_TABLE = (*REACHABILITY_CAUSES, *PROXY_CAUSES, *CONTROL_PLANE_CAUSES)

CAUSES = {cause.id: cause for cause in _TABLE}
"""Every cause by its id, in the order of the table."""

_BY_ROLE = {role: tuple(cause for cause in _TABLE if role in cause.roles) for role in Role}


def first_cause(case: Case) -> Diagnosis | None:
    """The first cause whose condition holds; None for a target without one."""
    for cause in _BY_ROLE[case.target.role]:
        evidence = cause.condition(case)
        if evidence is not None:
            return cause.diagnosis(evidence, cause.remedy(case) if cause.remedy else "")
    return None


def undetected_causes(case: Case) -> tuple[str, ...]:
    """Causes that the polls so far cannot have shown, whatever is wrong."""
    causes = _BY_ROLE[case.target.role]
    return tuple(cause.id for cause in causes if cause.undetected and cause.undetected(case))


def causes_on(row: Port) -> tuple[Cause, ...]:
    """The causes that the state of this port shows, in the order of the table."""
    return tuple(cause for cause in _TABLE if cause.shows_on(row))
