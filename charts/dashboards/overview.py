"""The mesh: what is wrong, how many have it, where, and since when."""

from grafana_foundation_sdk.models import dashboard as model

from charts.dashboards.ambient import ROW as AMBIENT
from charts.dashboards.page import Page, Row
from charts.dashboards.panels import bars, stacked, stat, trend
from charts.dashboards.tables import alerts, ports_matrix, table
from charts.dashboards.values import (
    GREY,
    NONE_IS_BETTER,
    NONE_IS_GOOD,
    PLAIN,
    TARGET,
    TO_PROXY,
    TO_RUNBOOK,
    Column,
    Query,
    Scale,
    best,
    unhealthy,
)

WHERE = 'cluster=~"$cluster", namespace=~"$namespace", role=~"$role"'
FAULTY = f'{WHERE}, class="fault"'
TARGETS = best("istio_target_last_poll_timestamp_seconds", TARGET, WHERE)
FAULTS = best("istio_target_diagnosis", f"{TARGET}, cause, class", FAULTY)
PORTS = best("istio_port_up", f"{TARGET}, port", WHERE)
UNJUDGED = best("istio_port_unjudged", f"{TARGET}, port, reason", WHERE)
DESCRIBED = best("istio_target_certificate_expiry_timestamp_seconds", TARGET, WHERE)
"""In no profile but those that have `UNJUDGED` and `EXPOSED` too."""
EXPOSED = best("istio_port_exposed", f"{TARGET}, port", WHERE)
POLLS = f"increase(istio_target_polls_total{{{WHERE}}}[10m])"
FAULTY_POLLS = f"increase(istio_target_faulty_polls_total{{{WHERE}}}[10m])"
DOWN = f"sum by ({TARGET}) (1 - {PORTS})"
OTHERS = best("istio_target_diagnosis", f"{TARGET}, cause, class", f'{WHERE}, class!="fault"')
UNHEALTHY = unhealthy(WHERE)
WORST = f"({DOWN} + on ({TARGET}) group_right () 0 * {FAULTS}) or (0 * {FAULTS})"
"""Faults with how many ports are down; 0 where no port is judged."""
NO_FAULT = model.DynamicConfigValue(id_val="color", value={"mode": "fixed", "fixedColor": "orange"})
PLACE = "cluster, namespace, port"
SHARE = Scale(
    unit="percentunit",
    steps=((None, "red"), (0.9, "orange"), (1, "green")),
    words={"-1": ("?", GREY)},
    top=1,
)


def counted(series: str, among: str = TARGETS) -> Query:
    """How many there are: 0 only while targets are seen that would have them, else nothing."""
    by = "by (cluster)"
    return Query(f"count {by} ({series}) or 0 * count {by} ({among})", "{{cluster}}")


PAGE = Page(
    uid="istio-ports-overview",
    title="Istio ports: mesh",
    about="What is wrong in the mesh, by cause, namespace and port, as it was proved.",
    variables=("cluster", "namespace", "role"),
    rows=(
        Row(
            "Now",
            (
                stat(
                    "Targets",
                    "Proxies, ztunnels, CNI agents and istiods that were polled lately.",
                    [Query(f"count by (cluster) ({TARGETS})", "{{cluster}}")],
                    PLAIN,
                ),
                stat(
                    "Unhealthy",
                    "Targets with a cause of the class fault, or with a port down or a readiness "
                    "of no that no other cause explains.",
                    [counted(UNHEALTHY)],
                    NONE_IS_GOOD,
                ),
                stat(
                    "With another cause",
                    "Targets with a cause that is no fault: a transition, a policy, the "
                    "application, or the exporter itself.",
                    [counted(OTHERS)],
                    NONE_IS_BETTER,
                ),
                stat(
                    "Ports down",
                    "Ports that were proved not to answer.",
                    [counted(f"{PORTS} == 0")],
                    NONE_IS_GOOD,
                ),
                stat(
                    "Ports unjudged",
                    "Ports of which nothing can be said: they are neither up nor down. Not in the "
                    "profile minimal.",
                    [counted(UNJUDGED, DESCRIBED)],
                    NONE_IS_BETTER,
                ),
                stat(
                    "Ports exposed",
                    "Ports that belong inside the pod and answer from the network. Not in the "
                    "profile minimal.",
                    [counted(EXPOSED, DESCRIBED)],
                    NONE_IS_GOOD,
                ),
            ),
        ),
        Row(
            "Alerts",
            (alerts('cluster=~"$cluster", namespace=~"$namespace|"'),),
        ),
        Row(
            "Causes",
            (
                bars(
                    "Targets by cause",
                    "Each target has one cause at most. Class fault is broken, transition ends by "
                    "itself, policy is a decision, application is outside the mesh, exporter is a "
                    "problem of the exporter itself. Red is a fault. Click a bar for its runbook.",
                    [
                        Query(
                            f"sort_desc(count by (cluster, cause) ({series}))",
                            "{{cluster}} {{cause}}",
                        )
                        for series in (FAULTS, OTHERS)
                    ],
                    Scale(steps=((None, "red"),)),
                    nothing="No target has a cause",
                ).override_by_query("B", [NO_FAULT]),
                stacked(
                    trend(
                        "Faults over time",
                        "Targets with a fault, by cause.",
                        [Query(f"count by (cluster, cause) ({FAULTS})", "{{cluster}} {{cause}}")],
                        PLAIN,
                        nothing="No target has had a fault",
                    )
                ),
            ),
        ),
        Row(
            "Where",
            (
                ports_matrix(
                    "Ports up, by namespace",
                    "The share of judged ports that are up; ? where none could be judged, empty "
                    "where there is no such port.",
                    f"(avg by ({PLACE}) ({PORTS}) or -1 * group by ({PLACE}) ({UNJUDGED}))",
                    ("cluster", "namespace"),
                    SHARE,
                    column=62,
                ),
                trend(
                    "Unhealthy, by namespace",
                    "Unhealthy targets, by namespace.",
                    [
                        Query(
                            f"count by (cluster, namespace) ({UNHEALTHY})",
                            "{{cluster}} {{namespace}}",
                        )
                    ],
                    PLAIN,
                ),
                trend(
                    "Ports down, by port",
                    "Ports that were proved not to answer.",
                    [Query(f"count by (cluster, port) ({PORTS} == 0)", "{{cluster}} {{port}}")],
                    PLAIN,
                ),
            ),
        ),
        AMBIENT,
        Row(
            "Over time",
            (
                trend(
                    "Share of polls without a fault, by namespace",
                    "Of the polls in ten minutes, by namespace: scrapes that were missed do not "
                    "change it.",
                    [
                        Query(
                            f"1 - sum by (cluster, namespace) ({FAULTY_POLLS}) "
                            f"/ sum by (cluster, namespace) ({POLLS})",
                            "{{cluster}} {{namespace}}",
                        )
                    ],
                    SHARE,
                    width=24,
                ),
            ),
        ),
        Row(
            "Who",
            (
                table(
                    "Worst targets",
                    "Targets with a fault, those with most ports down first; at most 100.",
                    [f"sort_desc(topk(100, {WORST}))"],
                    (
                        Column("cluster"),
                        Column("namespace"),
                        Column("pod", link=TO_PROXY),
                        Column("role"),
                        Column("cause", link=TO_RUNBOOK),
                        Column("Value", "ports down", Scale(steps=((None, "orange"), (1, "red")))),
                    ),
                    width=24,
                    nothing="No target has a fault",
                ),
                table(
                    "Unjudged ports",
                    "Why a port cannot be judged. captured: only the redirection accepted. "
                    "no_access: a loopback port without access. blocked: silent while the "
                    "proxy runs. rejected: forbidden by another host.",
                    [f"sort_desc(count by (cluster, namespace, role, port, reason) ({UNJUDGED}))"],
                    (
                        Column("cluster"),
                        Column("namespace"),
                        Column("role"),
                        Column("port"),
                        Column("reason"),
                        Column("Value", "ports", NONE_IS_BETTER),
                    ),
                    width=10,
                    nothing="Every port is judged, or the profile is minimal",
                ),
                table(
                    "With another cause",
                    "Targets with a cause that is no fault: a transition, a policy, the "
                    "application, or the exporter itself.",
                    [OTHERS],
                    (
                        Column("cluster"),
                        Column("namespace"),
                        Column("pod", link=TO_PROXY),
                        Column("role"),
                        Column("cause", link=TO_RUNBOOK),
                        Column("class"),
                    ),
                    width=14,
                    nothing="None",
                ),
            ),
        ),
    ),
)
