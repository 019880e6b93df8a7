"""Causes around a proxy: the network on the way to it, and foreign processes."""

from exporter.diagnosis.cause import Cause
from exporter.diagnosis.conditions import ambient_workload, proxy_processes, reachability
from exporter.model import AGENT_ROLES, ALL_ROLES, CauseClass, PortName, Role

REACHABILITY_CAUSES: tuple[Cause, ...] = (
    Cause(
        id="network_blocked",
        cause_class=CauseClass.POLICY,
        roles=ALL_ROLES,
        condition=reachability.network_blocks,
        conditions={Role.AMBIENT: ambient_workload.network_blocks},
        remedy=reachability.reach_advice,
        sentence=(
            "The network between the exporter and the pod drops or rejects connections; "
            "the proxy is not to blame."
        ),
        advice=(
            "Allow the exporter to reach 15020, 15021 and 15090 in NetworkPolicies and firewalls."
        ),
        ports=(
            PortName.VIRTUAL_INBOUND,
            PortName.STATUS,
            PortName.HEALTH,
            PortName.STATS,
            PortName.HBONE,
        ),
        also="any port that is reached from the network",
    ),
    Cause(
        id="unreachable",
        roles=ALL_ROLES,
        condition=reachability.nothing_answers,
        conditions={Role.AMBIENT: ambient_workload.nothing_answers},
        sentence="Nothing on the target's address answers, not even with a refusal.",
        advice=(
            "Check that the pod and its node run, and the routes and policies between it "
            "and the exporter."
        ),
        also="every port",
    ),
    Cause(
        id="port_taken",
        roles=(*AGENT_ROLES, Role.AMBIENT),
        condition=proxy_processes.port_is_taken,
        conditions={Role.AMBIENT: ambient_workload.port_is_taken},
        sentence="Another process holds a port that belongs to the proxy.",
        advice=(
            "Find the process (ss -ltnp in the pod) and move the application, or the port of Istio."
        ),
        advices={
            Role.AMBIENT: (
                "Find the process (ss -ltnp in the pod) and move the application: ztunnel's ports "
                "in a pod are fixed. Then restart the pod."
            )
        },
        ports=(
            PortName.ADMIN,
            PortName.VIRTUAL_OUTBOUND,
            PortName.VIRTUAL_INBOUND,
            PortName.STATUS,
            PortName.HEALTH,
            PortName.STATS,
            PortName.HBONE,
            PortName.CONNECT_TERMINATE,
        ),
        also="a gateway's server ports",
    ),
    Cause(
        id="address_family_mismatch",
        roles=ALL_ROLES,
        condition=reachability.families_differ,
        conditions={Role.AMBIENT: ambient_workload.families_differ},
        undetected=reachability.lacks_a_family,
        sentence="One address family of the pod refuses what the other serves.",
        advice=("Set ISTIO_DUAL_STACK alike in istiod and in the proxies, then restart the pod."),
        advices={
            Role.AMBIENT: (
                "Set IPV6_ENABLED of ztunnel as the pods' addresses need it and restart ztunnel on "
                "this node; where other pods of the node have both families, restart the pod."
            )
        },
        ports=(PortName.VIRTUAL_INBOUND, PortName.HBONE),
        also="every port with two addresses",
    ),
)
