"""Cases of things that come, go and take turns: what hides an outage, or looks like one."""

from collections.abc import Mapping

from tests.rules.exporters import LONG, OTHER, killed, replica_of
from tests.rules.lives import Span, again, exporter, life
from tests.rules.promtool import Case, Series
from tests.rules.series import of

TEN = (10, "ok")
ALL = {"IstioProxiesFailing": 1}
DOWN = {"IstioPortExporterDown": 1}
HERE = "10.0.0.0:10520"


def trap(name: str, at: Mapping[int, Mapping[str, int]], *lives: Series, alert: str = "") -> Case:
    """A case beside sixty healthy proxies; of the first alert that it expects."""
    healthy = life("far-{1..60}", (LONG, "ok"), namespace="far", workload="far")
    first = alert or next(iter(at[max(at)]), "IstioProxyFault")
    return Case(first, "trap", name, merged(healthy, *lives), at)


def merged(*lives: Series) -> Series:
    """All of these series."""
    return {selector: values for series in lives for selector, values in series.items()}


def nodes(*spans: Span, count: int = 5) -> Series:
    """Nine proxies on each of some nodes, as a replica polls them."""
    polled = of("istio_target_last_poll_timestamp_seconds", "w{0..4}-{1..9}", cadence="fast")
    found = (
        life(f"w{n}-{{1..9}}", *spans, workload=f"w{n}", node=f"node-{n}") for n in range(count)
    )
    return merged({polled: f"1x{LONG}"}, *found)


def two_replicas(name: str, at: Mapping[int, Mapping[str, int]], one: Series, two: Series) -> Case:
    """What each of two replicas sees."""
    series = merged(
        exporter(LONG),
        exporter(LONG, instance=OTHER),
        replica_of(HERE, one),
        replica_of(OTHER, two),
    )
    first = next(iter(at[max(at)]), "IstioProxyFault")
    return Case(first, "trap", name, series, at, watched=False, replicas=(1,))


def rollout(minutes: int) -> Series:
    """Ten pods are replaced one by one; each new one takes so many minutes to start."""
    return merged(
        *(
            merged(
                life(
                    f"old-{n}",
                    (10 + minutes * n, "ok"),
                    (1, "draining"),
                    (LONG - 11 - minutes * n, "gone"),
                    workload="web",
                ),
                life(
                    f"new-{n}",
                    (10 + minutes * (n - 1), "gone"),
                    (minutes, "starting"),
                    (LONG - 10 - minutes * n, "ok"),
                    workload="web",
                ),
            )
            for n in range(10)
        )
    )


VARIANTS = (
    trap(
        "one of two pods in a crash loop: a warning",
        {10: {}, 30: {"IstioProxyFlapping": 1}, 85: {"IstioProxyFlapping": 1}},
        life("web-1", TEN, *again(78, (5, "crash_looping"), (1, "starting")), workload="web"),
        life("web-2", (LONG, "ok"), workload="web"),
    ),
    trap(
        "a crash loop is mended: its alert ends within half an hour",
        {30: {"IstioProxyFlapping": 1}, 62: {}, LONG - 1: {}},
        life("web-1", TEN, *again(24, (5, "crash_looping"), (1, "starting")), (56, "ok")),
        alert="IstioProxyFlapping",
    ),
    trap(
        "both pods of a workload in crash loops, not at once",
        {10: {}, 30: ALL, 85: ALL},
        life("web-1", TEN, *again(78, (5, "crash_looping"), (1, "starting")), workload="web"),
        life(
            "web-2", (13, "ok"), *again(72, (5, "crash_looping"), (1, "starting")), workload="web"
        ),
    ),
    trap(
        "two blips of two minutes",
        {30: {}, LONG - 1: {}},
        life("web-1", TEN, (2, "envoy_stuck"), (8, "ok"), (2, "envoy_stuck"), (68, "ok")),
        alert="IstioProxyFlapping",
    ),
    trap("a rollout in which each pod takes four minutes", {30: {}, LONG - 1: {}}, rollout(4)),
    trap(
        "a workload goes from none to fifty",
        {12: {}, LONG - 1: {}},
        life("web-{1..50}", (10, "gone"), (3, "starting"), (77, "ok"), workload="web"),
    ),
    trap(
        "five hundred jobs, ten a minute",
        {30: {}, LONG - 1: {}},
        *(
            life(
                f"job-{n}-{{1..10}}",
                (n, "gone"),
                (1, "starting"),
                (2, "ok"),
                (1, "draining"),
                (LONG - 4 - n, "gone"),
                namespace="jobs",
            )
            for n in range(50)
        ),
    ),
    trap(
        "ztunnels are replaced node by node",
        {30: {}, LONG - 1: {}},
        *(
            merged(
                life(
                    f"ztunnel-{n}",
                    (10 + 3 * n, "ok"),
                    (2, "starting"),
                    (78 - 3 * n, "ok"),
                    role="ztunnel",
                    namespace="istio-system",
                    node=f"node-{n}",
                ),
                life(
                    f"api-{n}-{{1..6}}",
                    (10 + 3 * n, "ok"),
                    (1, "ztunnel_stuck"),
                    (79 - 3 * n, "ok"),
                    role="ambient",
                    node=f"node-{n}",
                ),
            )
            for n in range(6)
        ),
    ),
    Case(
        "IstioProxyFault",
        "trap",
        "a crash loop beside an exporter that is killed every seven minutes",
        merged(
            exporter(LONG, *killed(7)),
            life(
                "web-1",
                TEN,
                *again(78, (5, "crash_looping"), (1, "starting")),
                missed=killed(7)[0],
                restarts=killed(7)[1],
            ),
        ),
        {
            10: {},
            40: {"IstioProxyFault": 1, **DOWN},
            85: {"IstioProxyFault": 1, **DOWN},
        },
        watched=False,
        replicas=(1,),
    ),
    two_replicas(
        "a replica is kept out, and the other sees all pods of a workload fail",
        {10: {}, 16: ALL, LONG - 1: ALL},
        merged(
            nodes((LONG, "ok")), life("web-{1..3}", TEN, (80, "network_blocked"), workload="web")
        ),
        merged(nodes((LONG, "ok")), life("web-{1..3}", TEN, (80, "envoy_stuck"), workload="web")),
    ),
    two_replicas(
        "a replica is kept out of what the other sees to be well",
        {10: {}, LONG - 1: {}},
        merged(
            nodes((LONG, "ok")), life("web-{1..3}", TEN, (80, "network_blocked"), workload="web")
        ),
        merged(nodes((LONG, "ok")), life("web-{1..3}", (LONG, "ok"), workload="web")),
    ),
    two_replicas(
        "the place of one replica is cut off: its alert alone",
        {10: {}, 16: {"IstioPortExporterIsolated": 1}, LONG - 1: {"IstioPortExporterIsolated": 1}},
        nodes(TEN, (80, "unreachable")),
        nodes((LONG, "ok")),
    ),
)
"""Of the kinds that `make test-slow` tries."""
