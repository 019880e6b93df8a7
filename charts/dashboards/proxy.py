"""One proxy: what is wrong with it, and the evidence."""

from charts.dashboards.page import Page, Row
from charts.dashboards.panels import names, stat, timeline
from charts.dashboards.proxy_details import DETAILS, WHERE
from charts.dashboards.tables import alerts, table
from charts.dashboards.values import (
    NO,
    PRESENT,
    SECONDS,
    UP,
    YES,
    Column,
    Query,
    Scale,
    best,
)


def cause(is_fault: str) -> str:
    """The proxy's cause, where its class is (`=`) or is not (`!=`) fault."""
    where = f'{WHERE}, class{is_fault}"fault"'
    return best("istio_target_diagnosis", "cluster, cause, class", where)


CAUSE = (
    Query(f"2 * {cause('=')}", "{{cause}} ({{class}})"),
    Query(cause("!="), "{{cause}} ({{class}})"),
    Query(
        f"0 * max by (cluster) (istio_target_last_poll_timestamp_seconds{{{WHERE}}}) "
        f"unless on (cluster) istio_target_diagnosis{{{WHERE}}}",
        "nothing is wrong",
    ),
)
"""2 is a fault, 1 another cause, 0 none although the target was polled."""

STEPS = {
    "agent reports ready": best("istio_target_ready", "cluster, pod", f'{WHERE}, endpoint="agent"'),
    "connected to istiod": best("istio_proxy_xds_connected", "cluster, pod", WHERE),
    "configuration accepted": f"1 - {best('istio_proxy_xds_rejected', 'cluster, pod', WHERE)}",
    "certificate valid": "max by (cluster, pod) (istio_target_certificate_expiry_timestamp_seconds"
    f'{{{WHERE}, certificate="workload"}} > bool time())',
    "Envoy live": best("istio_proxy_envoy_live", "cluster, pod", WHERE),
    "Envoy reports ready": best("istio_target_ready", "cluster, pod", f'{WHERE}, endpoint="envoy"'),
    "traffic captured": best("istio_proxy_captured", "cluster, pod", WHERE),
    "served by ztunnel": best(
        "istio_port_up", "cluster, pod", f'{WHERE}, role="ambient", port="15008"'
    ),
    "ztunnel reports ready": best(
        "istio_target_ready", "cluster, pod", f'{WHERE}, endpoint="ztunnel"'
    ),
    "ztunnel serves all that it was given": "max by (cluster, pod) "
    f'(istio_proxy_workloads{{{WHERE}, state="pending"}} == bool 0)',
}
"""What has to hold, in order: 1 it does, 0 it does not, nothing where it cannot be judged."""

PAGE = Page(
    uid="istio-ports-proxy",
    title="Istio ports: one proxy",
    about="One proxy: its cause, its readiness steps, ports, listeners, xDS and certificates.",
    variables=("one cluster", "one namespace", "pod"),
    rows=(
        Row(
            "Verdict",
            (
                names(
                    "Cause",
                    "The most likely cause of what is wrong, and its class; red is a fault.",
                    CAUSE,
                    "not polled",
                    Scale(steps=((None, "green"), (1, "orange"), (2, "red"))),
                ),
                stat(
                    "Last polled",
                    "Time since the last poll, by cadence: the data shown is that old. Results "
                    "that were not renewed for three of their intervals expire.",
                    [
                        Query(
                            "time() - "
                            + best(
                                "istio_target_last_poll_timestamp_seconds",
                                "cluster, cadence",
                                WHERE,
                            ),
                            "{{cadence}}",
                        )
                    ],
                    SECONDS,
                    width=4,
                ),
                table(
                    "What it is",
                    "Information about the pod and its proxy.",
                    [
                        best(
                            "istio_target_info",
                            "cluster, pod, role, ip, node, workload, version, revision",
                            WHERE,
                        )
                    ],
                    tuple(
                        Column(label)
                        for label in ("role", "ip", "node", "workload", "version", "revision")
                    ),
                    width=12,
                ).height(4),
                stat(
                    "Readiness steps",
                    "From left to right, what has to hold for traffic to flow: begin with the "
                    "first no. A step that cannot be judged is left out.",
                    [Query(expr, name) for name, expr in STEPS.items()],
                    YES,
                    width=24,
                ),
                timeline(
                    "Cause over time",
                    "The cause at each time; in a gap nothing was wrong, or nothing was polled.",
                    [
                        Query(
                            best("istio_target_diagnosis", "cluster, cause, class", WHERE),
                            "{{cause}} ({{class}})",
                        )
                    ],
                    PRESENT,
                    width=24,
                    nothing="It had no cause",
                ).height(5),
                alerts(
                    'cluster=~"$cluster", namespace=~"$namespace|", pod=~"$pod|"',
                    about="Alerts about this proxy, and those about its namespace or the mesh, "
                    "which may include it.",
                ).height(7),
            ),
        ),
        Row(
            "Ports",
            (
                table(
                    "Ports now",
                    "Up, down, or unjudged with the reason; the last probe's outcome if not ok.",
                    [
                        best("istio_port_up", "cluster, port, component", WHERE),
                        best("istio_port_outcome", "cluster, port, component, outcome", WHERE),
                        best("istio_port_unjudged", "cluster, port, component, reason", WHERE),
                        best("istio_port_exposed", "cluster, port, component", WHERE),
                    ],
                    (
                        Column("port"),
                        Column("component"),
                        Column("Value #A", "state", UP),
                        Column("outcome"),
                        Column("reason", "unjudged because"),
                        Column("Value #D", "exposed", NO),
                    ),
                ),
                timeline(
                    "Ports over time",
                    "Up or down; a gap where it was not judged.",
                    [
                        Query(
                            best("istio_port_up", "cluster, port, component", WHERE),
                            "{{port}} {{component}}",
                        )
                    ],
                    UP,
                ),
                timeline(
                    "Unjudged over time",
                    "Ports that could not be judged, with the reason.",
                    [
                        Query(
                            best("istio_port_unjudged", "cluster, port, component, reason", WHERE),
                            "{{port}} {{reason}}",
                        )
                    ],
                    PRESENT,
                    width=24,
                    nothing="Every port was judged, or the profile is minimal",
                ).height(5),
            ),
        ),
        *DETAILS,
    ),
)
