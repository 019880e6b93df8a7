"""What the istiods serve: proxies, certificates, injection; and what some installs alone have."""

from charts.dashboards.page import Row
from charts.dashboards.panels import bars, stat, timeline, trend
from charts.dashboards.tables import table
from charts.dashboards.values import PLAIN, RATE, UP, Column, Query, Scale, best, counted

MESH = 'cluster=~"$cluster"'
ISTIOD = f'{MESH}, namespace=~"$istiod_namespace", role="istiod"'
PROXIES = f'{MESH}, role!~"istiod|cni|ambient"'
CONNECTED = best("istio_control_plane_connected_proxies", "cluster, namespace, pod", ISTIOD)
INFO = best("istio_target_info", "cluster, namespace, pod, revision, version", PROXIES)
XDS = best("istio_proxy_xds_connected", "cluster, namespace, pod", PROXIES)


def rate(family: str, by: str) -> str:
    """How fast a counter of istiod grows: where several exporters poll it, the largest."""
    return f"max by ({by}) (rate({family}{{{ISTIOD}}}[$__rate_interval]))"


SERVED = (
    Row(
        "What they serve",
        (
            trend(
                "Connected proxies",
                "By replica: one far from the others is out of balance, or stuck.",
                [Query(CONNECTED, "{{cluster}} {{pod}}")],
                PLAIN,
            ),
            table(
                "Proxies by revision and version",
                "A version of more than one minor behind istiod's is not supported.",
                [f"sort_desc(count by (cluster, revision, version) ({INFO}))"],
                (
                    Column("cluster"),
                    Column("revision"),
                    Column("version"),
                    Column("Value", "proxies"),
                ),
            ),
            trend(
                "Rejected updates",
                "Updates that proxies rejected, by resource, as each replica counts them.",
                [
                    Query(
                        rate(
                            "istio_control_plane_xds_rejects_total",
                            "cluster, namespace, pod, resource",
                        ),
                        "{{cluster}} {{pod}} {{resource}}",
                    )
                ],
                RATE,
                width=8,
                nothing="No proxy rejected an update",
            ),
            trend(
                "Failed pushes",
                "Pushes that failed, as each replica counts them.",
                [
                    Query(
                        rate("istio_control_plane_push_errors_total", "cluster, namespace, pod"),
                        "{{cluster}} {{pod}}",
                    )
                ],
                RATE,
                width=8,
                nothing="No push failed",
            ),
            trend(
                "Proxies without istiod",
                "Not connected, by namespace.",
                [
                    Query(
                        f"count by (cluster, namespace) ({XDS} == 0)",
                        "{{cluster}} {{namespace}}",
                    )
                ],
                PLAIN,
                width=8,
                nothing="Every proxy is connected",
            ),
        ),
    ),
    Row(
        "Certificates, injection and ambient",
        (
            stat(
                "Serving certificates expire in",
                "Certificates that istiod serves, by replica.",
                [
                    Query(
                        best(
                            "istio_target_certificate_expiry_timestamp_seconds",
                            "cluster, namespace, pod, certificate",
                            ISTIOD,
                        )
                        + " - time()",
                        "{{cluster}} {{pod}} {{certificate}}",
                    )
                ],
                Scale(unit="s", steps=((None, "red"), (0, "orange"), (86400, "green"))),
                width=24,
            ),
            bars(
                "Pods without their proxy",
                "Pods whose labels or namespace ask for a proxy and that have none.",
                [
                    Query(
                        counted(
                            "istio_proxy_missing_pods",
                            "cluster, namespace, reason",
                            "cluster, namespace, reason",
                            MESH,
                        ),
                        "{{cluster}} {{namespace}} {{reason}}",
                    )
                ],
                PLAIN,
                nothing="None, or the exporter lists no pods",
            ),
            bars(
                "Ambient pods by redirection",
                "Pods enrolled in ambient; where redirection is missing they bypass the mesh.",
                [
                    Query(
                        counted(
                            "istio_proxy_ambient_pods",
                            "cluster, namespace, node, redirection",
                            "cluster, redirection",
                            MESH,
                        ),
                        "{{cluster}} {{redirection}}",
                    )
                ],
                PLAIN,
                nothing="None, or the exporter lists no pods",
            ),
        ),
    ),
    Row(
        "With istiod's debug token alone (istiod.debug_token_file)",
        (
            trend(
                "Proxies behind",
                "Proxies that did not acknowledge what istiod last sent, by resource.",
                [
                    Query(
                        "count by (cluster, resource) ("
                        + best(
                            "istio_proxy_xds_synced",
                            "cluster, namespace, pod, resource",
                            PROXIES,
                        )
                        + " == 0)",
                        "{{cluster}} {{resource}}",
                    )
                ],
                PLAIN,
            ),
        ),
        is_closed=True,
    ),
    Row(
        "With the webhook's dry run alone (istiod.webhook_dry_run)",
        (
            timeline(
                "Path to the injection webhook",
                "Whether the API server reaches it, by revision.",
                [
                    Query(
                        best("istio_control_plane_webhook_path_up", "cluster, revision", MESH),
                        "{{cluster}} {{revision}}",
                    )
                ],
                UP,
            ),
            table(
                "Outcome of the path to the webhook",
                "Where it was not ok.",
                [
                    best(
                        "istio_control_plane_webhook_path_outcome",
                        "cluster, revision, outcome",
                        MESH,
                    )
                ],
                (Column("cluster"), Column("revision"), Column("outcome")),
            ),
        ),
        is_closed=True,
    ),
)
