"""Rows about ambient: pods that ztunnels serve, and what the ztunnels themselves count."""

from charts.dashboards.page import Row
from charts.dashboards.panels import stat, trend
from charts.dashboards.tables import table
from charts.dashboards.values import (
    NONE_IS_GOOD,
    PLAIN,
    RATE,
    TARGET,
    TO_PROXY,
    TO_RUNBOOK,
    Column,
    Query,
    best,
    counted,
)

_CLUSTER = 'cluster=~"$cluster"'
_PODS = f'{_CLUSTER}, namespace=~"$namespace", role="ambient"'
_BYPASS = "outside_mesh|redirection_missing|not_enrolled|identity_mismatch"
_AMBIENT = best("istio_target_last_poll_timestamp_seconds", TARGET, _PODS)
_ZTUNNEL = f'{_CLUSTER}, role="ztunnel"'
_NODE = f"on ({TARGET}) group_left (node) " + best("istio_target_info", f"{TARGET}, node", _ZTUNNEL)


def _faults(cause: str) -> Query:
    faults = best("istio_target_diagnosis", f"{TARGET}, cause", f'{_PODS}, class="fault", {cause}')
    by = "by (cluster)"
    return Query(f"count {by} ({faults}) or 0 * count {by} ({_AMBIENT})", "{{cluster}}")


def _workloads(state: str) -> str:
    counted = best("istio_proxy_workloads", TARGET, f'{_ZTUNNEL}, state="{state}"')
    return f"sum by (cluster, node) ({counted} * {_NODE})"


ROW = Row(
    "Ambient",
    (
        stat(
            "Ambient pods",
            "Pods in ambient that were polled lately.",
            [Query(f"count by (cluster) ({_AMBIENT})", "{{cluster}}")],
            PLAIN,
            width=8,
            nothing="No pod in ambient",
        ),
        stat(
            "Outside the mesh",
            "Ambient pods that ztunnel does not stand before, or serves as another identity: "
            "policy and mTLS do not hold for them.",
            [_faults(f'cause=~"{_BYPASS}"')],
            NONE_IS_GOOD,
            width=8,
            nothing="No pod in ambient",
        ),
        stat(
            "Cut off",
            "Ambient pods with any other fault: mesh clients are refused, or will be.",
            [_faults(f'cause!~"{_BYPASS}"')],
            NONE_IS_GOOD,
            width=8,
            nothing="No pod in ambient",
        ),
        table(
            "Faults of ambient pods",
            "Ambient pods that are outside the mesh or cut off, with their causes.",
            [best("istio_target_diagnosis", f"{TARGET}, cause", f'{_PODS}, class="fault"')],
            (
                Column("cluster"),
                Column("namespace"),
                Column("pod", link=TO_PROXY),
                Column("cause", link=TO_RUNBOOK),
            ),
            nothing="No pod in ambient has a fault",
        ),
        table(
            "Workloads by node",
            "What istio-cni has annotated as redirected on each node, what the node's ztunnel "
            "serves, and what it could not start. The first two should be equal.",
            [
                counted(
                    "istio_proxy_ambient_pods",
                    "cluster, namespace, node",
                    "cluster, node",
                    f'{_CLUSTER}, redirection="enabled"',
                ),
                _workloads("active"),
                _workloads("pending"),
            ],
            (
                Column("cluster"),
                Column("node"),
                Column("Value #A", "annotated", PLAIN),
                Column("Value #B", "active", PLAIN),
                Column("Value #C", "pending", NONE_IS_GOOD),
            ),
            nothing="No ztunnel reports workloads",
        ),
        trend(
            "Ztunnel's lost connections to istiod",
            "Ended connections by ztunnel and reason, a second. Reconnect is istiod's usual end.",
            [
                Query(
                    "sum by (cluster, namespace, pod, reason) (rate("
                    f"istio_proxy_xds_terminations_total{{{_ZTUNNEL}}}[$__rate_interval]))",
                    "{{cluster}} {{pod}} {{reason}}",
                )
            ],
            RATE,
            width=24,
            nothing="No ztunnel lost its connection to istiod",
        ),
    ),
)
