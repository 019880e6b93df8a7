"""Every metric family about a target or the cluster: one row each, with its samples' function.

Families hold what the record holds: what is not known has no sample. Sparse families exist only
while something is wrong. docs/metrics.md documents them, and a test compares both.
"""

from collections.abc import Collection
from dataclasses import replace
from operator import not_

from exporter.exposition import samples
from exporter.exposition.samples import each, istiod_facts, one, text
from exporter.exposition.text_format import Family

PROFILES = ("minimal", "standard", "full")
"""From few series to many; each has what the one before it has."""

_PORT = ("port", "component")
_CERTIFICATE = ("certificate", "source")

FAMILIES: tuple[Family, ...] = (
    Family(
        name="istio_port_up",
        help="Whether the last poll proved that the port responds; absent when unjudged.",
        profile="minimal",
        labels=_PORT,
        samples=samples.up,
    ),
    Family(
        name="istio_port_unjudged",
        help="1 while the port is unjudged, with the reason.",
        labels=(*_PORT, "reason"),
        samples=samples.unjudged,
    ),
    Family(
        name="istio_port_outcome",
        help="1 for the outcome of the port's last probe, where that was not ok.",
        labels=(*_PORT, "outcome"),
        samples=samples.outcome,
    ),
    Family(
        name="istio_port_exposed",
        help="1 while a loopback port of the pod is reachable from the network.",
        labels=_PORT,
        samples=samples.exposed,
    ),
    Family(
        name="istio_port_probe_duration_seconds",
        help="Duration of the port's last probe.",
        profile="full",
        labels=_PORT,
        samples=samples.probe_duration,
        timed=True,
    ),
    Family(
        name="istio_port_listening",
        help="1 for each listening socket of the pod.",
        labels=(*_PORT, "address", "process"),
        samples=samples.listening,
        brief=samples.listening_wrongly,
    ),
    Family(
        name="istio_target_info",
        help="Information about the target; 1.",
        profile="minimal",
        labels=("ip", "node", "workload", "version", "revision", "cluster_id", "native_sidecar"),
        samples=samples.target_info,
    ),
    Family(
        name="istio_target_ready",
        help="Whether the endpoint reports that it is ready; absent when unjudged.",
        profile="minimal",
        labels=("endpoint",),
        samples=each("endpoint", lambda record: record.ready),
    ),
    Family(
        name="istio_target_diagnosis",
        help="1 for the most likely cause of what is wrong with the target.",
        profile="minimal",
        labels=("cause", "class"),
        samples=samples.diagnosis,
    ),
    Family(
        name="istio_target_last_poll_timestamp_seconds",
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
        samples=one(lambda record: record.polls),
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
        help="When the certificate expires.",
        labels=_CERTIFICATE,
        samples=samples.expiry,
        brief=samples.best_expiry,
    ),
    Family(
        name="istio_target_certificate_not_before_timestamp_seconds",
        help="When the certificate becomes valid.",
        labels=_CERTIFICATE,
        samples=samples.not_before,
        brief=samples.best_not_before,
    ),
    Family(
        name="istio_target_identity_info",
        help="The SPIFFE identity in the certificate that the target presents; 1.",
        profile="full",
        labels=("spiffe_id",),
        samples=text("spiffe_id", lambda record: record.spiffe_id),
    ),
    Family(
        name="istio_proxy_server_certificate_expiry_timestamp_seconds",
        help="When the certificate expires that a gateway's server presents for a name.",
        stability="experimental",
        labels=("port", "server_name"),
        samples=samples.server_expiry,
    ),
    Family(
        name="istio_proxy_server_certificate_not_before_timestamp_seconds",
        help="When that certificate becomes valid.",
        stability="experimental",
        labels=("port", "server_name"),
        samples=samples.server_not_before,
    ),
    Family(
        name="istio_proxy_root_info",
        help="The root behind the certificate that the proxy presents, by its key; 1.",
        profile="full",
        stability="experimental",
        labels=("fingerprint",),
        samples=text("fingerprint", lambda record: record.root),
    ),
    Family(
        name="istio_proxy_captured",
        help="Whether inbound redirection works where it is expected; absent when unjudged.",
        samples=one(lambda record: record.proxy.captured),
    ),
    Family(
        name="istio_proxy_envoy_live",
        help="Whether Envoy reports the state LIVE: not initializing, not draining.",
        samples=one(lambda record: record.proxy.envoy_live),
    ),
    Family(
        name="istio_proxy_listeners",
        help="Envoy's listeners by state.",
        profile="full",
        labels=("state",),
        samples=each("state", lambda record: record.proxy.listeners),
    ),
    Family(
        name="istio_proxy_listener_bound",
        help="Whether the listener is bound to its port.",
        labels=("listener",),
        samples=each("listener", lambda record: record.proxy.bound),
        brief=each("listener", lambda record: record.proxy.bound, only=not_),
    ),
    Family(
        name="istio_proxy_xds_rejected",
        help="Whether Envoy rejected the last update of the resource and has accepted none since.",
        labels=("resource",),
        samples=each("resource", lambda record: record.proxy.rejected),
    ),
    Family(
        name="istio_proxy_xds_updates_total",
        type="counter",
        help="Updates of the resource that Envoy accepted, as Envoy counts them.",
        profile="full",
        labels=("resource",),
        samples=each("resource", lambda record: record.proxy.updates),
    ),
    Family(
        name="istio_proxy_xds_rejects_total",
        type="counter",
        help="Updates of the resource that Envoy rejected, as Envoy counts them.",
        profile="full",
        labels=("resource",),
        samples=each("resource", lambda record: record.proxy.rejects),
    ),
    Family(
        name="istio_proxy_xds_connected",
        help="Whether the proxy is connected to istiod, through its agent.",
        samples=one(lambda record: record.proxy.xds_connected),
    ),
    Family(
        name="istio_proxy_xds_synced",
        help="Whether the proxy acknowledged what istiod last sent of the resource.",
        labels=("resource",),
        samples=each("resource", lambda record: record.proxy.xds_synced),
        brief=each("resource", lambda record: record.proxy.xds_synced, only=not_),
        from_istiod=True,
    ),
    Family(
        name="istio_proxy_xds_known",
        help="Whether some istiod of the cluster lists the proxy.",
        stability="experimental",
        samples=one(lambda record: record.proxy.xds_known),
        from_istiod=True,
    ),
    Family(
        name="istio_proxy_agent_scrape_failures_total",
        type="counter",
        help="Failed scrapes for the merged metrics page, as the agent counts them.",
        labels=("source",),
        samples=each("source", lambda record: record.proxy.agent_scrape_failures),
        brief=each("source", lambda record: record.proxy.agent_scrape_failures, only=bool),
    ),
    Family(
        name="istio_proxy_workloads",
        help="Pods of the node that this ztunnel serves, and those that it could not start.",
        stability="experimental",
        labels=("state",),
        samples=each("state", lambda record: record.proxy.workloads),
    ),
    Family(
        name="istio_proxy_xds_terminations_total",
        type="counter",
        help="Ended connections of this ztunnel to istiod, as ztunnel counts them.",
        stability="experimental",
        labels=("reason",),
        samples=each("reason", lambda record: record.proxy.terminations),
    ),
    Family(
        name="istio_control_plane_connected_proxies",
        help="Proxies connected to this istiod replica.",
        samples=one(lambda record: istiod_facts(record).connected_proxies),
    ),
    Family(
        name="istio_control_plane_xds_rejects_total",
        type="counter",
        help="Updates of the resource that proxies rejected, as this istiod replica counts them.",
        labels=("resource",),
        samples=each("resource", lambda record: istiod_facts(record).xds_rejects or {}),
    ),
    Family(
        name="istio_control_plane_push_errors_total",
        type="counter",
        help="Failed pushes, as this istiod replica counts them.",
        samples=one(lambda record: istiod_facts(record).push_errors),
    ),
    Family(
        name="istio_control_plane_info",
        help="The revision and version of this istiod replica; 1.",
        labels=("revision", "version"),
        samples=samples.control_plane_info,
    ),
    Family(
        name="istio_control_plane_trusted",
        help="Whether the API server proves that this is an istiod, so that it counts.",
        profile="minimal",
        labels=("revision",),
        samples=samples.control_plane_trusted,
    ),
    Family(
        name="istio_proxy_ambient_pods",
        help="Pods enrolled in ambient, by whether their redirection is in place.",
        profile="minimal",
        stability="experimental",
        labels=("namespace", "node", "redirection"),
        cluster_samples=samples.ambient_pods,
    ),
    Family(
        name="istio_proxy_missing_pods",
        help="Pods that ought to have a proxy and have none, by what asks for it.",
        profile="minimal",
        stability="experimental",
        labels=("namespace", "reason"),
        cluster_samples=samples.missing_proxies,
    ),
    Family(
        name="istio_control_plane_webhook_path_up",
        help="Whether the API server reaches the injection webhook; absent when unjudged.",
        profile="minimal",
        stability="experimental",
        labels=("revision",),
        cluster_samples=samples.webhook_path_up,
    ),
    Family(
        name="istio_control_plane_webhook_path_outcome",
        help="1 for how the last dry run of the injection webhook ended, where that was not ok.",
        profile="minimal",
        stability="experimental",
        labels=("revision", "outcome"),
        cluster_samples=samples.webhook_path_outcome,
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
