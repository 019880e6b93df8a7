"""Cases of what fails again and again, so that no `for` of a fault in a row is ever reached."""

from tests.rules.promtool import JOB, Case, ExpectedAlert
from tests.rules.series import (
    coming_and_going,
    counters,
    diagnosis,
    info,
    istiod,
    istiod_ready,
    of,
)

HOURS = 120
UP = f'up{{job="{JOB}",instance="10.0.0.0:10520"}}'


def again(
    down: int, up: int, pod: str = "web-1", cause: str = "proxy_not_running"
) -> dict[str, str]:
    """A sidecar that fails again and again for two hours."""
    return coming_and_going(pod, cause, down=down, up=up, minutes=HOURS)


def flaps(name: str, down: int, up: int, by: int) -> Case:
    """One proxy: one warning by that minute."""
    return Case(
        "IstioProxyFlapping",
        "fires" if (down, up) == (5, 1) else "trap",
        name,
        {info("web-1"): f"1x{HOURS}", **again(down, up)},
        {by: {"IstioProxyFlapping": 1}, HOURS: {"IstioProxyFlapping": 1}},
        ExpectedAlert(
            by,
            {"namespace": "shop", "pod": "web-1", "role": "sidecar"},
            "The sidecar shop/web-1 has a fault that comes and goes: proxy_not_running. Look at the"
            " container: kubectl describe pod, its last state, restarts and previous log.",
            "docs/diagnosis.md#proxy_not_running",
        ),
        unbroken=(by, HOURS),
    )


def interrupted(values: str, every: int, minutes: int) -> str:
    """A series of one value of which each so many minutes two are missing."""
    return " ".join("stale" if m % every in (0, 1) else values for m in range(minutes))


CASES = (
    flaps("a crash loop: five minutes down, one up", 5, 1, 20),
    flaps("every three minutes", 3, 3, 20),
    flaps("a minute of five", 1, 4, 25),
    flaps("two minutes of ten", 2, 8, 70),
    Case(
        "IstioProxyFlapping",
        "quiet",
        "single outages, shorter than an alert waits",
        {
            info("web-{1..3}"): f"1x{HOURS}",
            **coming_and_going("web-1", "envoy_stuck", down=4, up=HOURS, minutes=HOURS),
            **coming_and_going("web-2", "envoy_stuck", down=9, up=HOURS, minutes=HOURS),
            **coming_and_going("web-3", "envoy_stuck", down=5, up=56, minutes=HOURS),
        },
        {HOURS: {}},
    ),
    flaps("eight minutes of twenty: in the third outage", 8, 12, 58),
    Case(
        "IstioProxyFlapping",
        "quiet",
        "two outages of eight minutes within 40",
        {
            info("web-1"): f"1x{HOURS}",
            diagnosis("web-1", "envoy_stuck"): "_x9 1x7 stale _x22 1x7 stale",
            **counters("web-1", [10 <= m < 18 or 42 <= m < 50 for m in range(HOURS + 1)]),
        },
        {60: {}, 80: {}, HOURS: {}},
    ),
    Case(
        "IstioProxyFlapping",
        "trap",
        "an outage of minutes every 50 minutes: in the third hour",
        {
            info("web-1"): "1x300",
            **coming_and_going("web-1", "proxy_not_running", down=6, up=44, minutes=300),
        },
        {150: {}, 200: {"IstioProxyFlapping": 1}, 300: {"IstioProxyFlapping": 1}},
        unbroken=(200, 300),
    ),
    Case(
        "IstioProxyFlapping",
        "trap",
        "a long outage is none that comes and goes",
        {
            info("web-1"): f"1x{HOURS}",
            **coming_and_going("web-1", "envoy_stuck", down=40, up=HOURS, minutes=HOURS),
        },
        {40: {"IstioProxyFault": 1}, 100: {}},
    ),
    Case(
        "IstioProxyFlapping",
        "trap",
        "all pods of a workload: one critical, and not before it was ready for a while",
        {
            info("web-{1..3}", workload="web"): f"1x{HOURS}",
            info("far-{1..30}", workload="far", namespace="far"): f"1x{HOURS}",
            **again(5, 1, "web-{1..3}"),
        },
        {25: {"IstioProxiesFailing": 1}, HOURS: {"IstioProxiesFailing": 1}},
        unbroken=(25, HOURS),
    ),
    Case(
        "IstioControlPlaneNotReady",
        "trap",
        "one istiod of three in a crash loop",
        {
            info("web-{1..9}"): f"1x{HOURS}",
            istiod("istiod-{1..3}"): f"1x{HOURS}",
            istiod_ready("istiod-{1..2}"): f"1x{HOURS}",
            istiod_ready("istiod-3"): "0x4 1 " * (HOURS // 6),
            **coming_and_going(
                "istiod-3",
                "istiod_not_ready",
                "istiod",
                "istio-system",
                down=5,
                up=1,
                minutes=HOURS,
            ),
        },
        {25: {"IstioControlPlaneNotReady": 1}, HOURS: {"IstioControlPlaneNotReady": 1}},
        unbroken=(25, HOURS),
    ),
    Case(
        "IstioRevisionWithoutControlPlane",
        "trap",
        "a single istiod is ready for two minutes and not for two",
        {
            info("web-{1..9}"): f"1x{HOURS}",
            istiod("istiod-1"): f"1x{HOURS}",
            istiod_ready("istiod-1"): "1x1 0x1 " * (HOURS // 4),
            **coming_and_going(
                "istiod-1",
                "istiod_not_ready",
                "istiod",
                "istio-system",
                down=2,
                up=2,
                minutes=HOURS,
            ),
        },
        {
            25: {"IstioRevisionWithoutControlPlane": 1},
            HOURS: {"IstioRevisionWithoutControlPlane": 1},
        },
        unbroken=(25, HOURS),
    ),
    Case(
        "IstioProxyFault",
        "trap",
        "the exporter is killed every seven minutes",
        {
            "istio_port_exporter_build_info": interrupted("1", 7, HOURS),
            UP: interrupted("1", 7, HOURS).replace("stale", "0"),
            "istio_port_exporter_polls_total": " ".join(
                "stale" if m % 7 in (0, 1) else str(20 * (m % 7)) for m in range(HOURS)
            ),
            info("web-1"): interrupted("1", 7, HOURS),
            diagnosis("web-1", "envoy_stuck"): interrupted("1", 7, HOURS),
            of("istio_target_polls_total", "web-1"): " ".join(
                "stale" if m % 7 in (0, 1) else str(2 * (m % 7 - 2)) for m in range(HOURS)
            ),
            of("istio_target_faulty_polls_total", "web-1"): " ".join(
                "stale" if m % 7 in (0, 1) else str(2 * (m % 7 - 2)) for m in range(HOURS)
            ),
        },
        {
            15: {"IstioProxyFault": 1},
            60: {"IstioProxyFault": 1, "IstioPortExporterDown": 1},
        },
        watched=False,
        replicas=(1,),
    ),
    Case(
        "IstioPortExporterDown",
        "trap",
        "every second scrape fails: it is said, and a proxy's fault all the same",
        {
            "istio_port_exporter_build_info": "1 stale " * 60,
            UP: "1 0 " * 60,
            info("web-1"): "1 stale " * 60,
            diagnosis("web-1", "envoy_stuck"): "1 stale " * 60,
            of("istio_target_polls_total", "web-1"): " ".join(
                str(2 * m) if m % 2 == 0 else "stale" for m in range(HOURS)
            ),
            of("istio_target_faulty_polls_total", "web-1"): " ".join(
                str(2 * m) if m % 2 == 0 else "stale" for m in range(HOURS)
            ),
        },
        {
            30: {"IstioPortExporterDown": 1, "IstioProxyFault": 1},
            110: {"IstioPortExporterDown": 1, "IstioProxyFault": 1},
        },
        watched=False,
        replicas=(1,),
    ),
    Case(
        "IstioProxyFault",
        "trap",
        "what ended while the exporter was there is not held by its next restart",
        {
            "istio_port_exporter_build_info": "1x10 stale stale 1x60",
            info("web-1"): "1x10 stale stale 1x60",
            diagnosis("web-1", "envoy_stuck"): "1x7 stale",
            **counters("web-1", [True] * 8 + [False] * 60),
        },
        {60: {}},
        watched=False,
    ),
)
