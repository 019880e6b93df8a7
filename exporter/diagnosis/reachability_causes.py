"""Causes around a proxy: exporter, Kubernetes, node, network, foreign processes."""

from exporter.diagnosis.cause import Cause
from exporter.diagnosis.conditions import proxy_processes, reachability
from exporter.model import AGENT_ROLES, ALL_ROLES, CauseClass, PortName

REACHABILITY_CAUSES: tuple[Cause, ...] = (
    Cause(
        id="unknown",
        cause_class=CauseClass.EXPORTER,
        roles=ALL_ROLES,
        condition=reachability.exporter_is_suspect,
        sentence="The exporter itself is suspect, so this target is not judged.",
        advice=(
            'Run the exporter outside the mesh (sidecar.istio.io/inject: "false") and '
            "check that it can open sockets."
        ),
        also="every port",
    ),
    Cause(
        id="draining",
        cause_class=CauseClass.TRANSITION,
        roles=ALL_ROLES,
        condition=reachability.is_terminating,
        sentence="The pod is being deleted and its proxy is draining.",
        advice="Nothing to do; look at the pod if it does not end within its grace period.",
        ports=(
            PortName.STATUS,
            PortName.HEALTH,
        ),
        also="Kubernetes",
    ),
    Cause(
        id="starting",
        cause_class=CauseClass.TRANSITION,
        roles=ALL_ROLES,
        condition=reachability.is_starting,
        sentence="The proxy has just started and is not ready yet.",
        advice="Wait for the start grace; if it stays, the next cause names the reason.",
        ports=(
            PortName.STATUS,
            PortName.HEALTH,
            PortName.STATS,
        ),
        also="Kubernetes",
    ),
    Cause(
        id="node_unreachable",
        roles=ALL_ROLES,
        condition=reachability.node_is_gone,
        sentence="The node is not ready and nothing on the pod answers.",
        advice="Look at the node: kubectl describe node, its kubelet and its network.",
        also="every port, Kubernetes",
    ),
    Cause(
        id="network_blocked",
        cause_class=CauseClass.POLICY,
        roles=ALL_ROLES,
        condition=reachability.network_blocks,
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
        ),
        also="any port that is reached from the network",
    ),
    Cause(
        id="unreachable",
        roles=ALL_ROLES,
        condition=reachability.nothing_answers,
        sentence="Nothing on the target's address answers, not even with a refusal.",
        advice=(
            "Check that the pod and its node run, and the routes and policies between it "
            "and the exporter."
        ),
        also="every port",
    ),
    Cause(
        id="port_taken",
        roles=AGENT_ROLES,
        condition=proxy_processes.port_is_taken,
        sentence="Another process holds a port that belongs to the proxy.",
        advice=(
            "Find the process (ss -ltnp in the pod) and move the application, or the port of Istio."
        ),
        ports=(
            PortName.ADMIN,
            PortName.VIRTUAL_OUTBOUND,
            PortName.VIRTUAL_INBOUND,
            PortName.STATUS,
            PortName.HEALTH,
            PortName.STATS,
        ),
        also="a gateway's server ports",
    ),
    Cause(
        id="address_family_mismatch",
        roles=ALL_ROLES,
        condition=reachability.families_differ,
        undetected=reachability.lacks_a_family,
        sentence="One address family of the pod refuses what the other serves.",
        advice=("Set ISTIO_DUAL_STACK alike in istiod and in the proxies, then restart the pod."),
        ports=(PortName.VIRTUAL_INBOUND,),
        also="every port with two addresses",
    ),
)
