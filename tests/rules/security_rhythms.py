"""Cases of causes that come and go: of security, also one short-lived pod after the other, and of
proxies that are broken most of the time."""

from tests.rules.ambient import told
from tests.rules.churn import merged
from tests.rules.lives import life
from tests.rules.promtool import Case, ExpectedAlert, Series
from tests.rules.rhythms import FAR, LONG, START, quiet, rhythm, trap
from tests.rules.series import of
from tests.rules.turns import by_turns, replaced

WEB = {"workload": "web"}
AMBIENT = {"role": "ambient", **WEB}
ALL, UNMESHED = "IstioProxiesFailing", "IstioAmbientBypassed"
FAULT, FLAPPING = "IstioProxyFault", "IstioProxyFlapping"
EXPOSED, BYPASSED = "IstioProxyAdminExposed", "IstioProxyRedirectionMissing"


def one(down: int, up: int, cause: str, **labels: str) -> Series:
    """One pod of two in this rhythm."""
    return merged(
        life("web-1", *rhythm(down, up, cause), **labels), life("web-2", (LONG, "ok"), **labels)
    )


def admin_exposed(pods: str, down: int, up: int) -> Series:
    """Pods whose admin port comes and goes from the network."""
    shown = " ".join(
        "1" if m >= START and (m - START) % (down + up) < down else "stale" for m in range(LONG)
    )
    port = of("istio_port_exposed", pods, port="15000", component="envoy")
    return {**life(pods, *rhythm(down, up, "admin_exposed"), **WEB), port: shown}


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
    trap("a pod is broken for nine minutes of ten", FAULT, 31, one(9, 1, "crash_looping", **WEB)),
    quiet(
        "a pod is broken for eight minutes, and again two minutes later",
        FAULT,
        life("web-1", (10, "ok"), (8, "agent_gone"), (2, "ok"), (8, "agent_gone"), (92, "ok")),
    ),
    trap("an admin port is exposed every three minutes", EXPOSED, 22, admin_exposed("web-1", 3, 3)),
    trap(
        "redirection is missing every three minutes",
        BYPASSED,
        22,
        one(3, 3, "redirection_missing", **WEB),
    ),
)

VARIANTS = (
    *(
        trap(
            f"a pod is broken for {down} minutes of {down + up}",
            alert,
            by,
            one(down, up, "agent_gone", **WEB),
        )
        for down, up, alert, by in (
            (8, 2, FAULT, 32),
            (7, 3, FLAPPING, 60),
            (6, 4, FLAPPING, 36),
            (15, 5, FAULT, 22),
            (10, 10, FLAPPING, 59),
        )
    ),
    quiet(
        "a pod is broken for eight minutes, and again six minutes later",
        FAULT,
        life("web-1", (10, "ok"), (8, "agent_gone"), (6, "ok"), (8, "agent_gone"), (88, "ok")),
    ),
    trap(
        "a pod is outside the mesh every other minute",
        UNMESHED,
        22,
        one(1, 1, "outside_mesh", **AMBIENT),
    ),
    trap(
        "five pods are outside the mesh every other minute",
        UNMESHED,
        22,
        life("web-{1..5}", *rhythm(1, 1, "outside_mesh"), **AMBIENT),
    ),
    trap(
        "an admin port is exposed for eight minutes of twenty",
        EXPOSED,
        16,
        admin_exposed("web-1", 8, 12),
    ),
    trap(
        "redirection is missing for four minutes of twenty",
        BYPASSED,
        57,
        one(4, 16, "redirection_missing", **WEB),
    ),
    trap(
        "admin ports of six pods are exposed every three minutes",
        ALL,
        22,
        admin_exposed("web-{1..6}", 3, 3),
    ),
    trap(
        "redirection is missing on six pods in turn, for six minutes each",
        ALL,
        60,
        by_turns(6, 6, "redirection_missing", minutes=LONG, **WEB),
        more={18: {BYPASSED: 1}},
    ),
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
