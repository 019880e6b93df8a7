"""Every metric family about a target or the cluster: one row each, with its samples' function.

Families hold what the record holds: what is not known has no sample. Sparse families exist only
while something is wrong. docs/metrics.md documents them, and a test compares both.
"""

from collections.abc import Collection
from dataclasses import replace

from exporter.exposition import cluster_samples, samples
from exporter.exposition.text_format import Family

PROFILES = ("minimal", "standard", "full")
"""From few series to many; each has what the one before it has."""

STABILITIES = ("stable", "experimental")
"""How far a family is promised: until the next major version, or until the next release."""

_PORT = ("port", "component")
_CERTIFICATE = ("certificate", "source")

FAMILIES: tuple[Family, ...] = (
    Family(
        name="istio_port_up",
        type="gauge",
        help="Whether the last poll proved that the port responds; absent when unjudged.",
        profile="minimal",
        labels=_PORT,
        samples=samples.up,
    ),
    Family(
        name="istio_port_unjudged",
        type="gauge",
        help="1 while the port is unjudged, with the reason.",
        profile="standard",
        labels=(*_PORT, "reason"),
        samples=samples.unjudged,
    ),
    Family(
        name="istio_port_outcome",
        type="gauge",
        help="1 for the outcome of the port's last probe, where that was not ok.",
        profile="standard",
        labels=(*_PORT, "outcome"),
        samples=samples.outcome,
    ),
    Family(
        name="istio_port_exposed",
        type="gauge",
        help="1 while a loopback port of the pod is reachable from the network.",
        profile="standard",
        labels=_PORT,
        samples=samples.exposed,
    ),
    Family(
        name="istio_port_probe_duration_seconds",
        type="gauge",
        help="Duration of the port's last probe.",
        profile="full",
        labels=_PORT,
        samples=samples.probe_duration,
        timed=True,
    ),
    Family(
        name="istio_port_listening",
        type="gauge",
        help="1 for each listening socket of the pod.",
        profile="standard",
        labels=(*_PORT, "address", "process"),
        samples=samples.listening,
        brief=samples.listening_wrongly,
    ),
    Family(
        name="istio_target_info",
        type="gauge",
        help="Information about the target; 1.",
        profile="minimal",
        labels=("ip", "node", "workload", "version", "revision", "cluster_id", "native_sidecar"),
        samples=samples.target_info,
    ),
    Family(
        name="istio_target_ready",
        type="gauge",
        help="Whether the endpoint reports that it is ready; absent when unjudged.",
        profile="minimal",
        labels=("endpoint",),
        samples=samples.ready,
    ),
    Family(
        name="istio_target_diagnosis",
        type="gauge",
        help="1 for the most likely cause of what is wrong with the target.",
        profile="minimal",
        labels=("cause", "class"),
        samples=samples.diagnosis,
    ),
    Family(
        name="istio_target_last_poll_timestamp_seconds",
        type="gauge",
        help="When the target was last polled, which is the age of the target's samples.",
        profile="minimal",
        labels=("cadence",),
        samples=samples.last_poll,
        brief=samples.last_regular_poll,
        timed=True,
    ),
    Family(
        name="istio_target_polls_total",
        type="counter",
        help="Polls of the target since this exporter found it.",
        profile="minimal",
        samples=samples.polls,
        timed=True,
    ),
    Family(
        name="istio_target_faulty_polls_total",
        type="counter",
        help="Polls that found a fault of the target: a cause of the class fault.",
        profile="minimal",
        samples=samples.faulty_polls,
        timed=True,
    ),
    Family(
        name="istio_target_certificate_expiry_timestamp_seconds",
        type="gauge",
        help="When the certificate expires.",
        profile="standard",
        labels=_CERTIFICATE,
        samples=samples.expiry,
        brief=samples.best_expiry,
    ),
    Family(
        name="istio_target_certificate_not_before_timestamp_seconds",
        type="gauge",
        help="When the certificate becomes valid.",
        profile="standard",
        labels=_CERTIFICATE,
        samples=samples.not_before,
        brief=samples.best_not_before,
    ),
    Family(
        name="istio_target_identity_info",
        type="gauge",
        help="The SPIFFE identity in the certificate that the target presents; 1.",
        profile="full",
        labels=("spiffe_id",),
        samples=samples.identity,
    ),
    Family(
        name="istio_proxy_server_certificate_expiry_timestamp_seconds",
        type="gauge",
        help="When the certificate expires that a gateway's server presents for a name.",
        profile="standard",
        stability="experimental",
        labels=("port", "server_name"),
        samples=samples.server_expiry,
    ),
    Family(
        name="istio_proxy_root_info",
        type="gauge",
        help="The root behind the certificate that the proxy presents, by its key; 1.",
        profile="full",
        stability="experimental",
        labels=("fingerprint",),
        samples=samples.root,
    ),
    Family(
        name="istio_proxy_captured",
        type="gauge",
        help="Whether inbound redirection works where it is expected; absent when unjudged.",
        profile="standard",
        samples=samples.captured,
    ),
    Family(
        name="istio_proxy_envoy_live",
        type="gauge",
        help="Whether Envoy reports the state LIVE: not initializing, not draining.",
        profile="standard",
        samples=samples.envoy_live,
    ),
    Family(
        name="istio_proxy_listeners",
        type="gauge",
        help="Envoy's listeners by state.",
        profile="full",
        labels=("state",),
        samples=samples.listeners,
    ),
    Family(
        name="istio_proxy_listener_bound",
        type="gauge",
        help="Whether the listener is bound to its port.",
        profile="standard",
        labels=("listener",),
        samples=samples.bound,
        brief=samples.unbound,
    ),
    Family(
        name="istio_proxy_xds_rejected",
        type="gauge",
        help="Whether Envoy rejected the last update of the resource and has accepted none since.",
        profile="standard",
        labels=("resource",),
        samples=samples.rejected,
    ),
    Family(
        name="istio_proxy_xds_updates_total",
        type="counter",
        help="Updates of the resource that Envoy accepted, as Envoy counts them.",
        profile="full",
        labels=("resource",),
        samples=samples.updates,
    ),
    Family(
        name="istio_proxy_xds_rejects_total",
        type="counter",
        help="Updates of the resource that Envoy rejected, as Envoy counts them.",
        profile="full",
        labels=("resource",),
        samples=samples.rejects,
    ),
    Family(
        name="istio_proxy_xds_connected",
        type="gauge",
        help="Whether the proxy is connected to istiod, through its agent.",
        profile="standard",
        samples=samples.connected,
    ),
    Family(
        name="istio_proxy_xds_synced",
        type="gauge",
        help="Whether the proxy acknowledged what istiod last sent of the resource.",
        profile="standard",
        labels=("resource",),
        samples=samples.synced,
        brief=samples.unsynced,
        from_istiod=True,
    ),
    Family(
        name="istio_proxy_xds_known",
        type="gauge",
        help="Whether some istiod of the cluster lists the proxy.",
        profile="standard",
        stability="experimental",
        samples=samples.known_to_istiod,
        from_istiod=True,
    ),
    Family(
        name="istio_proxy_agent_scrape_failures_total",
        type="counter",
        help="Failed scrapes for the merged metrics page, as the agent counts them.",
        profile="standard",
        labels=("source",),
        samples=samples.scrape_failures,
        brief=samples.nonzero_scrape_failures,
    ),
    Family(
        name="istio_proxy_workloads",
        type="gauge",
        help="Pods of the node that this ztunnel serves, and those that it could not start.",
        profile="standard",
        stability="experimental",
        labels=("state",),
        samples=samples.workloads,
    ),
    Family(
        name="istio_proxy_xds_terminations_total",
        type="counter",
        help="Ended connections of this ztunnel to istiod, as ztunnel counts them.",
        profile="standard",
        stability="experimental",
        labels=("reason",),
        samples=samples.terminations,
    ),
    Family(
        name="istio_control_plane_connected_proxies",
        type="gauge",
        help="Proxies connected to this istiod replica.",
        profile="standard",
        samples=samples.connected_proxies,
    ),
    Family(
        name="istio_control_plane_xds_rejects_total",
        type="counter",
        help="Updates of the resource that proxies rejected, as this istiod replica counts them.",
        profile="standard",
        labels=("resource",),
        samples=samples.control_plane_rejects,
    ),
    Family(
        name="istio_control_plane_push_errors_total",
        type="counter",
        help="Failed pushes, as this istiod replica counts them.",
        profile="standard",
        samples=samples.push_errors,
    ),
    Family(
        name="istio_control_plane_info",
        type="gauge",
        help="The revision and version of this istiod replica; 1.",
        profile="standard",
        labels=("revision", "version"),
        samples=samples.control_plane_info,
    ),
    Family(
        name="istio_proxy_ambient_pods",
        type="gauge",
        help="Pods enrolled in ambient, by whether their redirection is in place.",
        profile="minimal",
        stability="experimental",
        labels=("namespace", "node", "redirection"),
        cluster_samples=cluster_samples.ambient_pods,
    ),
    Family(
        name="istio_proxy_missing_pods",
        type="gauge",
        help="Pods that ought to have a proxy and have none, by what asks for it.",
        profile="minimal",
        stability="experimental",
        labels=("namespace", "reason"),
        cluster_samples=cluster_samples.missing_proxies,
    ),
    Family(
        name="istio_control_plane_webhook_path_up",
        type="gauge",
        help="Whether the API server reaches the injection webhook; absent when unjudged.",
        profile="minimal",
        stability="experimental",
        labels=("revision",),
        cluster_samples=cluster_samples.webhook_path_up,
    ),
    Family(
        name="istio_control_plane_webhook_path_outcome",
        type="gauge",
        help="1 for how the last dry run of the injection webhook ended, where that was not ok.",
        profile="minimal",
        stability="experimental",
        labels=("revision", "outcome"),
        cluster_samples=cluster_samples.webhook_path_outcome,
    ),
)


def selected(profile: str, disabled: Collection[str] = ()) -> tuple[Family, ...]:
    """The families of a profile without the disabled ones, each as the profile shows it."""
    rank = PROFILES.index(profile)
    return tuple(
        replace(family, samples=family.brief) if family.brief and profile != "full" else family
        for family in FAMILIES
        if PROFILES.index(family.profile) <= rank and family.name not in disabled
    )
