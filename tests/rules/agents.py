"""Cases of istio-cni's agents on several nodes, which share one alert."""

from tests.rules.ambient_nodes import CUT, LONG, TEN, case, cni, nodes, pods, ztunnel
from tests.rules.lives import life

ALL, FAULT = "IstioProxiesFailing", "IstioProxyFault"
CASES = (
    case(
        ALL,
        "istio-cni is not ready on three nodes: one alert",
        nodes(range(3), lambda n: cni(n, TEN, (80, "cni_not_ready"))),
        {10: {}, 14: {ALL: 1}, 89: {ALL: 1}},
    ),
    case(
        FAULT,
        "istio-cni is not ready on two nodes: two warnings",
        nodes(range(2), lambda n: cni(n, TEN, (80, "cni_not_ready"))),
        {10: {}, 22: {FAULT: 2}, 89: {FAULT: 2}},
    ),
    case(
        CUT,
        "three nodes are lost with all that is on them: one alert",
        nodes(
            range(3),
            lambda n: pods(n, TEN, (80, "node_unreachable")),
            lambda n: ztunnel(n, TEN, (80, "node_unreachable")),
            lambda n: cni(n, TEN, (80, "node_unreachable")),
        ),
        {10: {}, 13: {CUT: 1}, 89: {CUT: 1}},
    ),
)
VARIANTS = (
    case(
        ALL,
        "eight nodes are lost, each with a few sidecars: one alert",
        nodes(
            range(8),
            lambda n: life(
                f"web-{n}-{{1..4}}",
                TEN,
                (80, "unreachable"),
                node=f"node-{n}",
                workload=f"web-{n % 2}",
            ),
            lambda n: life(f"ok-{n}", (LONG, "ok"), workload=f"web-{n % 2}"),
            lambda n: cni(n, TEN, (80, "unreachable")),
        ),
        {10: {}, 14: {ALL: 1}, 89: {ALL: 1}},
    ),
    case(
        ALL,
        "istio-cni crashes again and again on three nodes: one alert",
        nodes(range(3), lambda n: cni(n, TEN, *((4, "crash_looping"), (1, "starting")) * 16)),
        {10: {}, 20: {ALL: 1}, 89: {ALL: 1}},
    ),
    case(
        ALL,
        "the agents of three nodes have a fault each, of other causes: one alert",
        {
            **cni(1, TEN, (80, "cni_not_ready")),
            **cni(2, TEN, (80, "crash_looping")),
            **cni(3, TEN, (80, "proxy_not_running")),
        },
        {10: {}, 14: {ALL: 1}, 89: {ALL: 1}},
    ),
    case(
        ALL,
        "the third agent fails when two have had their warning",
        nodes(
            range(3), lambda n: cni(n, (10 + 12 * n, "ok"), (LONG - 10 - 12 * n, "cni_not_ready"))
        ),
        {10: {}, 24: {FAULT: 1}, 38: {ALL: 1, FAULT: 2}, 60: {ALL: 1}, 89: {ALL: 1}},
    ),
    case(
        ALL,
        "istio-cni is rolled over ten nodes, three at a time",
        nodes(
            range(10),
            lambda n: cni(n, (10 + 3 * (n // 3), "ok"), (2, "starting"), (78 - 3 * (n // 3), "ok")),
        ),
        {89: {}},
    ),
)
"""More of the kind, which `make test-slow` tries."""
