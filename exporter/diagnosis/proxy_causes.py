"""Causes within a proxy: its processes and its first configuration."""

from exporter.diagnosis.cause import Cause
from exporter.diagnosis.conditions import (
    ambient_hellos,
    ambient_workload,
    first_configuration,
    node_agents,
    proxy_processes,
    rejected_updates,
)
from exporter.model import AGENT_ROLES, ENVOY_ROLES, HBONE_ROLES, PROXY_ROLES, PortName, Role

_OPEN = (
    PortName.VIRTUAL_INBOUND,
    PortName.STATUS,
    PortName.HEALTH,
    PortName.STATS,
    PortName.METRICS,
    PortName.READINESS,
)
"""What any proxy serves to the network."""

PROXY_CAUSES: tuple[Cause, ...] = (
    Cause(
        id="proxy_not_running",
        roles=PROXY_ROLES,
        condition=proxy_processes.proxy_is_down,
        remedy=proxy_processes.down_remedy,
        sentence="The proxy is not running: its ports refuse connections.",
        advice=(
            "Look at the container: kubectl describe pod, its last state, restarts and "
            "previous log."
        ),
        ports=(PortName.ADMIN, *_OPEN),
    ),
    Cause(
        id="container_starved",
        roles=(*ENVOY_ROLES, Role.AGENTGATEWAY),
        condition=proxy_processes.container_is_starved,
        remedy=ambient_workload.starved_advice,
        sentence="Every port accepts connections and none answers: the container gets no CPU.",
        advice=(
            "Look at the container's CPU limit and throttling, and at the CPU of its node; raise "
            "the limit."
        ),
        ports=_OPEN,
        also="the control port",
    ),
    Cause(
        id="connections_ended",
        roles=(*AGENT_ROLES, Role.AGENTGATEWAY),
        condition=proxy_processes.connections_are_ended,
        sentence="The proxy accepts connections and ends each without an answer.",
        advice=(
            "Look at what ends them: the proxy's limits on connections, memory and open files "
            "(its log, overload.envoy in its statistics), or a policy that resets on the way."
        ),
        ports=_OPEN,
        also="the control port",
    ),
    Cause(
        id="envoy_stuck",
        roles=ENVOY_ROLES,
        condition=proxy_processes.envoy_is_stuck,
        sentence="Envoy accepts connections and answers none, while the agent answers.",
        advice=("Look at CPU limits and throttling; take a stack of Envoy, then restart the pod."),
        ports=(PortName.VIRTUAL_INBOUND, PortName.STATUS, PortName.HEALTH, PortName.STATS),
    ),
    Cause(
        id="agent_stuck",
        roles=AGENT_ROLES,
        condition=proxy_processes.agent_is_stuck,
        sentence="The agent accepts connections and answers none, while Envoy answers.",
        advice="Look at CPU limits and at pilot-agent's log; restart the pod.",
        ports=(PortName.STATUS, PortName.HEALTH, PortName.STATS),
    ),
    Cause(
        id="agent_gone",
        roles=ENVOY_ROLES,
        condition=proxy_processes.agent_is_gone,
        sentence="Envoy runs without its agent: draining, or the agent has died.",
        advice=(
            "If the pod is not being deleted, restart it: configuration and certificates "
            "no longer arrive."
        ),
        ports=(PortName.XDS_DEBUG, PortName.STATUS, PortName.HEALTH, PortName.STATS),
    ),
    Cause(
        id="configuration_rejected",
        roles=ENVOY_ROLES,
        condition=rejected_updates.update_was_rejected,
        undetected=rejected_updates.rejection_is_undecided,
        remedy=rejected_updates.grant_for_listener,
        sentence="Envoy has rejected the last configuration that istiod sent.",
        advice=(
            "Read the reason (istioctl proxy-status, config_dump error_state, the proxy's "
            "log) and correct or remove that EnvoyFilter or resource."
        ),
        ports=(
            PortName.ADMIN,
            PortName.VIRTUAL_OUTBOUND,
            PortName.VIRTUAL_INBOUND,
            PortName.CONNECT_TERMINATE,
            PortName.STATUS,
            PortName.HEALTH,
            PortName.STATS,
        ),
    ),
    Cause(
        id="ztunnel_not_ready",
        roles=(Role.ZTUNNEL,),
        condition=node_agents.ztunnel_is_not_ready,
        remedy=node_agents.node_agent_remedy,
        sentence="This node's ztunnel is not ready: ambient traffic of the node stops.",
        advice="Look at the pending tasks: no istio-cni on the node, or no way to istiod.",
        ports=(PortName.ADMIN, PortName.HBONE, PortName.STATS, PortName.READINESS, PortName.DNS),
    ),
    Cause(
        id="identity_not_issued",
        roles=(*AGENT_ROLES, *HBONE_ROLES),
        condition=first_configuration.identity_is_missing,
        conditions=dict.fromkeys(HBONE_ROLES, ambient_hellos.identity_is_missing),
        advices=dict.fromkeys(
            HBONE_ROLES,
            "Read the log of ztunnel on this node for signing requests that fail, then that of the "
            "certificate authority (istiod); other pods of the node lose theirs when they end.",
        ),
        undetected=ambient_hellos.may_lack_identity,
        sentence="The proxy gets no certificate: its signing requests fail.",
        advice=(
            "Check the pod's service account token, the log of the certificate authority (istiod, "
            "or what CA_ADDR names) and the mesh's root certificate."
        ),
        ports=(PortName.HBONE, PortName.STATUS, PortName.HEALTH, PortName.STATS),
    ),
    Cause(
        id="configuration_incomplete",
        roles=AGENT_ROLES,
        condition=first_configuration.configuration_is_partial,
        remedy=first_configuration.bootstrap_advice,
        sentence=(
            "The proxy still waits for a part of its first configuration, or for a host name in "
            "its bootstrap."
        ),
        advice=(
            "Look for a missing secret or cluster: istioctl proxy-status, and admin /init_dump."
        ),
        advices={
            Role.PROXYLESS: (
                "Look in the agent's log for the bootstrap file of gRPC (GRPC_XDS_BOOTSTRAP) and "
                "for the certificates that it names (OUTPUT_CERTS): without them it is not ready."
            )
        },
        ports=(PortName.ADMIN, PortName.STATUS, PortName.HEALTH, PortName.STATS),
    ),
    Cause(
        id="istiod_unreachable",
        roles=AGENT_ROLES,
        condition=first_configuration.istiod_never_answered,
        sentence="The proxy has never got configuration: it does not reach istiod.",
        advice=(
            "From the pod, check DNS and the way to istiod's 15012, NetworkPolicies and "
            "istiod itself."
        ),
        ports=(PortName.STATUS, PortName.HEALTH, PortName.STATS),
    ),
)
