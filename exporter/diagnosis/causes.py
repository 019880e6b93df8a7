"""The closed table of causes: what can be wrong, who has to act, and what to do.

Ids are stable: metrics, alerts, pages and runbooks name them. The order is the order in which
`rules` looks for them; the first that holds is the diagnosis.
"""

from dataclasses import dataclass

from exporter.model import CauseClass, Diagnosis


@dataclass(frozen=True, slots=True)
class Cause:
    """One possible diagnosis: a sentence that says what is wrong and one that says what to do.

    `shown_on` names the ports, or other evidence, on which it shows.
    """

    id: str
    cause_class: CauseClass
    sentence: str
    advice: str
    shown_on: str

    def diagnosis(self, evidence: tuple[str, ...], remedy: str = "") -> Diagnosis:
        """This cause as the diagnosis of one target, with what speaks for it.

        `remedy` takes the place of the advice where the case says better what to do.
        """
        return Diagnosis(self.id, self.cause_class, self.sentence, remedy or self.advice, evidence)


_FAULT = CauseClass.FAULT

_TABLE = (
    Cause(
        "unknown",
        CauseClass.EXPORTER,
        "The exporter itself is suspect, so nothing is said of this target.",
        'Run the exporter outside the mesh (sidecar.istio.io/inject: "false") and check that it'
        " can open sockets.",
        "every port",
    ),
    Cause(
        "draining",
        CauseClass.TRANSITION,
        "The pod is being deleted and its proxy is draining.",
        "Nothing to do; look at the pod if it does not end within its grace period.",
        "15020, 15021, Kubernetes",
    ),
    Cause(
        "starting",
        CauseClass.TRANSITION,
        "The proxy has just started and is not ready yet.",
        "Wait for the start grace; if it stays, the next cause says why.",
        "15020, 15021, 15090, Kubernetes",
    ),
    Cause(
        "node_unreachable",
        _FAULT,
        "The node is not ready and nothing on the pod answers.",
        "Look at the node: kubectl describe node, its kubelet and its network.",
        "every port, Kubernetes",
    ),
    Cause(
        "network_blocked",
        CauseClass.POLICY,
        "The network between the exporter and the pod drops or rejects connections; the proxy is"
        " not to blame.",
        "Allow the exporter to reach 15020, 15021 and 15090 in NetworkPolicies and firewalls.",
        "15020, 15021, 15090, 15006",
    ),
    Cause(
        "unreachable",
        _FAULT,
        "Nothing on the target's address answers, not even with a refusal.",
        "Check that the pod and its node run, and the routes and policies between it and the"
        " exporter.",
        "every port",
    ),
    Cause(
        "port_taken",
        _FAULT,
        "Another process holds a port that belongs to the proxy.",
        "Find the process (ss -ltnp in the pod) and move the application, or the port of Istio.",
        "15000, 15001, 15006, 15020, 15021, 15090",
    ),
    Cause(
        "address_family_mismatch",
        _FAULT,
        "One address family of the pod refuses what the other serves.",
        "Set ISTIO_DUAL_STACK alike in istiod and in the proxies, then restart the pod.",
        "15006, and every port with two addresses",
    ),
    Cause(
        "proxy_not_running",
        _FAULT,
        "The proxy is not running: its ports refuse connections.",
        "Look at the container: kubectl describe pod, its last state, restarts and previous log.",
        "every port",
    ),
    Cause(
        "envoy_stuck",
        _FAULT,
        "Envoy accepts connections and answers none, while the agent answers.",
        "Look at CPU limits and throttling; take a stack of Envoy, then restart the pod.",
        "15021, 15090, 15006",
    ),
    Cause(
        "agent_stuck",
        _FAULT,
        "The agent accepts connections and answers none, while Envoy answers.",
        "Look at CPU limits and at pilot-agent's log; restart the pod.",
        "15020, 15021",
    ),
    Cause(
        "agent_gone",
        _FAULT,
        "Envoy runs without its agent: draining, or the agent has died.",
        "If the pod is not being deleted, restart it: configuration and certificates no longer"
        " arrive.",
        "15020, 15021",
    ),
    Cause(
        "configuration_rejected",
        _FAULT,
        "Envoy has rejected the last configuration that istiod sent.",
        "Read the reason (istioctl proxy-status, config_dump error_state, the proxy's log) and"
        " correct or remove that EnvoyFilter or resource.",
        "15090, 15020, 15021, 15000",
    ),
    Cause(
        "identity_not_issued",
        _FAULT,
        "The proxy gets no certificate: its signing requests fail.",
        "Check the pod's service account token, istiod's CA log and the mesh's root certificate.",
        "15020",
    ),
    Cause(
        "configuration_incomplete",
        _FAULT,
        "istiod answers, but Envoy still waits for a part of its first configuration.",
        "Look for a missing secret or cluster: istioctl proxy-status, and admin /init_dump.",
        "15020, 15000",
    ),
    Cause(
        "istiod_unreachable",
        _FAULT,
        "The proxy has never got configuration: it does not reach istiod.",
        "From the pod, check DNS and the way to istiod's 15012, NetworkPolicies and istiod itself.",
        "15020, 15021, 15090",
    ),
    Cause(
        "certificate_expired",
        _FAULT,
        "The workload's certificate has ended.",
        "Check that the agent reaches istiod's 15012 and the clocks; restart the pod to renew.",
        "15006, 15020, 15000",
    ),
    Cause(
        "redirection_missing",
        _FAULT,
        "Inbound traffic does not pass the proxy: mTLS and authorisation are bypassed.",
        "Check the istio-init container or istio-cni on this node, then restart the pod.",
        "the control port, 15006",
    ),
    Cause(
        "admin_exposed",
        _FAULT,
        "Envoy's administration interface answers from the network: anybody can stop the proxy.",
        "Bind admin to 127.0.0.1 again: look for a custom bootstrap or proxyAdminPort settings.",
        "15000",
    ),
    Cause(
        "xds_disconnected",
        _FAULT,
        "The proxy has lost istiod: it serves with the configuration that it had.",
        "Check istiod and the way to its 15012; new configuration and certificates do not arrive.",
        "15090, 15020",
    ),
    Cause(
        "listener_warming",
        _FAULT,
        "A listener keeps waiting for something before it can serve.",
        "Look for a missing secret: istioctl proxy-config secret, and admin /init_dump.",
        "15090, a gateway's server ports",
    ),
    Cause(
        "admin_slow",
        _FAULT,
        "Envoy's main thread is slow: statistics take longer than a second.",
        "Look at CPU throttling and the number of statistics; readiness fails next.",
        "15090",
    ),
    Cause(
        "stats_too_large",
        _FAULT,
        "Envoy's page of statistics is over the size limit.",
        "Reduce statistics: proxyStatsMatcher, Telemetry tag overrides; restart long-lived pods.",
        "15090",
    ),
    Cause(
        "dns_proxy_failing",
        _FAULT,
        "The agent's DNS proxy cannot resolve upstream.",
        "Check the pod's resolv.conf and the way from the pod to the cluster's DNS.",
        "15053, 15020",
    ),
    Cause(
        "application_metrics_broken",
        CauseClass.APPLICATION,
        "The agent cannot scrape the application's metrics, so merged metrics lack them.",
        "Check the prometheus.io annotations and that the application serves that port and path.",
        "15020",
    ),
    Cause(
        "application_unhealthy",
        CauseClass.APPLICATION,
        "The application fails its own probe; the proxy is fine.",
        "Look at the application's log and at its probe.",
        "15020",
    ),
    Cause(
        "access_restricted",
        CauseClass.POLICY,
        "The target forbids what it is expected to show.",
        "Give the exporter access, or say in the settings that metrics are local only.",
        "15020, 15090, 15014",
    ),
    Cause(
        "istiod_replica_stuck",
        _FAULT,
        "This istiod replica accepts connections and answers none.",
        "Delete the replica's pod; look at its CPU, memory and push queue.",
        "8080, 15010, 15012, 15014, 15017",
    ),
    Cause(
        "istiod_not_ready",
        _FAULT,
        "This istiod replica is not ready.",
        "Read istiod's log; without an API server it never becomes ready.",
        "8080, 15012",
    ),
    Cause(
        "webhook_not_serving",
        _FAULT,
        "istiod says ready but its webhooks on 15017 do not answer: pods cannot be injected.",
        "Read istiod's log for its serving certificate; wait if it has just started.",
        "15017",
    ),
    Cause(
        "webhook_unreachable",
        _FAULT,
        "istiod is ready but its webhook port 15017 is not reached: pods cannot be injected.",
        "Open 15017 from the API server to istiod in firewalls and NetworkPolicies.",
        "15017, a dry run by the API server",
    ),
    Cause(
        "ztunnel_not_ready",
        _FAULT,
        "This node's ztunnel is not ready: ambient traffic of the node stops.",
        "Look at the pending tasks: no istio-cni on the node, or no way to istiod.",
        "15021, 15020",
    ),
    Cause(
        "cni_not_ready",
        _FAULT,
        "This node's istio-cni is not ready: new pods get no redirection.",
        "Look at the CNI pod's log and the node's /etc/cni/net.d.",
        "8000",
    ),
)

CAUSES = {cause.id: cause for cause in _TABLE}
"""Every cause by its id, in the order of the table."""
