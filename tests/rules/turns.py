"""Cases of outages in which the pod that is broken changes: by turns, or replaced while it is."""

from itertools import groupby

from tests.rules.churn import merged
from tests.rules.lives import Span, life
from tests.rules.promtool import Case, ExpectedAlert, Series

LONG = 90
HOURS = 200
START = 10
"""Until this minute all is well."""

DEGRADED, ALL, EDGE = "IstioWorkloadDegraded", "IstioProxiesFailing", "IstioGatewaysFailing"
BYPASSED = "IstioAmbientBypassed"
NOT_READY, ALONE = "IstioControlPlaneNotReady", "IstioRevisionWithoutControlPlane"
ISTIOD = {"role": "istiod", "namespace": "istio-system"}
CNI = {"role": "cni", "namespace": "istio-system", "workload": "istio-cni-node"}
GATEWAY = {"role": "gateway", "namespace": "istio-ingress"}


def by_turns(
    count: int, down: int, cause: str, *, up: int = 0, minutes: int = LONG, **labels: str
) -> Series:
    """So many pods, of which one after the other is broken; in between all are well for a while."""

    def state(pod: int, minute: int) -> str:
        turn, since = divmod(minute - START, down + up)
        return cause if minute >= START and turn % count == pod and since < down else "ok"

    return merged(
        *(
            life(f"web-{n}", *_spans([state(n, m) for m in range(minutes)]), **labels)
            for n in range(count)
        )
    )


def replaced(
    down: int, cause: str, *, well: int = 0, gone: int = 0, minutes: int = LONG, **labels: str
) -> Series:
    """A pod that starts, is well for a while and broken for a while, and is replaced by another.

    gone: minutes without a pod in between, as between the runs of a CronJob.
    """
    each = 1 + well + down + gone
    lives = []
    for n, born in enumerate(range(START, minutes, each)):
        states = ["gone"] * born + ["starting"] + ["ok"] * well + [cause] * down
        lives.append(life(f"new-{n}", *_spans([*states, *["gone"] * minutes][:minutes]), **labels))
    return merged(*lives)


def _spans(states: list[str]) -> list[Span]:
    return [(len(list(same)), state) for state, same in groupby(states)]


def case(name: str, at: dict[int, dict[str, int]], *lives: Series, minutes: int = LONG) -> Case:
    """A trap beside healthy proxies."""
    far = life("far-{1..40}", (minutes, "ok"), namespace="far", workload="far")
    return Case(next(iter(at[max(at)]), DEGRADED), "trap", name, merged(far, *lives), at)


def well(count: int, minutes: int = LONG, **labels: str) -> Series:
    """So many pods without a fault."""
    return life(f"ok-{{1..{count}}}", (minutes, "ok"), **labels)


WEB = {"workload": "web"}
ONE = {DEGRADED: 1}
CASES = (
    Case(
        DEGRADED,
        "fires",
        "one pod of five is broken and replaced every ten minutes",
        merged(replaced(8, "envoy_stuck", well=1, **WEB), well(4, **WEB)),
        {START: {}, 35: {}, 58: ONE, LONG - 1: ONE},
        ExpectedAlert(
            58,
            {"namespace": "shop", "workload": "web"},
            "5 proxies of shop/web had a fault within the last hour, none for long enough for an"
            " alert of its own: pods fail in turn, or are replaced while they fail. Compare their"
            " causes on the exporter's page, and see what replaces them (kubectl get events)."
            " Alerts of these pods alone wait for this one.",
        ),
    ),
    Case(
        DEGRADED,
        "quiet",
        "three pods of five fail once each, within an hour",
        merged(by_turns(3, 8, "envoy_stuck", up=14, **WEB), well(9, **WEB)),
        {56: {}},
    ),
    case(
        "pods of which each exposes its admin port are replaced every four minutes",
        {START: {}, 58: {ALL: 1}, LONG - 1: {ALL: 1}},
        replaced(3, "admin_exposed", **WEB),
        well(4, **WEB),
    ),
    case(
        "each of three pods is broken in turn",
        {START: {}, 30: {}, 48: ONE, LONG - 1: ONE},
        by_turns(3, 8, "envoy_stuck", **WEB),
    ),
    case(
        "each run of a CronJob is broken for three minutes of fifteen, and mostly none is there",
        {START: {}, 120: {}, 160: ONE, HOURS - 1: ONE},
        replaced(3, "istiod_unreachable", gone=11, minutes=HOURS, workload="job"),
        minutes=HOURS,
    ),
    case(
        "both istiods are out by turns for three minutes each",
        {START: {}, 15: {NOT_READY: 1}, 40: {NOT_READY: 1}, LONG - 1: {NOT_READY: 1}},
        by_turns(2, 3, "istiod_not_ready", **ISTIOD),
    ),
    case(
        "one istiod of two is replaced every three minutes",
        {START: {}, 25: {NOT_READY: 1}, LONG - 1: {NOT_READY: 1}},
        replaced(2, "istiod_not_ready", **ISTIOD),
        well(1, **ISTIOD),
    ),
)
VARIANTS = (
    case(
        "each of ten pods is broken in turn",
        {START: {}, 30: {}, 48: ONE, HOURS - 1: ONE},
        by_turns(10, 8, "envoy_stuck", minutes=HOURS, **WEB),
        minutes=HOURS,
    ),
    case(
        "each of fifty pods is broken in turn for three minutes",
        {START: {}, 48: ONE, LONG - 1: ONE},
        by_turns(50, 3, "agent_gone", **WEB),
    ),
    case(
        "one gateway of three is broken and replaced",
        {START: {}, 58: ONE, LONG - 1: ONE},
        replaced(8, "envoy_stuck", well=1, workload="gw", **GATEWAY),
        well(2, workload="gw", **GATEWAY),
    ),
    case(
        "the only gateway is broken and replaced",
        {START: {}, 16: {EDGE: 1}, LONG - 1: {EDGE: 1}},
        replaced(2, "envoy_stuck", workload="gw", **GATEWAY),
    ),
    case(
        "the ztunnel of a node is replaced every three minutes",
        {START: {}, 28: {ALL: 1}, LONG - 1: {ALL: 1}},
        replaced(
            2,
            "ztunnel_stuck",
            role="ztunnel",
            namespace="istio-system",
            workload="ztunnel",
            node="n1",
        ),
        life(
            "zt-{2..9}", (LONG, "ok"), role="ztunnel", namespace="istio-system", workload="ztunnel"
        ),
    ),
    case(
        "both pods of a workload are replaced every three minutes",
        {START: {}, 28: {ALL: 1}, LONG - 1: {ALL: 1}},
        replaced(2, "proxy_not_running", **WEB),
        {k.replace("new-", "more-"): v for k, v in replaced(2, "proxy_not_running", **WEB).items()},
    ),
    case(
        "each run of a job is broken for three minutes of ten",
        {START: {}, 199: ONE},
        replaced(3, "istiod_unreachable", well=6, minutes=HOURS, workload="job"),
        minutes=HOURS,
    ),
    case(
        "a run of a CronJob is broken for a minute once, those of every other hour are well",
        {HOURS - 1: {}},
        replaced(1, "istiod_unreachable", well=2, gone=116, minutes=HOURS, workload="job"),
        minutes=HOURS,
    ),
    case(
        "one of ten pods after the other is broken for eight minutes of 38: in the third hour",
        {120: {}, 199: ONE},
        by_turns(10, 8, "envoy_stuck", up=30, minutes=HOURS, **WEB),
        minutes=HOURS,
    ),
    case(
        "a workload of thirty, of which one is broken for two minutes each hour",
        {HOURS - 1: {}},
        by_turns(30, 2, "envoy_stuck", up=58, minutes=HOURS, **WEB),
        minutes=HOURS,
    ),
    case(
        "in each of six workloads one pod after the other is broken: one alert",
        {START: {}, 48: ONE, LONG - 1: ONE},
        *(by_turns(3, 8, "envoy_stuck", namespace=f"ns-{n}", workload="web") for n in range(6)),
        *(well(9, namespace=f"ns-{n}", workload="web") for n in range(6)),
    ),
    case(
        "a node is lost again and again, with a pod of each of many workloads: one alert",
        {START: {}, 16: {ALL: 1}, HOURS - 1: {ALL: 1}},
        *(
            merged(
                by_turns(1, 8, "unreachable", up=12, minutes=HOURS, node="lost", **shop),
                life("ok-1", (HOURS, "ok"), node="node-2", **shop),
                life("ok-2", (HOURS, "ok"), node="node-3", **shop),
            )
            for shop in ({"namespace": f"ns-{n}", "workload": "web"} for n in range(8))
        ),
        minutes=HOURS,
    ),
    case(
        "both istiods are out by turns for four minutes each",
        {START: {}, 15: {NOT_READY: 1}, 30: {NOT_READY: 1}, LONG - 1: {NOT_READY: 1}},
        by_turns(2, 4, "istiod_not_ready", **ISTIOD),
    ),
    case(
        "three istiods are out by turns for two minutes each",
        {START: {}, 15: {NOT_READY: 1}, 30: {NOT_READY: 1}, LONG - 1: {NOT_READY: 1}},
        by_turns(3, 2, "istiod_not_ready", **ISTIOD),
    ),
    case(
        "the webhooks of both istiods are out by turns",
        {START: {}, 15: {"IstioWebhookDown": 1}, LONG - 1: {"IstioWebhookDown": 1}},
        by_turns(2, 3, "webhook_not_serving", **ISTIOD),
    ),
    case(
        "an agent of istio-cni is replaced every three minutes and never ready",
        {START: {}, 65: ONE, LONG - 1: ONE},
        replaced(2, "cni_not_ready", **CNI),
        well(4, **CNI),
    ),
    case(
        "pods in ambient are replaced every three minutes, and each is outside the mesh: an alert"
        " each, and one for all from the fifth on",
        {START: {}, 20: {BYPASSED: 3}, 45: {BYPASSED: 1}, LONG - 1: {BYPASSED: 1}},
        replaced(2, "outside_mesh", role="ambient", **WEB),
        well(4, role="ambient", **WEB),
    ),
    case(
        "each of ten pods in ambient is cut off in turn, for a minute",
        {START: {}, 58: ONE, LONG - 1: ONE},
        by_turns(10, 1, "not_served", role="ambient", **WEB),
    ),
    case(
        "redirection is missing on six pods in turn",
        {START: {}, 45: {ALL: 1}, LONG - 1: {ALL: 1}},
        by_turns(6, 4, "redirection_missing", **WEB),
    ),
    case(
        "each pod of a job is born without redirection, and lives for four minutes",
        {START: {}, 45: {ALL: 1}, LONG - 1: {ALL: 1}},
        replaced(3, "redirection_missing", workload="job"),
    ),
    case(
        "a workload is rolled, and each new pod takes a while",
        {LONG - 1: {}},
        replaced(1, "starting", well=70, **WEB),
        well(4, **WEB),
    ),
)
"""More of the kind, which `make test-slow` tries."""
