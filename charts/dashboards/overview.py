"""The mesh: what is wrong, how many have it, where, and since when."""

from charts.dashboards.ambient import ROW as AMBIENT
from charts.dashboards.page import Page
from charts.dashboards.panels import bars, matrix, stacked, stat, table, trend
from charts.dashboards.values import (
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
)

WHERE = 'cluster=~"$cluster", namespace=~"$namespace", role=~"$role"'
FAULTY = f'{WHERE}, class="fault"'
TARGETS = best("istio_target_last_poll_timestamp_seconds", TARGET, WHERE)
FAULTS = best("istio_target_diagnosis", f"{TARGET}, cause, class", FAULTY)
PORTS = best("istio_port_up", f"{TARGET}, port", WHERE)
READY = best("istio_target_ready", f"{TARGET}, endpoint", WHERE)
UNJUDGED = best("istio_port_unjudged", f"{TARGET}, port, reason", WHERE)
DESCRIBED = best("istio_target_info", TARGET, WHERE)
"""As `TARGETS`, but not in the profile minimal, which does not have `UNJUDGED` and `EXPOSED`."""
EXPOSED = best("istio_port_exposed", f"{TARGET}, port", WHERE)
DOWN = f"sum by ({TARGET}) (1 - {PORTS})"
FAULTS_WITH_DOWN = f"{FAULTS} * on ({TARGET}) group_left () {DOWN}"
SHARE = Scale(unit="percentunit", steps=((None, "red"), (0.9, "orange"), (1, "green")), top=1)


def counted(series: str, among: str = TARGETS) -> Query:
    """How many there are: 0 only while targets are seen that would have them, else nothing."""
    return Query(f"count({series}) or 0 * count({among})")


PAGE = Page(
    uid="istio-ports-overview",
    title="Istio ports: mesh",
    about="What is wrong in the mesh, by cause, namespace and port, as it was proved.",
    variables=("namespace", "role"),
    rows=(
        (
            "Now",
            (
                stat(
                    "Targets",
                    "Proxies, ztunnels, CNI agents and istiods that were polled lately.",
                    [Query(f"count({TARGETS})")],
                    PLAIN,
                ),
                stat(
                    "With a fault",
                    "Targets with a cause of the class fault: something is broken.",
                    [counted(f"group by ({TARGET}) ({FAULTS})")],
                    NONE_IS_GOOD,
                ),
                stat(
                    "Not ready",
                    "Targets with an endpoint that reports not ready.",
                    [counted(f"min by ({TARGET}) ({READY}) == 0")],
                    NONE_IS_GOOD,
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
        (
            "Causes",
            (
                bars(
                    "Targets by cause",
                    "Each target has one cause at most. Class fault is broken, transition ends by "
                    "itself, policy is a decision, application is outside the mesh, exporter is a "
                    "problem of the exporter itself. Click a bar for its runbook.",
                    [
                        Query(
                            "sort_desc(count by (cause, class) ("
                            + best("istio_target_diagnosis", f"{TARGET}, cause, class", WHERE)
                            + "))",
                            "{{cause}} ({{class}})",
                        )
                    ],
                    Scale(steps=((None, "orange"),)),
                ),
                stacked(
                    trend(
                        "Faults over time",
                        "Targets with a fault, by cause.",
                        [Query(f"count by (cause) ({FAULTS})", "{{cause}}")],
                        PLAIN,
                    )
                ),
            ),
        ),
        (
            "Where",
            (
                matrix(
                    "Ports up, by namespace",
                    "The share of judged ports that are up. Empty: no such port is judged there.",
                    f"avg by (namespace, port) ({PORTS})",
                    ("namespace", "port"),
                    SHARE,
                ),
                trend(
                    "Faults by namespace",
                    "Targets with a fault, by namespace.",
                    [Query(f"count by (namespace) ({FAULTS})", "{{namespace}}")],
                    PLAIN,
                ),
                trend(
                    "Ports down, by port",
                    "Ports that were proved not to answer.",
                    [Query(f"count by (port) ({PORTS} == 0)", "{{port}}")],
                    PLAIN,
                ),
            ),
        ),
        AMBIENT,
        (
            "Who",
            (
                table(
                    "Worst targets",
                    "Targets with a fault, those with most ports down first; at most 100.",
                    [f"sort_desc(topk(100, {FAULTS_WITH_DOWN} or 0 * {FAULTS}))"],
                    (
                        Column("cluster"),
                        Column("namespace"),
                        Column("pod", link=TO_PROXY),
                        Column("role"),
                        Column("cause", link=TO_RUNBOOK),
                        Column("Value", "ports down", Scale(steps=((None, "orange"), (1, "red")))),
                    ),
                    width=24,
                ),
                table(
                    "Unjudged ports",
                    "Why a port cannot be judged. captured: only the redirection accepted. "
                    "no_access: a loopback port without access. blocked: silent while the "
                    "proxy runs. rejected: forbidden by another host.",
                    [f"sort_desc(count by (namespace, role, port, reason) ({UNJUDGED}))"],
                    (
                        Column("namespace"),
                        Column("role"),
                        Column("port"),
                        Column("reason"),
                        Column("Value", "ports", NONE_IS_BETTER),
                    ),
                ),
                table(
                    "Not judged or not at fault",
                    "Targets with a cause that is no fault: a transition, a policy, the "
                    "application, or the exporter itself.",
                    [
                        best(
                            "istio_target_diagnosis",
                            f"{TARGET}, cause, class",
                            f'{WHERE}, class!="fault"',
                        )
                    ],
                    (
                        Column("namespace"),
                        Column("pod", link=TO_PROXY),
                        Column("role"),
                        Column("cause", link=TO_RUNBOOK),
                        Column("class"),
                    ),
                ),
            ),
        ),
    ),
)
