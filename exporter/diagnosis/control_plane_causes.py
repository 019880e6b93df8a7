"""Causes of istiods, ztunnels, CNI agents, agentgateways; last, what any target forbids."""

from exporter.diagnosis.cause import Cause
from exporter.diagnosis.conditions import (
    istiod_replica,
    node_agents,
    running_proxy,
)
from exporter.model import ALL_ROLES, CauseClass, PortName, Role

CONTROL_PLANE_CAUSES: tuple[Cause, ...] = (
    Cause(
        id="istiod_replica_stuck",
        roles=(Role.ISTIOD,),
        condition=istiod_replica.replica_is_stuck,
        sentence="This istiod replica accepts connections and answers none.",
        advice="Delete the replica's pod; look at its CPU, memory and push queue.",
        ports=(
            PortName.HTTP_DEBUG,
            PortName.GRPC_XDS,
            PortName.TLS_XDS,
            PortName.HTTP_MONITORING,
            PortName.HTTPS_WEBHOOKS,
        ),
    ),
    Cause(
        id="istiod_not_ready",
        roles=(Role.ISTIOD,),
        condition=istiod_replica.istiod_is_not_ready,
        remedy=istiod_replica.istiod_remedy,
        sentence="This istiod replica is not ready.",
        advice=(
            "Read istiod's log for what keeps syncing: without an API server, without the right to "
            "list a resource or with custom resources of another version (Gateway API) it never "
            "becomes ready."
        ),
        ports=(PortName.HTTP_DEBUG, PortName.GRPC_XDS, PortName.TLS_XDS, PortName.HTTP_MONITORING),
    ),
    Cause(
        id="webhook_unreachable",
        roles=(Role.ISTIOD,),
        condition=istiod_replica.webhook_is_dropped,
        sentence=(
            "istiod is ready but its webhook port 15017 is not reached: pods cannot be injected."
        ),
        advice="Open 15017 from the API server to istiod in firewalls and NetworkPolicies.",
        remedy=istiod_replica.webhook_remedy,
        ports=(PortName.HTTPS_WEBHOOKS,),
        also="a dry run by the API server",
    ),
    Cause(
        id="webhook_not_serving",
        roles=(Role.ISTIOD,),
        condition=istiod_replica.webhook_is_silent,
        sentence=(
            "istiod reports ready but its webhooks on 15017 do not answer: pods cannot be injected."
        ),
        advice="Read istiod's log for its serving certificate; wait if it has just started.",
        ports=(PortName.HTTP_DEBUG, PortName.HTTPS_WEBHOOKS),
    ),
    Cause(
        id="istiod_port_down",
        roles=(Role.ISTIOD,),
        condition=istiod_replica.port_is_down,
        sentence="istiod is ready and serves proxies, but for one of its other ports.",
        advice=(
            "Compare the port with istiod's arguments and look in its log for a failed bind; a "
            "policy may reset connections to that port alone."
        ),
        ports=(PortName.GRPC_XDS, PortName.HTTP_MONITORING, PortName.CONTROLZ),
    ),
    Cause(
        id="ztunnel_workload_pending",
        roles=(Role.ZTUNNEL,),
        condition=node_agents.workload_stays_pending,
        undetected=running_proxy.is_first_poll,
        sentence="ztunnel cannot start to serve some pod of this node, and reports ready.",
        advice=(
            "Read ztunnel's log for the pod: its application may hold 15001, 15006, 15008 or "
            "15053, or its namespace may have no ::1."
        ),
        ports=(PortName.STATS,),
    ),
    Cause(
        id="cni_not_ready",
        roles=(Role.CNI,),
        condition=node_agents.cni_is_not_ready,
        remedy=node_agents.node_agent_remedy,
        sentence="This node's istio-cni is not ready: new pods get no redirection.",
        advice="Look at the CNI pod's log and the node's /etc/cni/net.d.",
        ports=(PortName.READINESS, PortName.MONITORING),
    ),
    Cause(
        id="ztunnel_disconnected",
        roles=(Role.CNI,),
        condition=node_agents.ztunnel_is_apart,
        undetected=node_agents.ztunnel_may_be_apart,
        sentence=(
            "This node's istio-cni has no connection to a ztunnel: its new pods in ambient do not "
            "start, and none is taken into the mesh."
        ),
        advice=(
            "Look at ztunnel on this node: whether it runs, and its log for the connection to "
            "istio-cni (the ZDS socket); restart it, and istio-cni if that does not help."
        ),
        ports=(PortName.MONITORING,),
    ),
    Cause(
        id="agentgateway_not_ready",
        roles=(Role.AGENTGATEWAY,),
        condition=node_agents.agentgateway_is_not_ready,
        sentence="This agentgateway is not ready, or does not serve its 15008: traffic fails here.",
        advice=(
            "Read the log of the agentgateway container, and check the way from the pod to "
            "istiod's 15012."
        ),
        ports=(PortName.HBONE, PortName.READINESS),
    ),
    Cause(
        id="access_restricted",
        cause_class=CauseClass.POLICY,
        roles=tuple(role for role in ALL_ROLES if role is not Role.AMBIENT),
        condition=running_proxy.access_is_forbidden,
        sentence="The target forbids what it is expected to show.",
        advice=("Give the exporter access, or state in the settings that metrics are local only."),
        remedy=istiod_replica.debug_remedy,
        ports=(PortName.STATUS, PortName.STATS, PortName.HTTP_MONITORING),
    ),
)
