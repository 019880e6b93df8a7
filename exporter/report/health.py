"""The health of a target in one word. Pure."""

from enum import StrEnum

from exporter.model import CauseClass, TargetRecord


class Health(StrEnum):
    """What all verdicts on a target come to."""

    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"
    UNJUDGED = "unjudged"


def health_of(record: TargetRecord | None) -> Health:
    """The health that a record shows; None stands for a target before its first poll.

    Unhealthy: it has a cause, a port that is down, or an endpoint that reports not ready.
    Unjudged: no port could be judged, or the cause is the exporter itself.
    """
    if record is None:
        return Health.UNJUDGED
    if record.diagnosis:
        is_ours = record.diagnosis.cause_class is CauseClass.EXPORTER
        return Health.UNJUDGED if is_ours else Health.UNHEALTHY
    ups = [verdict.up for verdict in record.verdicts]
    if False in ups or False in record.ready.values():
        return Health.UNHEALTHY
    return Health.HEALTHY if True in ups else Health.UNJUDGED
