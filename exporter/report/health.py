"""The health of a target in one word, the same for the page, the API and `check`. Pure.

`charts/dashboards/values.py` has the same condition in PromQL; a test holds both together.
"""

from enum import StrEnum

from exporter.model import CauseClass, TargetRecord


class Health(StrEnum):
    """What all verdicts on a target come to; the last three are the classes of its cause."""

    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"
    UNJUDGED = "unjudged"
    TRANSITION = "transition"
    POLICY = "policy"
    APPLICATION = "application"


WORST_FIRST = (*(health for health in Health if health is not Health.HEALTHY), Health.HEALTHY)
"""The order of lists: what is unhealthy, what nobody knows, what a cause explains, the rest."""


def health_of(record: TargetRecord | None) -> Health:
    """The health that a record shows; None stands for a target before its first poll.

    Unhealthy: its cause is a fault, or a port is down or an endpoint reports not ready and no
    cause explains it. Unjudged: its cause is the exporter itself, or nothing could be judged.
    """
    if record is None:
        return Health.UNJUDGED
    kind = record.diagnosis.cause_class if record.diagnosis else None
    if kind is CauseClass.FAULT:
        return Health.UNHEALTHY
    judged = [*(v.up for v in record.verdicts if v.up is not None), *record.ready.values()]
    if kind is CauseClass.EXPORTER or not judged:
        return Health.UNJUDGED
    if kind is not None:
        return Health(kind)
    return Health.HEALTHY if all(judged) else Health.UNHEALTHY
