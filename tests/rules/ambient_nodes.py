"""Cases of what many nodes, namespaces or pods in ambient share, and of single pods that flap."""

from collections.abc import Callable

from tests.rules.lives import again, life
from tests.rules.promtool import Case, Series
from tests.rules.series import of

LONG = 90
TEN = (10, "ok")
CUT = "IstioAmbientNodeCut"
WEB = life("far-{1..60}", (LONG, "ok"), namespace="far", workload="far", node="far")


def pods(node: int, *spans: tuple[int, str], count: int = 5) -> Series:
    """Pods in ambient on a node."""
    return life(
        f"web-{node}-{{1..{count}}}", *spans, role="ambient", node=f"node-{node}", workload="web"
    )


def ztunnel(node: int, *spans: tuple[int, str], name: str = "ztunnel") -> Series:
    """The ztunnel of a node."""
    return life(
        f"{name}-{node}",
        *spans,
        role="ztunnel",
        namespace="istio-system",
        node=f"node-{node}",
        workload="ztunnel",
    )


def cni(node: int, *spans: tuple[int, str]) -> Series:
    """The istio-cni of a node."""
    return life(
        f"cni-{node}",
        *spans,
        role="cni",
        namespace="istio-system",
        node=f"node-{node}",
        workload="istio-cni-node",
    )


def nodes(numbers: range, *parts: Callable[[int], Series]) -> Series:
    """These parts on each of some nodes."""
    return {k: v for n in numbers for part in parts for k, v in part(n).items()}


def case(
    alert: str,
    name: str,
    series: Series,
    at: dict[int, dict[str, int]],
) -> Case:
    """A trap beside sixty healthy proxies."""
    return Case(alert, "trap", name, {**WEB, **series}, at)


def counted(node: int, namespace: str = "shop", redirection: str = "enabled") -> str:
    """How many pods of a namespace istio-cni has redirected on a node."""
    labels = f'namespace="{namespace}",node="node-{node}",redirection="{redirection}"'
    return f"istio_proxy_ambient_pods{{{labels}}}"


CASES = (
    case(
        CUT,
        "the ztunnels of ten nodes: one alert",
        nodes(
            range(10),
            lambda n: pods(n, TEN, (80, "not_served")),
            lambda n: ztunnel(n, TEN, (80, "proxy_not_running")),
        ),
        {10: {}, 13: {CUT: 1}, 89: {CUT: 1}},
    ),
    case(
        CUT,
        "the ztunnel of a node in a crash loop",
        {
            **nodes(
                range(1),
                lambda n: pods(n, TEN, *again(80, (4, "not_served"), (1, "ok"))),
                lambda n: ztunnel(n, TEN, *again(80, (4, "crash_looping"), (1, "starting"))),
            ),
            **nodes(
                range(1, 5), lambda n: pods(n, (LONG, "ok")), lambda n: ztunnel(n, (LONG, "ok"))
            ),
        },
        {10: {}, 13: {CUT: 1}, 89: {CUT: 1}},
    ),
    case(
        CUT,
        "a node is lost with all that is on it",
        {
            **nodes(
                range(1),
                lambda n: pods(n, TEN, (80, "node_unreachable")),
                lambda n: ztunnel(n, TEN, (80, "node_unreachable")),
                lambda n: cni(n, TEN, (80, "node_unreachable")),
            ),
            **nodes(
                range(1, 5),
                lambda n: pods(n, (LONG, "ok")),
                lambda n: ztunnel(n, (LONG, "ok")),
                lambda n: cni(n, (LONG, "ok")),
            ),
        },
        {10: {}, 13: {CUT: 1}, 89: {CUT: 1}},
    ),
    case(
        "IstioProxiesFailing",
        "istio-cni is not ready on ten nodes: one alert",
        nodes(range(10), lambda n: cni(n, TEN, (80, "cni_not_ready"))),
        {10: {}, 14: {"IstioProxiesFailing": 1}, 89: {"IstioProxiesFailing": 1}},
    ),
    case(
        "IstioAmbientCertificateNotRenewed",
        "no ztunnel gets a certificate: one alert",
        nodes(range(10), lambda n: pods(n, TEN, (80, "certificate_not_renewed"))),
        {
            10: {},
            27: {"IstioAmbientCertificateNotRenewed": 1},
            89: {"IstioAmbientCertificateNotRenewed": 1},
        },
    ),
    case(
        "IstioAmbientHboneBlocked",
        "a policy in each of twenty namespaces: one alert",
        {
            k: v
            for n in range(20)
            for k, v in life(
                "api-{1..3}",
                TEN,
                (80, "network_blocked"),
                role="ambient",
                namespace=f"ns-{n}",
                workload="api",
            ).items()
        },
        {10: {}, 22: {"IstioAmbientHboneBlocked": 1}, 89: {"IstioAmbientHboneBlocked": 1}},
    ),
    case(
        "IstioZtunnelWorkloadsMissing",
        "on ten nodes: one alert",
        {
            **nodes(range(10), lambda n: ztunnel(n, (LONG, "ok"))),
            **{counted(n): "5x89" for n in range(10)},
            **{
                of(
                    "istio_proxy_workloads",
                    f"ztunnel-{n}",
                    "ztunnel",
                    "istio-system",
                    state="active",
                ): "5x9 3x79"
                for n in range(10)
            },
        },
        {10: {}, 17: {"IstioZtunnelWorkloadsMissing": 1}, 89: {"IstioZtunnelWorkloadsMissing": 1}},
    ),
    case(
        "IstioAmbientBypassed",
        "forty pods outside the mesh: one alert",
        nodes(range(8), lambda n: pods(n, TEN, (80, "outside_mesh"))),
        {10: {}, 13: {"IstioAmbientBypassed": 1}, 89: {"IstioAmbientBypassed": 1}},
    ),
    case(
        "IstioProxyFlapping",
        "an outage of twenty minutes is none that comes and goes",
        life("api-1", TEN, (20, "envoy_stuck"), (60, "ok"), namespace="api"),
        {10: {}, 22: {"IstioProxyFault": 1}, 89: {}},
    ),
)

VARIANTS = (
    case(
        "IstioProxiesFailing",
        "the ztunnel of a node fails for a minute of five",
        {
            **nodes(
                range(1),
                lambda n: pods(n, TEN, *again(80, (1, "not_served"), (4, "ok"))),
                lambda n: ztunnel(n, TEN, *again(80, (1, "proxy_not_running"), (4, "ok"))),
            ),
            **nodes(
                range(1, 5), lambda n: pods(n, (LONG, "ok")), lambda n: ztunnel(n, (LONG, "ok"))
            ),
        },
        {10: {}, 40: {"IstioProxiesFailing": 1}, 89: {"IstioProxiesFailing": 1}},
    ),
    case(
        "IstioProxiesFailing",
        "ztunnel is rolled over ten nodes",
        nodes(
            range(10),
            lambda n: pods(n, (10 + 2 * n, "ok"), (1, "not_served"), (79 - 2 * n, "ok")),
            lambda n: ztunnel(n, (10 + 2 * n, "ok"), (1, "draining"), (79 - 2 * n, "gone")),
            lambda n: ztunnel(
                n, (11 + 2 * n, "gone"), (1, "starting"), (78 - 2 * n, "ok"), name="new"
            ),
        ),
        {89: {}},
    ),
    case(
        CUT,
        "ztunnel is rolled over six nodes, whose pods are cut off for three minutes: from the third"
        " on one alert",
        nodes(
            range(6),
            lambda n: pods(n, (10 + 4 * n, "ok"), (3, "not_served"), (77 - 4 * n, "ok")),
            lambda n: ztunnel(n, (10 + 4 * n, "ok"), (3, "starting"), (77 - 4 * n, "ok")),
        ),
        {9: {}, 13: {CUT: 1}, 38: {CUT: 1}, 60: {}},
    ),
    case(
        CUT,
        "pods of a node stay cut off while two other nodes have a moment of it: no gap",
        nodes(
            range(3),
            lambda n: pods(n, (10 + 5 * n, "ok"), (3 if n else 50, "not_served"), (27, "ok")),
        ),
        {9: {}, 34: {CUT: 2}, 45: {CUT: 1}, 60: {CUT: 1}},
    ),
    case(
        "IstioProxyFault",
        "istio-cni is not ready on one node: a warning",
        nodes(range(1), lambda n: cni(n, TEN, (80, "cni_not_ready"))),
        {10: {}, 22: {"IstioProxyFault": 1}, 89: {"IstioProxyFault": 1}},
    ),
    case(
        "IstioAmbientPodCut",
        "a pod that is cut off for three minutes of six",
        {
            **pods(1, (LONG, "ok")),
            **life(
                "one",
                TEN,
                *again(80, (3, "not_served"), (3, "ok")),
                role="ambient",
                node="node-1",
                workload="one",
            ),
        },
        {10: {}, 30: {"IstioAmbientPodCut": 1}, 89: {"IstioAmbientPodCut": 1}},
    ),
    case(
        "IstioAmbientPodCut",
        "a pod that is cut off every other minute",
        {
            **pods(1, (LONG, "ok")),
            **life(
                "one",
                TEN,
                *again(80, (1, "not_served"), (1, "ok")),
                role="ambient",
                node="node-1",
                workload="one",
            ),
        },
        {10: {}, 30: {"IstioProxyFlapping": 1}, 89: {"IstioProxyFlapping": 1}},
    ),
    case(
        "IstioAmbientBypassed",
        "pods that start outside of the mesh for a minute",
        pods(1, (10, "gone"), (1, "starting"), (1, "not_enrolled"), (78, "ok")),
        {89: {}},
    ),
    case(
        "IstioAmbientPodCut",
        "every pod of a node is rolled",
        {
            **pods(1, TEN, (2, "draining"), (78, "gone")),
            **life(
                "new-{1..5}",
                (11, "gone"),
                (1, "starting"),
                (1, "enrolment_pending"),
                (77, "ok"),
                role="ambient",
                node="node-1",
                workload="web",
            ),
        },
        {89: {}},
    ),
    case(
        "IstioProxiesFailing",
        "all waypoints",
        life("wp-{1..2}", TEN, (80, "proxy_not_running"), role="waypoint", workload="wp"),
        {10: {}, 14: {"IstioProxiesFailing": 1}, 89: {"IstioProxiesFailing": 1}},
    ),
    Case(
        "IstioProxyFlapping",
        "trap",
        "seven minutes of each hour",
        life("api-1", *again(300, (7, "envoy_stuck"), (53, "ok")), namespace="api"),
        {120: {}, 200: {"IstioProxyFlapping": 1}, 299: {"IstioProxyFlapping": 1}},
    ),
    *(
        Case(
            "IstioProxyFlapping",
            "trap",
            f"an outage of {m} minutes, of a single proxy",
            life("api-1", TEN, (m, "envoy_stuck"), (190 - m, "ok"), namespace="api"),
            {199: {}} if m < 10 else {m + 9: {"IstioProxyFault": 1}, 199: {}},
        )
        for m in (6, 15, 18, 19, 21, 23, 45, 58, 62)
    ),
)
"""More of the kind, which `make test-slow` tries."""
