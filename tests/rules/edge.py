"""Cases of gateways and workloads of which all or half fail, in the ways in which they do."""

from tests.rules.lives import again, life
from tests.rules.promtool import Case, ExpectedAlert, Series

HOUR = 60
ALL, EDGE = "IstioProxiesFailing", "IstioGatewaysFailing"
FAR = life("far-{1..60}", (HOUR, "ok"), namespace="far", workload="far")
"""A healthy part of the mesh, so that what fails is no quarter of it."""


def gateways(pods: str, *spans: tuple[int, str], workload: str = "gw") -> Series:
    """Gateways of one deployment."""
    return life(pods, *spans, role="gateway", namespace="istio-ingress", workload=workload)


def at_once(name: str, series: Series, by: int = 12, alert: str = EDGE) -> Case:
    """A critical alert, of an outage that begins in minute 10."""
    return Case(alert, "trap", name, {**FAR, **series}, {10: {}, by: {alert: 1}, 59: {alert: 1}})


def all_of(name: str, series: Series) -> Case:
    """The same of a workload behind the edge."""
    return at_once(name, series, 14, ALL)


def quiet(name: str, series: Series) -> Case:
    """What is ordinary."""
    return Case(EDGE, "trap", name, {**FAR, **series}, {30: {}, 59: {}})


TEN = (10, "ok")
CASES = (
    Case(
        EDGE,
        "fires",
        "the only gateway",
        {**FAR, **gateways("gw-1", TEN, (50, "proxy_not_running"))},
        {10: {}, 12: {EDGE: 1}, 59: {EDGE: 1}},
        ExpectedAlert(
            12,
            {"scope": "gateway", "name": "istio-ingress/gw", "namespace": "istio-ingress"},
            "The gateway of istio-ingress/gw has a fault: what comes in through it fails. Check the"
            " last change of its deployment and of its Gateways, its node, istiod; the exporter's"
            " page has its cause.",
        ),
    ),
    Case(
        EDGE,
        "quiet",
        "one gateway of five",
        {
            **FAR,
            **gateways("gw-1", TEN, (5, "envoy_stuck"), (45, "ok")),
            **gateways("gw-{2..5}", (60, "ok")),
        },
        {30: {}, 59: {}},
    ),
    quiet(
        "two bad minutes, the first ones of Prometheus: a short fault as any other",
        life("web-{1..3}", (2, "envoy_stuck"), (58, "ok"), workload="web"),
    ),
    at_once(
        "three gateways of five",
        {**gateways("gw-{1..3}", TEN, (50, "envoy_stuck")), **gateways("gw-{4..5}", (60, "ok"))},
    ),
    at_once(
        "the only gateway of the Gateway API's own kind",
        life(
            "gw-1",
            TEN,
            (50, "proxy_not_running"),
            role="agentgateway",
            namespace="istio-ingress",
            workload="gw",
        ),
    ),
    at_once(
        "gateways that are not ready, and nobody knows why",
        {
            **gateways("gw-{1..3}", (60, "ok")),
            **{k: "1x9 0x49" for k in gateways("gw-{1..3}", (60, "ok")) if "target_ready" in k},
        },
    ),
    quiet(
        "gateways are rolled",
        {
            **gateways("old-{1..3}", TEN, (2, "draining"), (48, "gone")),
            **gateways("new-{1..3}", (9, "gone"), (1, "starting"), (50, "ok")),
        },
    ),
)

VARIANTS = (
    at_once(
        "one of two deployments of gateways",
        {
            **gateways("gw-{1..2}", TEN, (50, "unreachable")),
            **gateways("east-{1..2}", (60, "ok"), workload="east"),
        },
    ),
    at_once(
        "gateways that wait for a secret", gateways("gw-{1..3}", TEN, (50, "listener_warming"))
    ),
    at_once(
        "gateways of the Gateway API's own kind",
        life(
            "gw-{1..2}",
            TEN,
            (50, "proxy_not_running"),
            role="agentgateway",
            namespace="istio-ingress",
            workload="gw",
        ),
    ),
    all_of(
        "both waypoints of a namespace",
        life("wp-{1..2}", TEN, (50, "envoy_stuck"), role="waypoint", workload="wp"),
    ),
    at_once(
        "gateways whose cause changes every two minutes",
        gateways(
            "gw-{1..3}",
            TEN,
            *again(50, (2, "envoy_stuck"), (2, "configuration_rejected"), (1, "crash_looping")),
        ),
    ),
    all_of(
        "the pods of a workload, in two namespaces of one name",
        {
            **life("web-{1..2}", TEN, (50, "crash_looping"), workload="web"),
            **life("web-{3..5}", (60, "ok"), namespace="other", workload="web"),
        },
    ),
    at_once(
        "gateways in a crash loop",
        gateways("gw-{1..3}", TEN, *again(48, (5, "crash_looping"), (1, "starting"))),
    ),
    at_once(
        "gateways that flap every three minutes",
        gateways("gw-{1..3}", TEN, *again(48, (3, "envoy_stuck"), (3, "ok"))),
        by=35,
    ),
    at_once(
        "gateways that fail for a minute of four",
        gateways("gw-{1..3}", TEN, *again(48, (1, "envoy_stuck"), (3, "ok"))),
        by=35,
    ),
    Case(
        EDGE,
        "trap",
        "gateways that are out by turns",
        {
            **FAR,
            **gateways("gw-1", TEN, *again(56, (4, "crash_looping"), (4, "ok"))),
            **gateways("gw-2", TEN, *again(56, (4, "ok"), (4, "crash_looping"))),
        },
        {10: {}, 35: {EDGE: 1}, 59: {EDGE: 1}},
    ),
    Case(
        "IstioProxyFault",
        "trap",
        "two gateways of five: a warning each, within twelve minutes",
        {
            **FAR,
            **gateways("gw-{1..2}", TEN, (50, "envoy_stuck")),
            **gateways("gw-{3..5}", (60, "ok")),
        },
        {19: {}, 22: {"IstioProxyFault": 2}, 59: {"IstioProxyFault": 2}},
    ),
    Case(
        "IstioProxyFault",
        "trap",
        "one gateway of two: a warning",
        {**FAR, **gateways("gw-1", TEN, (50, "envoy_stuck")), **gateways("gw-2", (60, "ok"))},
        {19: {}, 22: {"IstioProxyFault": 1}, 59: {"IstioProxyFault": 1}},
    ),
    Case(
        "IstioProxyFault",
        "trap",
        "one waypoint of one: a warning",
        {**FAR, **life("wp-1", TEN, (50, "envoy_stuck"), role="waypoint", workload="wp")},
        {19: {}, 22: {"IstioProxyFault": 1}, 59: {"IstioProxyFault": 1}},
    ),
    Case(
        "IstioProxyFault",
        "trap",
        "a rollout with an image that crashes: the old pods serve",
        {
            **FAR,
            **life("old-{1..4}", (60, "ok"), workload="web"),
            **life("new-1", (10, "gone"), (1, "starting"), (49, "crash_looping"), workload="web"),
        },
        {20: {}, 23: {"IstioProxyFault": 1}, 59: {"IstioProxyFault": 1}},
    ),
    quiet(
        "gateways go to none and come back",
        gateways("gw-{1..3}", TEN, (1, "draining"), (20, "gone"), (1, "starting"), (28, "ok")),
    ),
    quiet(
        "a workload goes from ten to none and back",
        life(
            "web-{1..10}",
            TEN,
            (2, "draining"),
            (20, "gone"),
            (2, "starting"),
            (26, "ok"),
            workload="web",
        ),
    ),
    quiet(
        "jobs come every ten minutes",
        {
            k: v
            for n in range(5)
            for k, v in life(
                f"job-{n}",
                (10 * n, "gone"),
                (1, "starting"),
                (4, "ok"),
                (1, "draining"),
                (54 - 10 * n, "gone"),
                workload="job",
            ).items()
        },
    ),
    quiet(
        "jobs that their sidecars hold",
        life("job-{1..4}", TEN, (50, "job_held_by_sidecar"), workload="job"),
    ),
    quiet(
        "applications that are broken",
        life("web-{1..9}", TEN, (50, "application_unhealthy"), workload="web"),
    ),
    quiet(
        "all gateways stumble for a poll",
        gateways("gw-{1..3}", TEN, (1, "envoy_stuck"), (49, "ok")),
    ),
    quiet(
        "a canary's pods start slowly",
        life("canary-{1..3}", TEN, (9, "starting"), (41, "ok"), workload="canary"),
    ),
)
"""More of the kind, which `make test-slow` tries."""
