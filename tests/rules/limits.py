"""Cases at the limits from which failing proxies are an outage of the mesh (`rules.mesh`)."""

from collections.abc import Iterator

from tests.rules.churn import merged
from tests.rules.lives import life
from tests.rules.promtool import Case, Series

ALL = "IstioProxiesFailing"
BREAK, LAST = 4, 13
"""Until then no proxy has an alert of its own."""
WORKLOADS = 20
LARGE = 1000
"""Of two replicas promtool would load more samples than it may."""


def spread(proxies: int, broken: int) -> Series:
    """So many broken proxies, some of each workload, which has a namespace and a node."""

    def lives() -> Iterator[Series]:
        for n in range(WORKLOADS):
            place = {"namespace": f"ns-{n}", "node": f"node-{n}", "workload": f"web-{n}"}
            each = proxies // WORKLOADS
            found = broken * (n + 1) // WORKLOADS - broken * n // WORKLOADS
            out = (BREAK, "ok"), (LAST + 1 - BREAK, "envoy_stuck")
            yield life(f"web-{n}-{{1..{found}}}", *out, **place)
            yield life(f"web-{n}-{{{found + 1}..{each}}}", (LAST + 1, "ok"), **place)

    return merged(*lives())


def limit(proxies: int, broken: int, *, is_reached: bool) -> Case:
    """Critical from the limit on, and nothing below it."""
    fires = {ALL: 1} if is_reached else {}
    return Case(
        ALL,
        "trap",
        f"{broken} of {proxies} proxies all over the mesh",
        spread(proxies, broken),
        {BREAK: {}, BREAK + 4: fires, LAST: fires},
        replicas=(1, 2) if proxies < LARGE else (1,),
    )


CASES = (
    limit(100, 24, is_reached=False),
    limit(100, 25, is_reached=True),
)
VARIANTS = (
    limit(100, 26, is_reached=True),
    limit(1000, 99, is_reached=False),
    limit(1000, 100, is_reached=True),
    limit(1000, 101, is_reached=True),
)
"""More of the kind, which `make test-slow` tries."""
