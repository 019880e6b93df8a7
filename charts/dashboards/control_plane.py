"""istiod: its replicas, its webhooks, and what the proxies report of it."""

from charts.dashboards.control_plane_served import CONNECTED, ISTIOD, MESH, PROXIES, SERVED, XDS
from charts.dashboards.page import Page, Row
from charts.dashboards.panels import stat, timeline
from charts.dashboards.tables import alerts, ports_matrix, table
from charts.dashboards.values import (
    NONE_IS_GOOD,
    PLAIN,
    PORT_STATES,
    TARGET,
    TO_PROXY,
    TO_RUNBOOK,
    UP,
    YES,
    Column,
    Query,
    Scale,
    best,
    ports_of,
    unhealthy,
)

REPLICAS = best("istio_target_last_poll_timestamp_seconds", TARGET, ISTIOD)
READY = best("istio_target_ready", f"{TARGET}, endpoint", ISTIOD)
KNOWN = best("istio_target_info", "cluster, version", f'{PROXIES}, version!=""')
NO_PROXY = Scale(steps=((None, "red"), (1, "green")))

PAGE = Page(
    uid="istio-ports-control-plane",
    title="Istio ports: control plane",
    about="istiod's replicas, ports and webhooks, and the proxies that depend on them.",
    variables=("cluster", "istiod_namespace"),
    rows=(
        Row(
            "Now",
            (
                stat(
                    "Replicas",
                    "istiod replicas that were polled lately.",
                    [Query(f"count by (cluster) ({REPLICAS})", "{{cluster}}")],
                    NO_PROXY,
                ),
                stat(
                    "Replicas ready",
                    "Replicas that report ready.",
                    [
                        Query(
                            "sum by (cluster) ("
                            + best(
                                "istio_target_ready",
                                "cluster, namespace, pod",
                                f'{ISTIOD}, endpoint="istiod"',
                            )
                            + ")",
                            "{{cluster}}",
                        )
                    ],
                    NO_PROXY,
                ),
                stat(
                    "Replicas unhealthy",
                    "Replicas with a cause of the class fault, or with a port down or a readiness "
                    "of no that no other cause explains.",
                    [
                        Query(
                            f"count by (cluster) ({unhealthy(ISTIOD)}) "
                            f"or 0 * count by (cluster) ({REPLICAS})",
                            "{{cluster}}",
                        )
                    ],
                    NONE_IS_GOOD,
                ),
                stat(
                    "Proxies connected",
                    "Proxies connected to all replicas together, as these count them.",
                    [Query(f"sum by (cluster) ({CONNECTED})", "{{cluster}}")],
                    PLAIN,
                ),
                stat(
                    "Proxies without istiod",
                    "Proxies of this mesh that are not connected to any istiod.",
                    [
                        Query(
                            f"count by (cluster) ({XDS} == 0) or 0 * count by (cluster) ({XDS})",
                            "{{cluster}}",
                        )
                    ],
                    NONE_IS_GOOD,
                ),
                stat(
                    "Versions",
                    "Known versions of Istio among the proxies; more than two are seldom intended.",
                    [
                        Query(
                            f"count by (cluster) (group by (cluster, version) ({KNOWN}))",
                            "{{cluster}}",
                        )
                    ],
                    Scale(steps=((None, "green"), (3, "orange"))),
                ),
            ),
        ),
        Row("Alerts", (alerts(MESH, ("control-plane.yaml",)),)),
        Row(
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
                    nothing="No replica has a cause",
                ),
                timeline(
                    "Readiness",
                    "What each replica reports of itself and of its injection webhook.",
                    [Query(READY, "{{cluster}} {{pod}} {{endpoint}}")],
                    YES,
                ),
                ports_matrix(
                    "Ports now",
                    "Each replica's ports: up, down or unjudged.",
                    ports_of("cluster, namespace, pod, port", ISTIOD),
                    ("cluster", "namespace", "pod"),
                    PORT_STATES,
                ),
                timeline(
                    "Ports over time",
                    "Up or down, by replica and port.",
                    [
                        Query(
                            best("istio_port_up", "cluster, namespace, pod, port", ISTIOD),
                            "{{cluster}} {{pod}} {{port}}",
                        )
                    ],
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
                        Column("version", "reported version"),
                    ),
                ),
            ),
        ),
        *SERVED,
    ),
)
