"""istiod: its replicas, its webhooks, and what the proxies report of it."""

from charts.dashboards.page import Page
from charts.dashboards.panels import bars, matrix, stat, table, timeline, trend
from charts.dashboards.values import (
    NONE_IS_GOOD,
    PLAIN,
    RATE,
    TARGET,
    TO_PROXY,
    TO_RUNBOOK,
    UP,
    YES,
    Column,
    Query,
    Scale,
    best,
)

MESH = 'cluster=~"$cluster"'
ISTIOD = f'{MESH}, namespace=~"$istiod_namespace", role="istiod"'
PROXIES = f'{MESH}, role!~"istiod|cni"'
REPLICAS = best("istio_target_last_poll_timestamp_seconds", TARGET, ISTIOD)
READY = best("istio_target_ready", f"{TARGET}, endpoint", ISTIOD)
CONNECTED = best("istio_control_plane_connected_proxies", "cluster, namespace, pod", ISTIOD)
INFO = best("istio_target_info", "cluster, namespace, pod, revision, version", PROXIES)
KNOWN = best("istio_target_info", "version", f'{PROXIES}, version!=""')
XDS = best("istio_proxy_xds_connected", "cluster, namespace, pod", PROXIES)
NO_PROXY = Scale(steps=((None, "red"), (1, "green")))


def rate(family: str, by: str) -> str:
    """How fast a counter of istiod grows: where several exporters poll it, the largest."""
    return f"max by ({by}) (rate({family}{{{ISTIOD}}}[$__rate_interval]))"


PAGE = Page(
    uid="istio-ports-control-plane",
    title="Istio ports: control plane",
    about="istiod's replicas, ports and webhooks, and the proxies that depend on them.",
    variables=("istiod_namespace",),
    rows=(
        (
            "Now",
            (
                stat(
                    "Replicas",
                    "istiod replicas that were polled lately.",
                    [Query(f"count({REPLICAS})")],
                    NO_PROXY,
                ),
                stat(
                    "Replicas ready",
                    "Replicas that report ready.",
                    [
                        Query(
                            "sum("
                            + best(
                                "istio_target_ready",
                                "cluster, namespace, pod",
                                f'{ISTIOD}, endpoint="istiod"',
                            )
                            + ")"
                        )
                    ],
                    NO_PROXY,
                ),
                stat(
                    "Replicas with a fault",
                    "Replicas with a cause of the class fault.",
                    [
                        Query(
                            "count("
                            + best("istio_target_diagnosis", TARGET, f'{ISTIOD}, class="fault"')
                            + f") or 0 * count({REPLICAS})"
                        )
                    ],
                    NONE_IS_GOOD,
                ),
                stat(
                    "Proxies connected",
                    "Proxies connected to all replicas together, as these count them.",
                    [Query(f"sum({CONNECTED})")],
                    PLAIN,
                ),
                stat(
                    "Proxies without istiod",
                    "Proxies of this mesh that are not connected to any istiod.",
                    [Query(f"count({XDS} == 0) or 0 * count({XDS})")],
                    NONE_IS_GOOD,
                ),
                stat(
                    "Versions",
                    "Known versions of Istio among the proxies; more than two are seldom intended.",
                    [Query(f"count(group by (version) ({KNOWN}))")],
                    Scale(steps=((None, "green"), (3, "orange"))),
                ),
            ),
        ),
        (
            "Replicas",
            (
                table(
                    "Replicas at fault",
                    "The most likely cause for each replica that has one.",
                    [best("istio_target_diagnosis", f"{TARGET}, cause, class", ISTIOD)],
                    (
                        Column("cluster"),
                        Column("namespace"),
                        Column("pod", link=TO_PROXY),
                        Column("cause", link=TO_RUNBOOK),
                        Column("class"),
                    ),
                ),
                timeline(
                    "Readiness",
                    "What each replica reports of itself and of its injection webhook.",
                    [Query(READY, "{{pod}} {{endpoint}}")],
                    YES,
                ),
                matrix(
                    "Ports now",
                    "Each replica's ports: up or down; empty where not judged.",
                    best("istio_port_up", "pod, port", ISTIOD),
                    ("pod", "port"),
                    UP,
                ),
                timeline(
                    "Ports over time",
                    "Up or down, by replica and port.",
                    [Query(best("istio_port_up", "pod, port", ISTIOD), "{{pod}} {{port}}")],
                    UP,
                ),
                table(
                    "Revisions",
                    "Revision and version of each replica, as it reports them.",
                    [
                        best(
                            "istio_control_plane_info",
                            "cluster, namespace, pod, revision, version",
                            ISTIOD,
                        )
                    ],
                    (
                        Column("cluster"),
                        Column("namespace"),
                        Column("pod"),
                        Column("revision"),
                        Column("version"),
                    ),
                ),
            ),
        ),
        (
            "What they serve",
            (
                trend(
                    "Connected proxies",
                    "By replica: one far from the others is out of balance, or stuck.",
                    [Query(CONNECTED, "{{pod}}")],
                    PLAIN,
                ),
                trend(
                    "Rejected updates",
                    "Updates that proxies rejected, by resource, as each replica counts them.",
                    [
                        Query(
                            rate("istio_control_plane_xds_rejects_total", "pod, resource"),
                            "{{pod}} {{resource}}",
                        )
                    ],
                    RATE,
                ),
                trend(
                    "Failed pushes",
                    "Pushes that failed, as each replica counts them.",
                    [Query(rate("istio_control_plane_push_errors_total", "pod"), "{{pod}}")],
                    RATE,
                ),
                trend(
                    "Proxies behind",
                    "Proxies that did not acknowledge what istiod last sent, by resource; needs "
                    "istiod's debug token.",
                    [
                        Query(
                            "count by (resource) ("
                            + best(
                                "istio_proxy_xds_synced",
                                "cluster, namespace, pod, resource",
                                PROXIES,
                            )
                            + " == 0)",
                            "{{resource}}",
                        )
                    ],
                    PLAIN,
                ),
                trend(
                    "Proxies without istiod",
                    "Not connected, by namespace.",
                    [Query(f"count by (namespace) ({XDS} == 0)", "{{namespace}}")],
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
            ),
        ),
        (
            "Webhooks, certificates and ambient",
            (
                timeline(
                    "Path to the injection webhook",
                    "Whether the API server reaches it, by revision; needs the webhook's dry run.",
                    [
                        Query(
                            best("istio_control_plane_webhook_path_up", "cluster, revision", MESH),
                            "{{revision}}",
                        )
                    ],
                    UP,
                ),
                table(
                    "Outcome of the path to the webhook",
                    "Where it was not ok; needs the webhook's dry run.",
                    [
                        best(
                            "istio_control_plane_webhook_path_outcome",
                            "cluster, revision, outcome",
                            MESH,
                        )
                    ],
                    (Column("cluster"), Column("revision"), Column("outcome")),
                ),
                stat(
                    "Serving certificates expire in",
                    "Certificates that istiod serves, by replica.",
                    [
                        Query(
                            best(
                                "istio_target_certificate_expiry_timestamp_seconds",
                                "pod, certificate",
                                ISTIOD,
                            )
                            + " - time()",
                            "{{pod}} {{certificate}}",
                        )
                    ],
                    Scale(unit="s", steps=((None, "red"), (0, "orange"), (86400, "green"))),
                    width=12,
                ),
                bars(
                    "Pods without their proxy",
                    "Pods whose labels or namespace ask for a proxy and that have none.",
                    [
                        Query(
                            "sum by (namespace, reason) ("
                            + best(
                                "istio_proxy_missing_pods",
                                "cluster, namespace, reason",
                                MESH,
                            )
                            + ")",
                            "{{namespace}} {{reason}}",
                        )
                    ],
                    PLAIN,
                ),
                bars(
                    "Ambient pods by redirection",
                    "Pods enrolled in ambient; where redirection is missing they bypass the mesh.",
                    [
                        Query(
                            "sum by (redirection) ("
                            + best(
                                "istio_proxy_ambient_pods",
                                "cluster, namespace, node, redirection",
                                MESH,
                            )
                            + ")",
                            "{{redirection}}",
                        )
                    ],
                    PLAIN,
                ),
            ),
        ),
    ),
)
