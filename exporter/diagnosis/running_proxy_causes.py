"""Causes in a proxy that runs: certificates, redirection, istiod, statistics, applications."""

from exporter.diagnosis.cause import Cause
from exporter.diagnosis.conditions import ambient_workload, certificate_dates, running_proxy
from exporter.model import AGENT_ROLES, ALL_ROLES, ENVOY_ROLES, CauseClass, PortName, Role

_PROBED = tuple(role for role in ALL_ROLES if role is not Role.AMBIENT)
"""The roles whose readiness probe is Istio's."""

RUNNING_PROXY_CAUSES: tuple[Cause, ...] = (
    Cause(
        id="certificate_expired",
        roles=ALL_ROLES,
        condition=certificate_dates.HAS_ENDED.holds,
        remedy=certificate_dates.HAS_ENDED.remedy,
        sentence="The workload's certificate has ended.",
        advice=(
            "Check that the agent reaches istiod's 15012 and the clocks; restart the pod to renew."
        ),
        advices={
            Role.AMBIENT: (
                "Check the clocks, and that ztunnel on the pod's node reaches istiod's 15012; "
                "restart that ztunnel to renew."
            ),
            Role.ISTIOD: (
                "Restart this istiod, which then issues its own certificate anew; where a secret "
                "brings it, renew that. Check the authority's certificate (secret cacerts or "
                "istio-ca-secret) and the clocks first."
            ),
        },
        ports=(
            PortName.ADMIN,
            PortName.VIRTUAL_INBOUND,
            PortName.HBONE,
            PortName.STATUS,
            PortName.SECURE_STATS,
            PortName.SECURE_MERGED,
            PortName.TLS_XDS,
        ),
    ),
    Cause(
        id="certificate_not_yet_valid",
        roles=ALL_ROLES,
        condition=certificate_dates.BEGINS_LATER.holds,
        remedy=certificate_dates.BEGINS_LATER.remedy,
        sentence="The workload's certificate is not valid yet: peers refuse it.",
        advice=(
            "Compare the clocks of the certificate authority, of the pod's node and of the "
            "exporter; once they agree, restart the pod for a new certificate."
        ),
        advices={
            Role.AMBIENT: (
                "Compare the clocks of the certificate authority, of the pod's node and of the "
                "exporter; once they agree, restart that node's ztunnel for new certificates."
            )
        },
        ports=(
            PortName.ADMIN,
            PortName.VIRTUAL_INBOUND,
            PortName.SECURE_STATS,
            PortName.SECURE_MERGED,
            PortName.TLS_XDS,
            PortName.CONNECT_TERMINATE,
            PortName.HBONE,
        ),
    ),
    Cause(
        id="redirection_missing",
        roles=(Role.SIDECAR, Role.AMBIENT),
        condition=running_proxy.redirection_is_missing,
        conditions={Role.AMBIENT: ambient_workload.redirection_is_missing},
        sentence=("Inbound traffic does not pass the proxy: mTLS and authorisation are bypassed."),
        advice=("Check the istio-init container or istio-cni on this node, then restart the pod."),
        advices={
            Role.AMBIENT: (
                "Restart the pod, so that istio-cni writes its rules anew, and read istio-cni's "
                "log on its node for why they were missing."
            )
        },
        ports=(PortName.VIRTUAL_INBOUND,),
        also="the control port",
    ),
    Cause(
        id="admin_exposed",
        roles=ENVOY_ROLES,
        condition=running_proxy.admin_is_open,
        sentence=(
            "Envoy's administration interface answers from the network: anybody can stop the proxy."
        ),
        advice=(
            "Bind admin to 127.0.0.1 again: look for a custom bootstrap or proxyAdminPort settings."
        ),
        ports=(PortName.ADMIN,),
    ),
    Cause(
        id="local_ports_exhausted",
        roles=ENVOY_ROLES,
        condition=running_proxy.local_ports_are_used_up,
        sentence="The pod's local ports are used up: new connections through the proxy fail.",
        advice=(
            "Let the application keep and reuse connections (keep-alive, pools); widen "
            "net.ipv4.ip_local_port_range of the pod meanwhile."
        ),
        ports=(PortName.VIRTUAL_OUTBOUND, PortName.VIRTUAL_INBOUND),
        also="the socket table",
    ),
    Cause(
        id="kubelet_cut_off",
        roles=_PROBED,
        condition=running_proxy.kubelet_is_cut_off,
        remedy=running_proxy.kubelet_remedy,
        undetected=running_proxy.kubelet_may_be_cut_off,
        sentence=(
            "Kubernetes holds the container not ready, though what its kubelet probes is ready: no "
            "Service leads to the pod."
        ),
        advice=(
            "Read the probe's failures in the pod's events (kubectl describe pod), then look for "
            "what keeps the node from its own pod: policies, host firewalls, security groups, "
            "masquerading; or a probe's timeout that is too short."
        ),
        ports=(PortName.HEALTH, PortName.STATUS, PortName.READINESS, PortName.HTTP_DEBUG),
        also="Kubernetes",
    ),
    Cause(
        id="xds_disconnected",
        roles=(*AGENT_ROLES, Role.ZTUNNEL),
        condition=running_proxy.istiod_is_lost,
        undetected=running_proxy.is_first_poll,
        sentence="The proxy has lost istiod: it serves with the configuration that it had.",
        advice=(
            "Check istiod and the way to its 15012; new configuration and certificates do "
            "not arrive."
        ),
        ports=(PortName.STATUS, PortName.STATS),
    ),
    Cause(
        id="gateway_without_servers",
        roles=(Role.GATEWAY,),
        condition=running_proxy.gateway_has_no_servers,
        sentence="No server is configured on this gateway: it listens on none of its ports.",
        advice=(
            "Check that a Gateway selects this pod by its labels and namespace, that istioctl "
            "analyze accepts it, and that its TCP and TLS PASSTHROUGH servers have a route, "
            "without which istiod leaves them out; delete a gateway that nobody needs."
        ),
        ports=(PortName.STATS,),
        also="a gateway's server ports",
    ),
    Cause(
        id="listener_warming",
        roles=ENVOY_ROLES,
        condition=running_proxy.listener_waits,
        undetected=running_proxy.is_first_poll,
        sentence="A listener keeps waiting for something before it can serve.",
        advice=("Look for a missing secret: istioctl proxy-config secret, and admin /init_dump."),
        ports=(PortName.CONNECT_TERMINATE, PortName.STATS),
        also="a gateway's server ports",
    ),
    Cause(
        id="admin_slow",
        roles=ENVOY_ROLES,
        condition=running_proxy.admin_is_slow,
        undetected=running_proxy.is_first_poll,
        sentence="Envoy's main thread is slow: statistics take longer than a second.",
        advice="Look at CPU throttling and the number of statistics; readiness fails next.",
        ports=(PortName.HEALTH, PortName.STATS),
    ),
    Cause(
        id="agent_stats_slow",
        roles=ENVOY_ROLES,
        condition=running_proxy.agent_stats_are_slow,
        remedy=running_proxy.cut_off_remedy,
        undetected=running_proxy.is_first_poll,
        sentence="Readiness fails though Envoy serves: it and the agent answer each other late.",
        advice=(
            "Reduce the number of statistics (proxyStatsMatcher, Sidecar resources) and look at "
            "CPU limits and throttling."
        ),
        ports=(PortName.STATUS, PortName.HEALTH, PortName.STATS),
    ),
    Cause(
        id="stats_too_large",
        roles=ENVOY_ROLES,
        condition=running_proxy.stats_are_large,
        sentence="Envoy's page of statistics is over the size limit.",
        advice=(
            "Reduce statistics: proxyStatsMatcher, Telemetry tag overrides; restart long-"
            "lived pods."
        ),
        ports=(PortName.STATS,),
    ),
    Cause(
        id="dns_proxy_failing",
        roles=AGENT_ROLES,
        condition=running_proxy.dns_fails,
        undetected=running_proxy.is_first_poll,
        sentence="The agent's DNS proxy cannot resolve upstream.",
        advice="Check the pod's resolv.conf and the way from the pod to the cluster's DNS.",
        ports=(PortName.DNS, PortName.STATUS),
    ),
    Cause(
        id="application_metrics_broken",
        cause_class=CauseClass.APPLICATION,
        roles=AGENT_ROLES,
        condition=running_proxy.application_scrape_fails,
        undetected=running_proxy.is_first_poll,
        sentence=(
            "The agent cannot scrape the application's metrics, so merged metrics lack them."
        ),
        advice=(
            "Check the prometheus.io annotations and that the application serves that "
            "port and path."
        ),
        ports=(PortName.STATUS,),
    ),
    Cause(
        id="application_unhealthy",
        cause_class=CauseClass.APPLICATION,
        roles=AGENT_ROLES,
        condition=running_proxy.application_is_unhealthy,
        sentence="The application fails its own probe; the proxy is fine.",
        advice="Look at the application's log and at its probe.",
        ports=(PortName.STATUS,),
    ),
)
