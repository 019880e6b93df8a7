"""Cases of the alert of many proxies at once."""

from tests.rules.promtool import Case, ExpectedAlert
from tests.rules.series import diagnosis, info, istiod, istiod_ready, of, ready


def failing(who: str) -> str:
    """The description of IstioProxiesFailing for so many proxies."""
    return (
        f"{who} have a fault. Check what they share before you check any single pod; the"
        " exporter's page lists them with their causes. Alerts of these pods alone do not start"
        " while this one fires; those that fire already end within 15 minutes."
    )


CASES = (
    Case(
        "IstioProxiesFailing",
        "fires",
        "half of a namespace fails for reasons of its own",
        {
            info("web-{0..9}"): "1x40",
            info("far-{0..19}", namespace="far"): "1x40",
            diagnosis("web-{0..3}", "envoy_stuck"): "1x40",
            diagnosis("web-{4..5}", "admin_slow"): "1x40",
        },
        {2: {}, 5: {"IstioProxiesFailing": 1}, 40: {"IstioProxiesFailing": 1}},
        ExpectedAlert(
            5,
            {"scope": "namespace", "name": "shop", "namespace": "shop"},
            failing("6 proxies of namespace shop"),
        ),
    ),
    Case(
        "IstioProxiesFailing",
        "quiet",
        "four proxies fail: each has its own alert",
        {
            info("web-{0..3}"): "1x40",
            diagnosis("web-{0..3}", "envoy_stuck"): "1x40",
        },
        {9: {}, 30: {"IstioProxyFault": 4}},
    ),
    Case(
        "IstioProxiesFailing",
        "trap",
        "a rollout of 500 pods: none",
        {
            info("old-{0..499}"): "1x8 stale",
            diagnosis("old-{0..499}", "draining"): "_x4 1x3 stale",
            ready("old-{0..499}", "envoy"): "1x4 0x4 stale",
            info("new-{0..499}"): "_x5 1x35",
            diagnosis("new-{0..499}", "starting"): "_x5 1x2 stale",
            ready("new-{0..499}", "envoy"): "_x5 0x3 1x32",
            of("istio_port_up", "new-{0..499}", port="15021", component="envoy"): "_x5 0x3 1x32",
        },
        {8: {}, 20: {}, 40: {}},
        replicas=(2,),
    ),
    Case(
        "IstioProxiesFailing",
        "trap",
        "a node is lost: one, not thirty",
        {
            info("web-{0..29}", namespace="ns-{0..2}", node="node-1"): "1x40",
            info("web-{30..59}", namespace="ns-{0..2}", node="node-2"): "1x40",
            diagnosis("web-{0..29}", "unreachable", namespace="ns-{0..2}"): "_x5 1x4 stale",
            diagnosis("web-{0..29}", "node_unreachable", namespace="ns-{0..2}"): "_x9 1x31",
        },
        {7: {}, 15: {"IstioProxiesFailing": 1}, 40: {"IstioProxiesFailing": 1}},
        ExpectedAlert(
            30,
            {"scope": "node", "name": "node-1", "node": "node-1"},
            failing("90 proxies of node node-1"),
        ),
    ),
    Case(
        "IstioProxiesFailing",
        "trap",
        "a node is drained: none, its pods are being deleted",
        {
            info("web-{0..29}"): "1x9 stale",
            diagnosis("web-{0..29}", "draining"): "_x4 1x5 stale",
            of(
                "istio_port_up", "web-{0..29}", port="15020", component="pilot-agent"
            ): "1x4 0x5 stale",
        },
        {10: {}, 40: {}},
    ),
    Case(
        "IstioProxiesFailing",
        "trap",
        "a whole revision fails on every node: one",
        {
            info("web-{0..9}", namespace="shop-{0..1}", node="node-1"): "1x40",
            info("web-{10..19}", namespace="shop-{0..1}", node="node-2"): "1x40",
            diagnosis("web-{0..19}", "configuration_rejected", namespace="shop-{0..1}"): "1x40",
        },
        {2: {}, 12: {"IstioProxiesFailing": 1}, 40: {"IstioProxiesFailing": 1}},
        ExpectedAlert(
            30,
            {"scope": "revision", "name": "default"},
            failing("40 proxies of revision default"),
        ),
    ),
    Case(
        "IstioProxiesFailing",
        "trap",
        "an outage that turns into network_blocked goes on",
        {
            info("web-{0..9}"): "1x60",
            diagnosis("web-{0..9}", "unreachable"): "1x10 stale",
            diagnosis("web-{0..9}", "network_blocked"): "_x11 1x49",
        },
        {9: {"IstioProxiesFailing": 1}, 60: {"IstioProxiesFailing": 1}},
        unbroken=(5, 60),
    ),
    Case(
        "IstioProxiesFailing",
        "trap",
        "most recover: the rest get their own alerts without a gap",
        {
            info("web-{0..9}"): "1x90",
            diagnosis("web-{0..7}", "envoy_stuck"): "1x30 stale",
            diagnosis("web-{8..9}", "envoy_stuck"): "1x90",
        },
        {20: {"IstioProxiesFailing": 1}, 60: {"IstioProxyFault": 2}},
        unbroken=(5, 90),
    ),
    Case(
        "IstioProxiesFailing",
        "trap",
        "one istiod replica is stuck: it is named, not the namespace",
        {
            istiod("istiod-{1..2}"): "1x40",
            istiod_ready("istiod-1"): "1x40",
            istiod_ready("istiod-2"): "0x40",
            diagnosis("istiod-2", "istiod_replica_stuck", "istiod", "istio-system"): "1x40",
            info("web-{0..9}"): "1x40",
            diagnosis("web-{0..9}", "xds_disconnected"): "_x3 1x37",
        },
        {2: {}, 20: {"IstioControlPlaneNotReady": 1, "IstioProxiesFailing": 1}},
        ExpectedAlert(
            20,
            {"scope": "istiod replica", "name": "istiod-2"},
            failing("10 proxies of istiod replica istiod-2"),
        ),
    ),
)
