"""Cases of security causes that come and go, or that short-lived pods have one after the other."""

from collections.abc import Mapping

from tests.rules.ambient import told
from tests.rules.churn import merged
from tests.rules.lives import life
from tests.rules.promtool import Case, ExpectedAlert, Series
from tests.rules.turns import replaced

LONG = 120
START = 10
FAR = life("far-{1..20}", (LONG, "ok"), namespace="far", workload="far")
WEB = {"workload": "web"}
AMBIENT = {"role": "ambient", **WEB}
ALL, UNMESHED = "IstioProxiesFailing", "IstioAmbientBypassed"
EXPOSED, BYPASSED = "IstioProxyAdminExposed", "IstioProxyRedirectionMissing"


def trap(
    name: str, alert: str, by: int, *lives: Series, more: Mapping[int, Mapping[str, int]] = {}
) -> Case:
    """One alert by that minute and none before the outage; `more` replaces what is expected."""
    expected = {START: {}, by: {alert: 1}, LONG - 1: {alert: 1}, **more}
    return Case(alert, "trap", name, merged(FAR, *lives), expected)


def quiet(name: str, alert: str, *lives: Series) -> Case:
    """What must not alert, for what this alert is about."""
    return Case(alert, "trap", name, merged(FAR, *lives), {40: {}, LONG - 1: {}})


def rolled(count: int, cause: str, minutes: int, **labels: str) -> Series:
    """Pods that are replaced one a minute; each new one has this cause for a while."""
    return merged(
        *(
            life(
                f"web-{n}",
                (START + n, "gone"),
                (1, "starting"),
                (minutes, cause),
                (LONG - START - n - minutes - 1, "ok"),
                **labels,
            )
            for n in range(count)
        )
    )


CASES = (
    Case(
        UNMESHED,
        "fires",
        "five pods outside the mesh at once: one alert",
        merged(FAR, life("web-{1..5}", (START, "ok"), (20, "outside_mesh"), **AMBIENT)),
        {START: {}, START + 3: {UNMESHED: 1}, START + 19: {UNMESHED: 1}},
        ExpectedAlert(
            START + 3,
            {},
            "Five pods or more, at once or within an hour, should be in the mesh and are not behind"
            " their ztunnels: strangers may reach their applications, also where the mesh is"
            " STRICT. The exporter's page lists them. A cause:"
            f" {told('outside_mesh')}",
            "docs/diagnosis.md#outside_mesh",
        ),
    ),
)

VARIANTS = (
    trap(
        "four pods outside the mesh at once: an alert each",
        UNMESHED,
        START + 3,
        life("web-{1..4}", (START, "ok"), (LONG - START, "outside_mesh"), **AMBIENT),
        more={START + 3: {UNMESHED: 4}, LONG - 1: {UNMESHED: 4}},
    ),
    trap(
        "pods leave the mesh every ten minutes: an alert each, and one for all from the fifth on",
        UNMESHED,
        75,
        *(
            life(f"web-{n}", (10 * n, "ok"), (LONG - 10 * n, "outside_mesh"), **AMBIENT)
            for n in range(1, 10)
        ),
        more={45: {UNMESHED: 4}},
    ),
    trap(
        "runs of a job without redirection, eight minutes each: one alert from the fifth on",
        ALL,
        75,
        replaced(8, "redirection_missing", minutes=LONG, workload="job"),
        more={20: {BYPASSED: 1}, 40: {BYPASSED: 2}},
    ),
    quiet(
        "ten pods are rolled, and redirection of each is missing for a minute",
        BYPASSED,
        rolled(10, "redirection_missing", 1, **WEB),
    ),
    quiet(
        "ten pods in ambient are rolled, and each is enrolled after a minute",
        UNMESHED,
        rolled(10, "not_enrolled", 1, **AMBIENT),
    ),
)
"""More of the kind, which `make test-slow` tries."""
