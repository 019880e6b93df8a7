"""The RULES table: cause by cause, the condition on a case; the first that holds is the diagnosis.

Pure. A condition returns the sentences that speak for its cause, or None. The order is that of
`causes`, from what makes all else meaningless to what merely costs data.
"""

from collections.abc import Callable
from dataclasses import dataclass

from exporter.diagnosis.case import Case
from exporter.diagnosis.causes import CAUSES
from exporter.diagnosis.conditions import (
    istiod_replica,
    proxy_processes,
    reachability,
    running_proxy,
)
from exporter.model import Diagnosis, Role

Condition = Callable[[Case], tuple[str, ...] | None]

_ALL = frozenset(Role)
_ENVOYS = frozenset({Role.SIDECAR, Role.GATEWAY, Role.WAYPOINT})
_AGENTS = _ENVOYS | {Role.PROXYLESS}
_PROXIES = _AGENTS | {Role.ZTUNNEL, Role.AGENTGATEWAY}
_SIDECAR = frozenset({Role.SIDECAR})
_ISTIOD = frozenset({Role.ISTIOD})


@dataclass(frozen=True, slots=True)
class Rule:
    """One row: the cause, the roles that it can hit, and when it does.

    `remedy`: what to do in this very case; empty, or without it, the cause's own advice holds.
    """

    cause: str
    roles: frozenset[Role]
    condition: Condition
    remedy: Callable[[Case], str] | None = None


RULES: tuple[Rule, ...] = (
    Rule("unknown", _ALL, reachability.exporter_is_suspect),
    Rule("draining", _ALL, reachability.is_terminating),
    Rule("starting", _ALL, reachability.is_starting),
    Rule("node_unreachable", _ALL, reachability.node_is_gone),
    Rule("network_blocked", _ALL, reachability.network_blocks),
    Rule("unreachable", _ALL, reachability.nothing_answers),
    Rule("port_taken", _AGENTS, proxy_processes.port_is_taken),
    Rule("address_family_mismatch", _ALL, reachability.families_differ),
    Rule("proxy_not_running", _PROXIES, proxy_processes.proxy_is_down),
    Rule("envoy_stuck", _ENVOYS, proxy_processes.envoy_is_stuck),
    Rule("agent_stuck", _AGENTS, proxy_processes.agent_is_stuck),
    Rule("agent_gone", _ENVOYS, proxy_processes.agent_is_gone),
    Rule("configuration_rejected", _ENVOYS, proxy_processes.update_was_rejected),
    Rule("identity_not_issued", _AGENTS, proxy_processes.identity_is_missing),
    Rule("configuration_incomplete", _AGENTS, proxy_processes.configuration_is_partial),
    Rule("istiod_unreachable", _AGENTS, proxy_processes.istiod_never_answered),
    Rule("certificate_expired", _ALL, running_proxy.certificate_has_ended),
    Rule("redirection_missing", _SIDECAR, running_proxy.redirection_is_missing),
    Rule("admin_exposed", _ENVOYS, running_proxy.admin_is_open),
    Rule("xds_disconnected", _AGENTS, running_proxy.istiod_is_lost),
    Rule("listener_warming", _ENVOYS, running_proxy.listener_waits),
    Rule("admin_slow", _ENVOYS, running_proxy.admin_is_slow),
    Rule("stats_too_large", _ENVOYS, running_proxy.stats_are_large),
    Rule("dns_proxy_failing", _AGENTS, running_proxy.dns_fails),
    Rule("application_metrics_broken", _AGENTS, running_proxy.application_scrape_fails),
    Rule("application_unhealthy", _AGENTS, running_proxy.application_is_unhealthy),
    Rule("istiod_replica_stuck", _ISTIOD, istiod_replica.replica_is_stuck),
    Rule("istiod_not_ready", _ISTIOD, istiod_replica.istiod_is_not_ready),
    Rule(
        "webhook_unreachable",
        _ISTIOD,
        istiod_replica.webhook_is_dropped,
        istiod_replica.webhook_remedy,
    ),
    Rule("webhook_not_serving", _ISTIOD, istiod_replica.webhook_is_silent),
    Rule("ztunnel_not_ready", frozenset({Role.ZTUNNEL}), istiod_replica.ztunnel_is_not_ready),
    Rule("cni_not_ready", frozenset({Role.CNI}), istiod_replica.cni_is_not_ready),
    Rule("access_restricted", _ALL, running_proxy.access_is_forbidden, istiod_replica.debug_remedy),
)

_RULES_BY_ROLE = {role: tuple(rule for rule in RULES if role in rule.roles) for role in Role}


def first_cause(case: Case) -> Diagnosis | None:
    """The first cause whose condition holds; None is a target with nothing to say of."""
    for rule in _RULES_BY_ROLE[case.target.role]:
        evidence = rule.condition(case)
        if evidence is not None:
            return CAUSES[rule.cause].diagnosis(evidence, rule.remedy(case) if rule.remedy else "")
    return None
