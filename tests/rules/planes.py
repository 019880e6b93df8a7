"""Cases of istiods, of revisions and of what all proxies of a mesh lose at once."""

from tests.rules.lives import again, life
from tests.rules.promtool import Case, Series
from tests.rules.series import of

LONG = 90
ALONE = "IstioRevisionWithoutControlPlane"
NOT_READY = "IstioControlPlaneNotReady"
TEN = (10, "ok")
WEB = life("web-{1..60}", (LONG, "ok"), workload="web")
EXPIRY = "istio_target_certificate_expiry_timestamp_seconds"
BEGIN = "istio_target_certificate_not_before_timestamp_seconds"


def istiods(pods: str, *spans: tuple[int, str], revision: str = "default") -> Series:
    """Replicas of a revision's istiod."""
    return life(
        pods, *spans, role="istiod", namespace="istio-system", revision=revision, workload="istiod"
    )


def case(
    alert: str,
    name: str,
    series: Series,
    at: dict[int, dict[str, int]],
    unbroken: tuple[int, int] | None = None,
) -> Case:
    """A trap beside sixty healthy proxies."""
    return Case(alert, "trap", name, {**WEB, **series}, at, unbroken=unbroken)


CASES = (
    case(
        NOT_READY,
        "one of two is stuck: critical within three minutes",
        {
            **istiods("istiod-1", (LONG, "ok")),
            **istiods("istiod-2", TEN, (80, "istiod_replica_stuck")),
        },
        {10: {}, 14: {NOT_READY: 1}, 89: {NOT_READY: 1}},
    ),
    case(
        "IstioControlPlanePortDown",
        "four ports of one istiod, and nobody knows why: one alert",
        {
            **istiods("istiod-1", (LONG, "ok")),
            of(
                "istio_port_up",
                "istiod-1",
                "istiod",
                "istio-system",
                port="1501{0..3}",
                component="istiod",
            ): "1x9 0x80",
        },
        {10: {}, 14: {"IstioControlPlanePortDown": 1}, 89: {"IstioControlPlanePortDown": 1}},
    ),
    case(
        "IstioProxyFault",
        "a shared outage ends and one proxy stays broken: its alert without a gap",
        {
            **life(
                "api-{1..9}", TEN, (20, "envoy_stuck"), (60, "ok"), namespace="api", workload="api"
            ),
            **life("api-10", TEN, (80, "envoy_stuck"), namespace="api", workload="api"),
        },
        {
            10: {},
            20: {"IstioProxiesFailing": 1},
            60: {"IstioProxyFault": 1},
            89: {"IstioProxyFault": 1},
        },
        unbroken=(14, 89),
    ),
    case(
        "IstioProxyListenerNotBound",
        "ten listeners of one gateway of three: one alert",
        {
            **life("gw-1", TEN, (80, "listener_warming"), role="gateway", workload="gw"),
            **life("gw-{2..3}", (LONG, "ok"), role="gateway", workload="gw"),
            of(
                "istio_proxy_listener_bound", "gw-1", "gateway", listener="0.0.0.0_844{0..9}"
            ): "1x9 0x80",
        },
        {10: {}, 16: {"IstioProxyListenerNotBound": 1}, 89: {"IstioProxyListenerNotBound": 1}},
    ),
    case(
        "IstioProxyAdminExposed",
        "two ports of one pod: one alert",
        {
            **life("api-1", TEN, (80, "admin_exposed"), namespace="api"),
            of(
                "istio_port_exposed", "api-1", namespace="api", port="1500{0,4}", component="envoy"
            ).replace("{0,4}", "{0..1}"): "_x10 1x79",
        },
        {10: {}, 16: {"IstioProxyAdminExposed": 1}, 89: {"IstioProxyAdminExposed": 1}},
    ),
)

VARIANTS = (
    case(
        ALONE,
        "the only istiod is killed again and again",
        istiods("istiod-1", TEN, *again(80, (4, "crash_looping"), (1, "starting"))),
        {10: {}, 14: {ALONE: 1}, 89: {ALONE: 1}},
    ),
    case(
        ALONE,
        "the only istiod hangs",
        istiods("istiod-1", TEN, (80, "istiod_replica_stuck")),
        {10: {}, 14: {ALONE: 1}, 89: {ALONE: 1}},
    ),
    case(
        ALONE,
        "the only istiod is ready for a minute of four",
        istiods("istiod-1", TEN, *again(80, (3, "istiod_not_ready"), (1, "ok"))),
        {10: {}, 25: {ALONE: 1}, 89: {ALONE: 1}},
    ),
    case(
        ALONE,
        "the only istiod is not ready for a minute of five",
        istiods("istiod-1", TEN, *again(80, (1, "istiod_not_ready"), (4, "ok"))),
        {10: {}, 40: {ALONE: 1}, 89: {ALONE: 1}},
    ),
    case(
        NOT_READY,
        "both istiods flap by turns",
        {
            **istiods("istiod-1", TEN, *again(80, (2, "istiod_not_ready"), (2, "ok"))),
            **istiods("istiod-2", TEN, *again(80, (2, "ok"), (2, "istiod_not_ready"))),
        },
        {10: {}, 15: {NOT_READY: 1}, 89: {NOT_READY: 1}},
    ),
    case(
        ALONE,
        "all istiods are evicted and none comes back",
        istiods("istiod-{1..3}", TEN, (1, "draining"), (79, "gone")),
        {10: {}, 15: {ALONE: 1}, 89: {ALONE: 1}},
    ),
    case(
        ALONE,
        "the istiod of a canary with proxies dies: its alert alone",
        {
            **istiods("istiod-{1..2}", (LONG, "ok")),
            **istiods("canary-1", TEN, (80, "istiod_not_ready"), revision="canary"),
            **life("new-{1..9}", (LONG, "ok"), revision="canary", workload="new"),
        },
        {10: {}, 14: {ALONE: 1}, 89: {ALONE: 1}},
    ),
    case(
        ALONE,
        "istiod dies, and its proxies lose it: one alert",
        {
            **{
                k: v
                for n in range(3)
                for k, v in life(
                    f"api-{n}-{{1..20}}",
                    TEN,
                    (80, "xds_disconnected"),
                    namespace=f"ns-{n}",
                    workload="api",
                ).items()
            },
            **istiods("istiod-{1..2}", TEN, (80, "istiod_not_ready")),
        },
        {10: {}, 14: {ALONE: 1}, 89: {ALONE: 1}},
    ),
    case(
        ALONE,
        "the node of the only istiod is lost",
        istiods("istiod-1", TEN, (4, "unreachable"), (76, "node_unreachable")),
        {10: {}, 15: {ALONE: 1}, 89: {ALONE: 1}},
    ),
    case(
        NOT_READY,
        "one of three loops: named within minutes of the pattern",
        {
            **istiods("istiod-{1..2}", (LONG, "ok")),
            **istiods("istiod-3", TEN, *again(80, (5, "crash_looping"), (1, "starting"))),
        },
        {10: {}, 16: {NOT_READY: 1}, 89: {NOT_READY: 1}},
    ),
    case(
        NOT_READY,
        "two of three are stuck: one alert",
        {
            **istiods("istiod-1", (LONG, "ok")),
            **istiods("istiod-{2..3}", TEN, (80, "istiod_replica_stuck")),
        },
        {10: {}, 14: {NOT_READY: 1}, 89: {NOT_READY: 1}},
    ),
    case(
        NOT_READY,
        "the istiods whose proxies have a tag for a revision",
        {
            **istiods("istiod-{1..2}", TEN, (80, "istiod_not_ready"), revision="1-28"),
            **life("tag-{1..9}", (LONG, "ok"), revision="prod", workload="tag"),
        },
        {10: {}, 16: {NOT_READY: 1}, 89: {NOT_READY: 1}},
    ),
    case(
        "IstioWebhookDown",
        "the only istiod's webhook serves nothing",
        istiods("istiod-1", TEN, (80, "webhook_not_serving")),
        {10: {}, 14: {"IstioWebhookDown": 1}, 89: {"IstioWebhookDown": 1}},
    ),
    case(
        NOT_READY,
        "istiods are rolled",
        {
            **istiods("old-{1..2}", TEN, (2, "draining"), (78, "gone")),
            **istiods("new-{1..2}", (9, "gone"), (2, "starting"), (79, "ok")),
        },
        {89: {}},
    ),
    case(
        ALONE,
        "the only istiod is restarted within two minutes",
        istiods("istiod-1", TEN, (1, "gone"), (1, "starting"), (78, "ok")),
        {89: {}},
    ),
    case(
        ALONE,
        "a revision is removed: its proxies first, its istiod then",
        {
            **istiods("istiod-1", (LONG, "ok")),
            **istiods("old-1", (40, "ok"), (50, "gone"), revision="old"),
            **life("old-{1..5}", (20, "ok"), (70, "gone"), revision="old"),
        },
        {89: {}},
    ),
    case(
        ALONE,
        "a revision is removed while its last gateways end: they need no istiod",
        {
            **istiods("istiod-1", (LONG, "ok")),
            **istiods("old-1", (40, "ok"), (50, "gone"), revision="old"),
            **life("old-{1..2}", (35, "ok"), (30, "draining"), (25, "gone"), revision="old"),
        },
        {89: {}},
    ),
    case(
        ALONE,
        "a revision is removed while one of its gateways stays",
        {
            **istiods("istiod-1", (LONG, "ok")),
            **istiods("old-1", (40, "ok"), (50, "gone"), revision="old"),
            **life("old-1", (35, "ok"), (30, "draining"), (25, "gone"), revision="old"),
            **life("old-2", (LONG, "ok"), revision="old"),
        },
        {40: {}, 46: {ALONE: 1}, 89: {ALONE: 1}},
    ),
    case(
        ALONE,
        "istiod's namespace admits no exporter: what is unknown is said",
        istiods("istiod-{1..2}", TEN, (80, "network_blocked")),
        {10: {}, 28: {"IstioProxiesNotJudged": 1}, 89: {"IstioProxiesNotJudged": 1}},
    ),
    case(
        "IstioCertificatesNotRenewed",
        "no certificate is renewed, in five namespaces: one alert, then one",
        {
            **{
                k: v
                for n in range(5)
                for k, v in life(
                    f"api-{n}-{{1..9}}", (LONG, "ok"), namespace=f"ns-{n}", workload="api"
                ).items()
            },
            **{
                of(
                    name,
                    f"api-{n}-{{1..9}}",
                    namespace=f"ns-{n}",
                    certificate="workload",
                    source="wire",
                ): value
                for n in range(5)
                for name, value in ((BEGIN, "-82000x89"), (EXPIRY, "4400x89"))
            },
        },
        {
            25: {"IstioCertificatesNotRenewed": 1},
            70: {"IstioCertificatesNotRenewed": 1},
            86: {"IstioCertificatesNotRenewed": 1, "IstioProxiesFailing": 1},
        },
    ),
    case(
        "IstioProxiesFailing",
        "a clock that is wrong on one node",
        {
            **life(
                "api-{1..6}",
                TEN,
                (80, "certificate_not_yet_valid"),
                node="node-9",
                namespace="api",
                workload="api",
            ),
            **life("api-{7..9}", (LONG, "ok"), node="node-9", namespace="api", workload="api"),
        },
        {10: {}, 14: {"IstioProxiesFailing": 1}, 89: {"IstioProxiesFailing": 1}},
    ),
    case(
        "IstioProxiesFailing",
        "fifty of two hundred all over the mesh, of mixed causes",
        {
            k: v
            for n in range(7)
            for k, v in {
                **life(
                    f"bad-{n}-{{1..7}}",
                    TEN,
                    (80, ("envoy_stuck", "proxy_not_running", "agent_gone")[n % 3]),
                    namespace=f"ns-{n}",
                    node=f"node-{n}",
                    workload=f"w-{n}",
                ),
                **life(
                    f"good-{n}-{{1..12}}",
                    (LONG, "ok"),
                    namespace=f"ns-{n}",
                    node=f"node-{n}",
                    workload=f"w-{n}",
                ),
            }.items()
        },
        {10: {}, 14: {"IstioProxiesFailing": 1}, 89: {"IstioProxiesFailing": 1}},
    ),
    case(
        "IstioProxiesFailing",
        "a quarter of the mesh flaps",
        {
            k: v
            for n in range(7)
            for k, v in {
                **life(
                    f"bad-{n}-{{1..7}}",
                    TEN,
                    *again(80, (3, "envoy_stuck"), (2, "ok")),
                    namespace=f"ns-{n}",
                    node=f"node-{n}",
                    workload=f"w-{n}",
                ),
                **life(
                    f"good-{n}-{{1..12}}",
                    (LONG, "ok"),
                    namespace=f"ns-{n}",
                    node=f"node-{n}",
                    workload=f"w-{n}",
                ),
            }.items()
        },
        {10: {}, 35: {"IstioProxiesFailing": 1}, 89: {"IstioProxiesFailing": 1}},
    ),
    case(
        "IstioProxyFault",
        "one proxy was broken before the shared outage and is after it",
        {
            **life(
                "api-{1..9}",
                (30, "ok"),
                (20, "envoy_stuck"),
                (40, "ok"),
                namespace="api",
                workload="api",
            ),
            **life("api-10", TEN, (80, "envoy_stuck"), namespace="api", workload="api"),
        },
        {
            10: {},
            22: {"IstioProxyFault": 1},
            49: {"IstioProxiesFailing": 1},
            89: {"IstioProxyFault": 1},
        },
        unbroken=(22, 89),
    ),
    case(
        "IstioProxyPortDown",
        "many ports of one pod, and nobody knows why: one alert",
        {
            **life("api-{1..9}", (LONG, "ok"), namespace="api", workload="api"),
            of(
                "istio_port_up", "api-1", namespace="api", port="1500{0..8}", component="envoy"
            ): "1x9 0x80",
        },
        {10: {}, 22: {"IstioProxyPortDown": 1}, 89: {"IstioProxyPortDown": 1}},
    ),
)
"""More of the kind, which `make test-slow` tries."""
