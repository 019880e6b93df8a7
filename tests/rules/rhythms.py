"""Cases of outages that come and go in other rhythms, of every role, each one alert."""

from collections.abc import Mapping

from tests.rules.churn import merged
from tests.rules.lives import Span, again, exporter, life
from tests.rules.promtool import Case, ExpectedAlert, Series
from tests.rules.series import of
from tests.rules.turns import by_turns

LONG = 120
START = 10
FAR = life("far-{1..20}", (LONG, "ok"), namespace="far", workload="far")
WEB = {"workload": "web"}
GATEWAY = {"role": "gateway", "namespace": "istio-ingress", "workload": "gw"}
ISTIOD = {"role": "istiod", "namespace": "istio-system", "workload": "istiod"}
CNI = {"role": "cni", "namespace": "istio-system", "workload": "istio-cni-node"}
ZTUNNEL = {"role": "ztunnel", "namespace": "istio-system", "workload": "ztunnel"}
ALL, EDGE, CUT = "IstioProxiesFailing", "IstioGatewaysFailing", "IstioAmbientNodeCut"
ALONE, NOT_READY = "IstioRevisionWithoutControlPlane", "IstioControlPlaneNotReady"
WEBHOOK, PORT = "IstioWebhookDown", "IstioControlPlanePortDown"
WEBHOOK_PATH = 'istio_control_plane_webhook_path_up{revision="canary"}'


def rhythm(down: int, up: int, cause: str, last: str = "ok") -> list[Span]:
    """Ten good minutes, then so many with a cause and so many without, again and again."""
    states = [cause] * down + [last] * up
    spans = again(LONG - START, *((1, state) for state in states))
    return [(START, "ok"), *spans, (LONG - START - len(spans), "ok")]


def trap(
    name: str, alert: str, by: int, *lives: Series, more: Mapping[int, Mapping[str, int]] = {}
) -> Case:
    """One alert by that minute and none before the outage; `more` replaces what is expected."""
    expected = {START: {}, by: {alert: 1}, LONG - 1: {alert: 1}, **more}
    return Case(alert, "trap", name, merged(FAR, *lives), expected)


def quiet(name: str, alert: str, *lives: Series) -> Case:
    """What must not alert, for what this alert is about."""
    return Case(alert, "trap", name, merged(FAR, *lives), {40: {}, LONG - 1: {}})


def istiods(*spans: Span, healthy: int = 1) -> Series:
    """An istiod with this life beside healthy ones, and its proxies."""
    return merged(
        life("istiod-1", *spans, **ISTIOD),
        *(life(f"istiod-{n + 2}", (LONG, "ok"), **ISTIOD) for n in range(healthy)),
    )


def port_down(down: int, up: int) -> Series:
    """An istiod that is ready, of which a port is down in this rhythm; another is well."""
    port = of("istio_port_up", "istiod-1", "istiod", "istio-system", port="15012", component="x")
    return {
        **{
            selector: f"1x{LONG}" if "target_ready" in selector else values
            for selector, values in istiods(*rhythm(down, up, "istiod_port_down")).items()
        },
        port: " ".join(
            "0" if m >= START and (m - START) % (down + up) < down else "1" for m in range(LONG)
        ),
    }


def nodes(broken: int, down: int, up: int) -> Series:
    """Four nodes with six pods in ambient each; the ztunnels of some fail in this rhythm."""
    return merged(
        *(
            merged(
                life(
                    f"api-{n}-{{1..6}}",
                    *(rhythm(down, up, "not_served") if n < broken else [(LONG, "ok")]),
                    role="ambient",
                    node=f"node-{n}",
                    workload=f"api-{n}",
                ),
                life(
                    f"ztunnel-{n}",
                    *(rhythm(down, up, "ztunnel_stuck") if n < broken else [(LONG, "ok")]),
                    node=f"node-{n}",
                    **ZTUNNEL,
                ),
            )
            for n in range(4)
        )
    )


def missed(pattern: str) -> Case:
    """All pods of a workload fail, and scrapes are missed in this pattern."""
    lost = [minute for minute in range(1, LONG) if pattern[minute % len(pattern)] == "x"]
    return Case(
        ALL,
        "trap",
        f"all pods of a workload, and scrapes in the pattern {pattern}",
        merged(
            exporter(LONG, lost),
            life("far-{1..20}", (LONG, "ok"), namespace="far", workload="far", missed=lost),
            life("web-{1..2}", (START, "ok"), (LONG - START, "envoy_stuck"), missed=lost, **WEB),
        ),
        {
            START: {},
            40: {ALL: 1, "IstioPortExporterDown": 1},
            LONG - 1: {ALL: 1, "IstioPortExporterDown": 1},
        },
        unbroken=(18, LONG - 1),
        watched=False,
        replicas=(1,),
    )


SYNCED = 'istio_port_exporter_discovery_synced{resource="pods"}'
CASES = (
    trap(
        "six agents of istio-cni flap: one alert, and none of theirs",
        ALL,
        20,
        life("cni-{1..6}", *rhythm(3, 3, "cni_not_ready"), **CNI),
    ),
    trap(
        "the webhook of one istiod of two flaps",
        WEBHOOK,
        20,
        istiods(*rhythm(3, 3, "webhook_not_serving")),
    ),
    trap("a port of a ready istiod flaps", PORT, 24, port_down(3, 3)),
    trap("the ztunnels of three nodes flap: the alert of their nodes", CUT, 13, nodes(3, 3, 3)),
    missed("xxxx......"),
    trap(
        "a capability comes and goes",
        "IstioPortExporterCapabilityLost",
        40,
        {'istio_port_exporter_capability{capability="debug_token"}': "1x9 " + "0x6 1x2 " * 11},
    ),
    Case(
        WEBHOOK,
        "trap",
        "nobody polls the istiod, and the API server does not reach its webhook",
        {WEBHOOK_PATH: "1x9 0x30"},
        {START: {}, 14: {WEBHOOK: 1}, 39: {WEBHOOK: 1}},
        ExpectedAlert(
            14,
            {"revision": "canary"},
            "The API server does not reach the injection webhook of revision canary;"
            " istio_control_plane_webhook_path_outcome has how its call ended. Creations of pods"
            " that reach them fail; with all replicas down no pod is injected, and the API server"
            " refuses Istio's resources. Read istiod's log for its serving certificate, and let"
            " the API server reach 15017.",
        ),
    ),
    trap("every second call of it fails", WEBHOOK, 35, {WEBHOOK_PATH: "1x9 " + "0 0 1 1 " * 28}),
    quiet(
        "the dry run fails where istiods are polled: it is in their diagnoses",
        WEBHOOK,
        {**istiods((LONG, "ok")), WEBHOOK_PATH: f"1x9 0x{LONG}"},
    ),
)

VARIANTS = (
    trap(
        "the webhook of one istiod of two is out for three minutes of twenty",
        WEBHOOK,
        60,
        istiods(*rhythm(3, 17, "webhook_not_serving")),
    ),
    trap(
        "the webhooks of both istiods are out by turns for two minutes each",
        WEBHOOK,
        20,
        by_turns(2, 2, "webhook_not_serving", minutes=LONG, **ISTIOD),
    ),
    trap(
        "a port of a ready istiod is down for eight minutes of twenty", PORT, 14, port_down(8, 12)
    ),
    trap(
        "the ztunnels of three nodes fail for eight minutes of twenty, and are well then",
        CUT,
        13,
        nodes(3, 8, 12),
        more={LONG - 1: {}},
    ),
    trap("the ztunnel of a node flaps", CUT, 13, nodes(1, 2, 2)),
    trap(
        "a policy comes and goes every five minutes",
        "IstioProxiesNotJudged",
        50,
        life("web-{1..9}", *rhythm(5, 5, "network_blocked"), **WEB),
    ),
    quiet(
        "a policy is in the way for twelve minutes",
        "IstioProxiesNotJudged",
        life("web-{1..9}", (10, "ok"), (12, "network_blocked"), (98, "ok"), **WEB),
    ),
    trap(
        "the watch of pods breaks every three minutes",
        "IstioPortExporterDiscoveryStuck",
        40,
        {SYNCED: "1x9 " + "0 0 0 1 1 1 " * 19},
        more={START: {}},
    ),
    quiet(
        "the first list of pods takes eight minutes",
        "IstioPortExporterDiscoveryStuck",
        {SYNCED: "0x7 1x112"},
    ),
    trap(
        "the istiod of a canary loops while the default's are well",
        ALONE,
        12,
        istiods((LONG, "ok")),
        life("canary-1", *rhythm(5, 1, "istiod_not_ready"), revision="canary", **ISTIOD),
        life("new-{1..9}", (LONG, "ok"), revision="canary", workload="new"),
    ),
    trap(
        "one istiod of three is out for three minutes of twenty",
        NOT_READY,
        60,
        istiods(*rhythm(3, 17, "istiod_not_ready"), healthy=2),
        life("web-{1..9}", (LONG, "ok"), **WEB),
    ),
    trap(
        "both east-west gateways flap",
        EDGE,
        12,
        life("gw-{1..2}", *rhythm(3, 3, "envoy_stuck"), **GATEWAY),
    ),
    trap(
        "both waypoints of a namespace flap",
        ALL,
        20,
        life("wp-{1..2}", *rhythm(3, 3, "envoy_stuck"), role="waypoint", workload="wp"),
    ),
    missed("xxx."),
    Case(
        ALL,
        "trap",
        "a hundred of a thousand proxies, all over the mesh",
        {
            key: value
            for n in range(25)
            for lives in (
                life(f"w{n}-{{1..4}}", (5, "ok"), (16, "envoy_stuck"), workload=f"w{n}"),
                life(f"w{n}-{{5..40}}", (21, "ok"), workload=f"w{n}"),
            )
            for key, value in lives.items()
        },
        {5: {}, 9: {ALL: 1}, 20: {ALL: 1}},
        replicas=(2,),
    ),
)
"""More of the kind, which `make test-slow` tries."""
