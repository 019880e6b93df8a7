"""Conditions of the causes on istiod replicas, ztunnels and CNI agents. Pure."""

from exporter.diagnosis.case import Case
from exporter.model import SILENT, Outcome

Evidence = tuple[str, ...] | None

_ISTIOD = ("http-debug", "grpc-xds", "tls-xds", "http-monitoring")


def replica_is_stuck(case: Case) -> Evidence:
    """A port of istiod accepts and stays silent."""
    stuck = [name for name in _ISTIOD if case.is_stuck(name)]
    return case.says(*stuck) if stuck else None


def istiod_is_not_ready(case: Case) -> Evidence:
    """8080 says 503 or refuses; or it says ready while 15012 refuses."""
    ready = case.outcome("http-debug")
    if ready is not None and ready is not Outcome.OK and ready not in SILENT | {Outcome.BLOCKED}:
        return case.says("http-debug")
    return case.says("http-debug", "tls-xds") if case.refuses("tls-xds") else None


def webhook_is_dropped(case: Case) -> Evidence:
    """Connections to 15017 are dropped while the rest of istiod answers."""
    if (
        case.outcome("http-debug") is Outcome.OK
        and case.outcome("https-webhooks") is Outcome.BLOCKED
    ):
        return case.says("http-debug", "https-webhooks")
    return None


def webhook_is_silent(case: Case) -> Evidence:
    """8080 says ready and 15017 does not answer as it should."""
    webhook = case.outcome("https-webhooks")
    if webhook in (None, Outcome.OK, Outcome.BLOCKED, Outcome.CAPTURED):
        return None
    if case.outcome("http-debug") is Outcome.OK:
        return case.says("http-debug", "https-webhooks")
    return None


def ztunnel_is_not_ready(case: Case) -> Evidence:
    """The readiness names what is pending, fails, or stays silent."""
    seen = case.evidence.seen("readiness")
    if seen is None or case.outcome("readiness") in (None, Outcome.OK, Outcome.BLOCKED):
        return None
    return (*case.says("readiness"), *((seen.detail,) if seen.detail else ()))


def cni_is_not_ready(case: Case) -> Evidence:
    """The node agent's /readyz is anything but 200."""
    if case.outcome("readiness") in (None, Outcome.OK, Outcome.BLOCKED):
        return None
    return case.says("readiness")
