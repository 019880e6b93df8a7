"""Causes that Kubernetes reports, or the exporter's own place: nodes, deletion, restarts.

They come first: what the ports show follows of them.
"""

from exporter.diagnosis.cause import Cause
from exporter.diagnosis.conditions import (
    ambient_workload,
    init_containers,
    pod_lifecycle,
    reachability,
)
from exporter.model import AGENT_ROLES, ALL_ROLES, CauseClass, PortName, Role

LIFECYCLE_CAUSES: tuple[Cause, ...] = (
    Cause(
        id="unknown",
        cause_class=CauseClass.EXPORTER,
        roles=ALL_ROLES,
        condition=reachability.exporter_is_suspect,
        fallback=reachability.exporter_sees_in_part,
        sentence="The exporter itself is suspect, so this target is not judged.",
        advice=(
            'Run the exporter outside the mesh (sidecar.istio.io/inject: "false") and '
            "check that it can open sockets."
        ),
        also="every port",
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
        id="deletion_stuck",
        roles=ALL_ROLES,
        condition=pod_lifecycle.deletion_is_stuck,
        sentence="The pod was to be deleted and is still there, a minute past its grace period.",
        advice=(
            "Find what holds it: a finalizer's controller, a container that ignores its end, the "
            "kubelet of its node (kubectl describe pod)."
        ),
        also="Kubernetes",
    ),
    Cause(
        id="draining",
        cause_class=CauseClass.TRANSITION,
        roles=ALL_ROLES,
        condition=pod_lifecycle.pod_is_ending,
        sentence="The pod is ending, and its proxy drains.",
        advice="Nothing to do: the pod ends within its grace period.",
        ports=(PortName.STATUS, PortName.HEALTH),
        also="Kubernetes",
    ),
    Cause(
        id="job_held_by_sidecar",
        cause_class=CauseClass.APPLICATION,
        roles=(Role.SIDECAR, Role.PROXYLESS),
        condition=pod_lifecycle.sidecar_holds_the_job,
        sentence="The pod's work is done, and its sidecar alone keeps it from ending.",
        advice=(
            "Use native sidecars, let the application POST to 127.0.0.1:15020/quitquitquit when it "
            "is done, or run the Job without a sidecar."
        ),
        also="Kubernetes",
    ),
    Cause(
        id="proxy_missing",
        roles=(Role.GATEWAY,),
        condition=pod_lifecycle.proxy_was_never_injected,
        sentence="This gateway was never injected, so it has no proxy.",
        advice=(
            "Check that istiod's injection webhook selects this pod (labels, revision) and works, "
            "then delete the pod to have it injected."
        ),
        also="Kubernetes",
    ),
    Cause(
        id="redirection_setup_failing",
        roles=AGENT_ROLES,
        condition=init_containers.redirection_setup_fails,
        sentence="Istio's init container fails or does not end, so the proxy is not started.",
        advice=(
            "Read the init container's log; to set redirection up it needs NET_ADMIN and the "
            "node's iptables, or istio-cni on that node in its place."
        ),
        remedy=init_containers.redirection_remedy,
        also="Kubernetes",
    ),
    Cause(
        id="init_container_failing",
        cause_class=CauseClass.APPLICATION,
        roles=ALL_ROLES,
        condition=init_containers.init_container_fails,
        fallback=init_containers.init_container_fails_behind,
        sentence="An init container of the application's fails or does not end.",
        advice="Read the log of this init container: kubectl logs POD -c CONTAINER.",
        remedy=init_containers.network_remedy,
        also="Kubernetes",
    ),
    Cause(
        id="init_container_running",
        cause_class=CauseClass.TRANSITION,
        roles=ALL_ROLES,
        condition=init_containers.init_container_runs,
        fallback=init_containers.init_container_runs_behind,
        sentence="The pod's init containers have not ended yet.",
        advice="Wait; look at this init container's log if it takes too long.",
        remedy=init_containers.network_remedy,
        also="Kubernetes",
    ),
    Cause(
        id="crash_looping",
        roles=ALL_ROLES,
        condition=pod_lifecycle.container_crash_loops,
        sentence="The container starts, fails and is started again.",
        advice=(
            "Read the log of its previous run (kubectl logs --previous) and why it ended: memory "
            "limit, probes, configuration."
        ),
        also="Kubernetes",
    ),
    Cause(
        id="starting",
        cause_class=CauseClass.TRANSITION,
        roles=ALL_ROLES,
        condition=reachability.is_starting,
        conditions={Role.AMBIENT: ambient_workload.is_starting},
        sentence="The proxy has just started and is not ready yet.",
        advice="Wait for the start grace; if it stays, the next cause names the reason.",
        ports=(PortName.STATUS, PortName.HEALTH, PortName.STATS),
        also="Kubernetes",
    ),
)
