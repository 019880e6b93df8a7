"""Conditions of the causes on proxies and agents that are no Envoy: ztunnel, CNI, agentgateway.

Pure.
"""

from exporter.diagnosis.case import NO_FAULT, Case, Sentences
from exporter.diagnosis.conditions.proxy_processes import describe_if_down, start_remedy
from exporter.model import PortName


def ztunnel_is_not_ready(case: Case) -> Sentences:
    """The readiness names what is pending, fails, or stays silent."""
    seen = case.evidence.seen(PortName.READINESS)
    if seen is None or case.outcome(PortName.READINESS) in NO_FAULT:
        return None
    return (*case.describe(PortName.READINESS), *((seen.detail,) if seen.detail else ()))


def node_agent_remedy(case: Case) -> str:
    """What to do about a node agent that was not started, or that hangs; empty elsewhere."""
    return start_remedy(case) or (_SILENT if case.hangs(PortName.READINESS) else "")


_SILENT = (
    "It accepts connections and answers none: look at its CPU limit and throttling and at the CPU"
    " of its node; if it stays, restart its pod."
)


def cni_is_not_ready(case: Case) -> Sentences:
    """The node agent's /readyz is anything but 200."""
    if case.outcome(PortName.READINESS) in NO_FAULT:
        return describe_if_down(case)
    return case.describe(PortName.READINESS)


def agentgateway_is_not_ready(case: Case) -> Sentences:
    """Its readiness on 15021 fails, or a waypoint's 15008 is not served."""
    hbone = case.verdict(PortName.HBONE)
    if hbone is not None and hbone.up is False:
        return case.describe(PortName.READINESS, PortName.HBONE)
    if case.outcome(PortName.READINESS) in NO_FAULT:
        return None
    return case.describe(PortName.READINESS)


_LASTING_POLLS = 2
"""A pod that starts is pending in one detail poll, not in two in a row."""


def workload_stays_pending(case: Case) -> Sentences:
    """The count of pending workloads was above 0 in two detail polls in a row."""
    seen = case.memory.ztunnel
    if seen is None or case.memory.pending_polls < _LASTING_POLLS:
        return None
    counts = f"{seen.value.pending:.0f} workloads are pending, {seen.value.active or 0:.0f} active"
    return (*case.describe(PortName.STATS), counts)


def ztunnel_is_apart(case: Case) -> Sentences:
    """No ztunnel of the node was connected to its CNI agent in two polls in a row."""
    if case.memory.lonely_polls < _LASTING_POLLS:
        return None
    return (*case.describe(PortName.MONITORING), "its page counts no ztunnel as connected")


def ztunnel_may_be_apart(case: Case) -> bool:
    """Whether that was so in the last poll, and not in the one before: a ztunnel may restart."""
    return 0 < case.memory.lonely_polls < _LASTING_POLLS
