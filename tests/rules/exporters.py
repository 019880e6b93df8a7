"""Cases of exporters that fail themselves while something is wrong, or while nothing is."""

from collections.abc import Collection

from tests.rules.lives import again, exporter, life
from tests.rules.promtool import JOB, Case, Series
from tests.rules.series import of

LONG = 90
EVERY_SECOND = range(1, LONG, 2)
OTHER = "10.0.1.1:10520"
LAST_POLL = of("istio_target_last_poll_timestamp_seconds", "web-{0..3}-{1..9}", cadence="fast")
LATENESS = "istio_port_exporter_poll_lateness_seconds"

SYNCED = (
    f'istio_port_exporter_discovery_synced{{resource="pods",job="{JOB}",instance="10.0.0.0:10520"}}'
)


def killed(every: int) -> tuple[list[int], list[int]]:
    """Minutes without a scrape and minutes of a new start, of an exporter that is killed."""
    starts = range(every, LONG, every)
    return sorted({m for s in starts for m in (s, s + 1)}), [s + 2 for s in starts]


def mesh(
    missed: Collection[int] = (),
    restarts: Collection[int] = (),
    *,
    broken: str = "web",
    cause: str = "envoy_stuck",
    role: str = "sidecar",
) -> Series:
    """Sixty healthy proxies and two that break in minute 10, through one exporter."""
    return {
        **life(
            "far-{1..60}",
            (LONG, "ok"),
            namespace="far",
            workload="far",
            missed=missed,
            restarts=restarts,
        ),
        **life(
            "istiod-{1..2}",
            (LONG, "ok"),
            role="istiod",
            namespace="istio-system",
            missed=missed,
            restarts=restarts,
        ),
        **life(
            f"{broken}-{{1..2}}",
            (10, "ok"),
            (LONG - 10, cause),
            role=role,
            workload=broken,
            missed=missed,
            restarts=restarts,
        ),
    }


def replica_of(instance: str, series: Series) -> Series:
    """Series as one replica alone exposes them."""
    labels = f'{{job="{JOB}",instance="{instance}",'
    return {s if "instance=" in s else s.replace("{", labels, 1): v for s, v in series.items()}


def case(
    name: str, series: Series, at: dict[int, dict[str, int]], alert: str = "IstioProxiesFailing"
) -> Case:
    """A case that says itself which exporters there are."""
    return Case(alert, "trap", name, series, at, watched=False, replicas=(1,))


def killed_with(every: int) -> Case:
    """All pods of a workload fail, and the exporter is killed all the time."""
    missed, restarts = killed(every)
    return case(
        f"all pods of a workload, and an exporter that is killed every {every} minutes",
        {**exporter(LONG, missed, restarts), **mesh(missed, restarts)},
        {
            10: {},
            16: {"IstioProxiesFailing": 1},
            LONG - 1: {"IstioProxiesFailing": 1, "IstioPortExporterDown": 1},
        },
    )


def replaced(
    lives: int,
    away: int = 1,
    *,
    beside: int = 0,
    since: int = 0,
    until: int = LONG,
    netns: str = "",
) -> Series:
    """An exporter whose pod is replaced every so many minutes, some after it or some beside it.

    netns: the value of that capability.
    """
    series: Series = {}
    for begin in range(since, until, lives + away):
        alive = range(begin, LONG if begin + lives >= until else begin + lives + beside)
        away_at = [m for m in range(LONG) if m not in alive]
        of_pod = exporter(LONG, away_at, [begin], instance=f"10.0.2.{begin}:10520")
        series |= {k: v.replace("0", "_") if k.startswith("up") else v for k, v in of_pod.items()}
        if netns:
            labels = f'{{job="{JOB}",instance="10.0.2.{begin}:10520",capability="netns"}}'
            shown = [netns if m in alive else "stale" for m in range(LONG)]
            series[f"istio_port_exporter_capability{labels}"] = " ".join(shown)
    return series


PF, EDGE = {"IstioProxiesFailing": 1}, {"IstioGatewaysFailing": 1}
DOWN = {"IstioPortExporterDown": 1}
CASES = (
    case(
        "all pods of a workload, and every second scrape fails",
        {**exporter(LONG, EVERY_SECOND), **mesh(EVERY_SECOND)},
        {10: {}, 16: {**PF, **DOWN}, 89: {**PF, **DOWN}},
    ),
    case(
        "ten of fifty exporters of a DaemonSet restart all the time: one alert",
        {
            k: v
            for n in range(50)
            for k, v in exporter(
                LONG, *(killed(6) if n < 10 else ((), ())), instance=f"10.0.2.{n}:10520"
            ).items()
        },
        {10: {}, 89: DOWN},
        "IstioPortExporterDown",
    ),
    case(
        "the exporter is cut off and reaches everything again: only its own alert",
        {
            **exporter(LONG),
            **{
                k: v
                for n in range(4)
                for k, v in life(
                    f"web-{n}-{{1..9}}",
                    (10, "ok"),
                    (20, "unreachable"),
                    (60, "ok"),
                    node=f"node-{n}",
                    workload=f"web-{n}",
                ).items()
            },
            LAST_POLL: "1x90",
        },
        {
            10: {},
            15: {"IstioPortExporterIsolated": 1},
            30: {"IstioPortExporterIsolated": 1},
            60: {},
            89: {},
        },
        "IstioPortExporterIsolated",
    ),
    case(
        "an exporter that is evicted every five minutes, each time another pod",
        replaced(4),
        {20: {}, 40: DOWN, 89: DOWN},
        "IstioPortExporterDown",
    ),
    case(
        "exporters of a DaemonSet whose nodes live for a quarter of an hour each",
        {k: v for begin in (0, 5, 10) for k, v in replaced(15, 0, since=begin, netns="1").items()},
        {20: {}, LONG - 1: {}},
        "IstioPortExporterDown",
    ),
    case(
        "an exporter that keeps up for three minutes of ten",
        {
            **exporter(LONG),
            'istio_port_exporter_targets{role="sidecar"}': f"36x{LONG}",
            LAST_POLL: "1x9 " + "stale _x6 1x2 " * 8,
        },
        {10: {}, 40: {"IstioPortExporterStale": 1}, 89: {"IstioPortExporterStale": 1}},
        "IstioPortExporterStale",
    ),
    case(
        "an exporter whose polls start late, of which every target has samples",
        {
            **exporter(LONG),
            'istio_port_exporter_targets{role="sidecar"}': f"36x{LONG}",
            LAST_POLL: f"1x{LONG}",
            f"{LATENESS}_count": f"0+20x{LONG}",
            f'{LATENESS}_bucket{{le="15.0"}}': "0+20x29 606+6x60",
        },
        {30: {}, 48: {"IstioPortExporterStale": 1}, 89: {"IstioPortExporterStale": 1}},
        "IstioPortExporterStale",
    ),
    case(
        "three rollouts of the exporter within an hour, each pod for a while beside the next",
        replaced(15, 0, beside=1, until=60),
        {30: {}, 89: {}},
        "IstioPortExporterDown",
    ),
)

VARIANTS = (
    killed_with(5),
    killed_with(7),
    killed_with(10),
    case(
        "both gateways, and two scrapes of three fail",
        {
            **exporter(LONG, [m for m in range(LONG) if m % 3]),
            **mesh([m for m in range(LONG) if m % 3], broken="gw", role="gateway"),
        },
        {10: {}, 18: {**EDGE, **DOWN}, 89: {**EDGE, **DOWN}},
        "IstioGatewaysFailing",
    ),
    case(
        "a healthy mesh, and every second scrape fails",
        {**exporter(LONG, EVERY_SECOND), **mesh(EVERY_SECOND, cause="ok")},
        {10: {}, 60: DOWN, 89: DOWN},
        "IstioPortExporterDown",
    ),
    case(
        "a healthy mesh, and an exporter that is killed every six minutes",
        {**exporter(LONG, *killed(6)), **mesh(*killed(6), cause="ok")},
        {10: {}, 89: DOWN},
        "IstioPortExporterDown",
    ),
    case(
        "one replica of two is killed every six minutes: the mesh is healthy",
        {
            **exporter(LONG, *killed(6)),
            **exporter(LONG, instance=OTHER),
            **replica_of("10.0.0.0:10520", mesh(*killed(6), cause="ok")),
            **replica_of(OTHER, mesh(cause="ok")),
        },
        {10: {}, 89: DOWN},
        "IstioPortExporterDown",
    ),
    case(
        "one replica of two is killed every six minutes, and all pods of a workload fail",
        {
            **exporter(LONG, *killed(6)),
            **exporter(LONG, instance=OTHER),
            **replica_of("10.0.0.0:10520", mesh(*killed(6))),
            **replica_of(OTHER, mesh()),
        },
        {10: {}, 14: PF, 89: {**PF, **DOWN}},
    ),
    case(
        "both istiods die while every second scrape fails",
        {
            **exporter(LONG, EVERY_SECOND),
            **life(
                "far-{1..60}", (LONG, "ok"), namespace="far", workload="far", missed=EVERY_SECOND
            ),
            **life(
                "istiod-{1..2}",
                (10, "ok"),
                (80, "istiod_not_ready"),
                role="istiod",
                namespace="istio-system",
                missed=EVERY_SECOND,
            ),
        },
        {
            10: {},
            15: {"IstioRevisionWithoutControlPlane": 1, **DOWN},
            89: {"IstioRevisionWithoutControlPlane": 1, **DOWN},
        },
        "IstioRevisionWithoutControlPlane",
    ),
    case(
        "both istiods die while the exporter is killed every seven minutes",
        {
            **exporter(LONG, *killed(7)),
            **life(
                "far-{1..60}",
                (LONG, "ok"),
                namespace="far",
                workload="far",
                missed=killed(7)[0],
                restarts=killed(7)[1],
            ),
            **life(
                "istiod-{1..2}",
                (10, "ok"),
                (80, "istiod_not_ready"),
                role="istiod",
                namespace="istio-system",
                missed=killed(7)[0],
                restarts=killed(7)[1],
            ),
        },
        {
            10: {},
            15: {"IstioRevisionWithoutControlPlane": 1},
            89: {"IstioRevisionWithoutControlPlane": 1, **DOWN},
        },
        "IstioRevisionWithoutControlPlane",
    ),
    case(
        "istiod goes while the exporter reads its list again",
        {
            **exporter(LONG),
            SYNCED: "1x10 0 1x79",
            **life("far-{1..60}", (LONG, "ok"), namespace="far", workload="far"),
            **life(
                "istiod-{1..2}", (10, "ok"), (80, "gone"), role="istiod", namespace="istio-system"
            ),
        },
        {
            10: {},
            14: {"IstioRevisionWithoutControlPlane": 1},
            89: {"IstioRevisionWithoutControlPlane": 1},
        },
        "IstioRevisionWithoutControlPlane",
    ),
    case(
        "a reload ends the discovery in Kubernetes: istiods that are not polled are not gone",
        {
            **exporter(LONG),
            SYNCED: "1x20 stale",
            **life("far-{1..60}", (LONG, "ok"), namespace="far", workload="far"),
            **life(
                "istiod-{1..2}", (20, "ok"), (70, "gone"), role="istiod", namespace="istio-system"
            ),
        },
        {22: {}, 30: {}, 89: {"IstioControlPlaneNotWatched": 1}},
        "IstioRevisionWithoutControlPlane",
    ),
    case(
        "a rollout of the exporter while both gateways are out",
        {
            **exporter(LONG, range(30, LONG)),
            f'up{{job="{JOB}",instance="10.0.0.0:10520"}}': "1x29 stale",
            **exporter(LONG, range(33), instance=OTHER),
            f'up{{job="{JOB}",instance="{OTHER}"}}': "_x32 1x60",
            **replica_of("10.0.0.0:10520", mesh(range(30, LONG), broken="gw", role="gateway")),
            **replica_of(OTHER, mesh(range(33), [33], broken="gw", role="gateway")),
        },
        {10: {}, 14: EDGE, 40: EDGE, 89: EDGE},
        "IstioGatewaysFailing",
    ),
    case(
        "a rollout of the exporter in a healthy mesh",
        {
            **exporter(LONG, range(30, LONG)),
            f'up{{job="{JOB}",instance="10.0.0.0:10520"}}': "1x29 stale",
            **exporter(LONG, range(33), instance=OTHER),
            f'up{{job="{JOB}",instance="{OTHER}"}}': "_x32 1x60",
            **replica_of("10.0.0.0:10520", mesh(range(30, LONG), cause="ok")),
            **replica_of(OTHER, mesh(range(33), [33], cause="ok")),
        },
        {40: {}, 89: {}},
        "IstioPortExporterDown",
    ),
    case(
        "Prometheus itself was away for ten minutes",
        {
            **exporter(LONG, range(30, 40)),
            f'up{{job="{JOB}",instance="10.0.0.0:10520"}}': "1x29 _x10 1x50",
            **mesh(range(30, 40)),
        },
        {10: {}, 14: PF, 45: PF, 89: PF},
    ),
    case(
        "the exporter is cut off again and again",
        {
            **exporter(LONG),
            **{
                k: v
                for n in range(4)
                for k, v in life(
                    f"web-{n}-{{1..9}}",
                    (10, "ok"),
                    *again(80, (3, "unreachable"), (2, "ok")),
                    node=f"node-{n}",
                    workload=f"web-{n}",
                ).items()
            },
            LAST_POLL: "1x90",
        },
        {10: {}, 20: {"IstioPortExporterIsolated": 1}, 89: {"IstioPortExporterIsolated": 1}},
        "IstioPortExporterIsolated",
    ),
)
"""More of the kind, which `make test-slow` tries."""
