"""Cases of the alerts about istiod, its webhooks and versions."""

from tests.rules.promtool import Case, ExpectedAlert, Series
from tests.rules.series import diagnosis, info, istiod, istiod_ready, of, ready

PUSH_ERRORS = of("istio_control_plane_push_errors_total", "istiod-1", "istiod", "istio-system")
PROXIES = {info("web-{0..9}"): "1x90"}
HEALTHY = {istiod("istiod-{1..2}"): "1x90", istiod_ready("istiod-{1..2}"): "1x90"}


def replica(pod: str, family: str, **labels: str) -> str:
    """A series of an istiod replica."""
    return of(family, pod, "istiod", "istio-system", **labels)


def seeming(ready_values: str) -> Series:
    """A pod of a tenant's that looks like an istiod."""
    pod = ("seeming", "istiod", "tenant")
    return {
        info(*pod, version="1.31.0"): "1x90",
        of("istio_control_plane_info", *pod, revision="default", version="1.31.0"): "1x90",
        of("istio_control_plane_trusted", *pod, revision="default"): "0x90",
        ready("seeming", "istiod", "istiod", "tenant"): ready_values,
    }


TRUSTED = replica("istiod-{1..2}", "istio_control_plane_trusted", revision="default")

CASES = (
    Case(
        "IstioRevisionWithoutControlPlane",
        "fires",
        "no replica is ready",
        {
            **PROXIES,
            istiod("istiod-{1..2}"): "1x90",
            istiod_ready("istiod-{1..2}"): "1x5 0x85",
            diagnosis("istiod-{1..2}", "istiod_not_ready", "istiod", "istio-system"): "_x6 1x84",
        },
        {
            5: {},
            8: {"IstioRevisionWithoutControlPlane": 1},
            10: {"IstioRevisionWithoutControlPlane": 1},
        },
        ExpectedAlert(
            10,
            {"revision": "default"},
            "No istiod of revision default is ready and stays so, and 10 proxies depend on it: they"
            " keep their configuration, but pods that start get none, and certificates are not"
            " renewed. Look at istiod's pods, events and log. The alerts of its proxies wait for"
            " this one.",
        ),
    ),
    Case(
        "IstioRevisionWithoutControlPlane",
        "quiet",
        "one replica of two is ready; a revision without proxies has none",
        {
            **PROXIES,
            istiod("istiod-{1..2}"): "1x30",
            istiod_ready("istiod-1"): "1x30",
            istiod("old-1", revision="old"): "1x5 stale",
        },
        {30: {}},
    ),
    Case(
        "IstioRevisionWithoutControlPlane",
        "trap",
        "istiod is gone: one, not one for each proxy and replica",
        {
            **PROXIES,
            istiod("istiod-{1..2}"): "1x5 stale",
            istiod_ready("istiod-{1..2}"): "1x5 stale",
            of("istio_proxy_xds_connected", "web-{0..9}"): "1x7 0x83",
            diagnosis("web-{0..9}", "xds_disconnected"): "_x8 1x82",
        },
        {
            15: {"IstioRevisionWithoutControlPlane": 1},
            90: {"IstioRevisionWithoutControlPlane": 1},
        },
        unbroken=(10, 90),
    ),
    Case(
        "IstioRevisionWithoutControlPlane",
        "trap",
        "istiod is gone, and a pod of a tenant's is a ready istiod by its own account",
        {
            **PROXIES,
            **seeming("1x90"),
            istiod("istiod-{1..2}"): "1x5 stale",
            TRUSTED: "1x5 stale",
            istiod_ready("istiod-{1..2}"): "1x5 stale",
        },
        {
            15: {"IstioRevisionWithoutControlPlane": 1},
            90: {"IstioRevisionWithoutControlPlane": 1},
        },
        unbroken=(15, 90),
    ),
    Case(
        "IstioRevisionWithoutControlPlane",
        "quiet",
        "an ordinary restart, beside a pod of a tenant's that is an istiod by its own account",
        {
            **PROXIES,
            **seeming("0x90"),
            istiod("istiod-1"): "1x90",
            TRUSTED: "1x90",
            istiod_ready("istiod-1"): "1x20 0 0 1x67",
            diagnosis("istiod-1", "starting", "istiod", "istio-system"): "_x20 1 1 stale",
        },
        {n: {"IstioControlPlaneNotReady": 1} for n in (19, 21, 22, 40, 90)},
    ),
    Case(
        "IstioControlPlaneReplicasDisagree",
        "quiet",
        "a pod of a tenant's reports another version, and is no version of the control plane",
        {
            **PROXIES,
            **seeming("1x90"),
            istiod("istiod-1"): "1x90",
            TRUSTED: "1x90",
            istiod_ready("istiod-1"): "1x90",
            replica(
                "istiod-1", "istio_control_plane_info", revision="default", version="1.28.1"
            ): "1x90",
        },
        {90: {}},
    ),
    Case(
        "IstioRevisionWithoutControlPlane",
        "quiet",
        "one of two istiods is ready, neither of which the API server proves",
        {
            **PROXIES,
            istiod("istiod-{1..2}"): "1x30",
            TRUSTED: "0x30",
            istiod_ready("istiod-1"): "1x30",
        },
        {30: {}},
    ),
    Case(
        "IstioRevisionWithoutControlPlane",
        "trap",
        "a remote cluster's proxies: their istiod was never here",
        {
            **HEALTHY,
            info("web-{0..9}", cluster="remote"): "1x60",
            info("far-{0..9}", revision="elsewhere"): "1x60",
        },
        {60: {}},
    ),
    Case(
        "IstioRevisionWithoutControlPlane",
        "trap",
        "the exporter that watches istiod restarts",
        {
            **PROXIES,
            istiod("istiod-1"): "1x10 stale _x8 1x40",
            istiod_ready("istiod-1"): "1x10 stale _x8 1x40",
            'up{job="istio-port-exporter",instance="other"}': "1x10 0x8 1x40",
            'istio_port_exporter_build_info{job="istio-port-exporter",instance="other"}': (
                "1x10 stale _x8 1x40"
            ),
        },
        {18: {}, 58: {}},
    ),
    Case(
        "IstioControlPlaneNotReady",
        "fires",
        "one replica of two",
        {
            **PROXIES,
            istiod("istiod-{1..2}"): "1x30",
            istiod_ready("istiod-2"): "1x30",
            istiod_ready("istiod-1"): "0x30",
            diagnosis("istiod-1", "istiod_replica_stuck", "istiod", "istio-system"): "1x30",
        },
        {2: {}, 4: {"IstioControlPlaneNotReady": 1}, 30: {"IstioControlPlaneNotReady": 1}},
        ExpectedAlert(
            4,
            {"namespace": "istio-system", "revision": "default"},
            "1 of the istiods in istio-system of revision default: not ready, or not for long,"
            " perhaps by turns; the exporter's page names them. Read the log; if one accepts"
            " connections and answers none, delete the pod. Its proxies have to reconnect.",
        ),
    ),
    Case(
        "IstioControlPlaneNotReady",
        "quiet",
        "replicas that start or end",
        {
            **HEALTHY,
            istiod("istiod-{3..4}"): "1x30",
            istiod_ready("istiod-{3..4}"): "0x30",
            diagnosis("istiod-3", "starting", "istiod", "istio-system"): "1x30",
            diagnosis("istiod-4", "draining", "istiod", "istio-system"): "1x30",
        },
        {30: {}},
    ),
    Case(
        "IstioControlPlaneNotReady",
        "trap",
        "no replica is left: the revision's alert covers it",
        {
            **PROXIES,
            istiod("istiod-{1..2}"): "1x30",
            istiod_ready("istiod-{1..2}"): "1x3 0x27",
            istiod_ready("istiod-{1..2}", "webhook"): "1x3 0x27",
            replica("istiod-{1..2}", "istio_port_up", port="15012", component="istiod"): "1x3 0x27",
            diagnosis("istiod-{1..2}", "istiod_not_ready", "istiod", "istio-system"): "_x4 1x26",
        },
        {30: {"IstioRevisionWithoutControlPlane": 1}},
    ),
    Case(
        "IstioControlPlanePortDown",
        "fires",
        "15010 is down, and all that proxies need is up",
        {
            **HEALTHY,
            replica("istiod-1", "istio_port_up", port="15010", component="istiod"): "0x30",
            diagnosis("istiod-1", "istiod_port_down", "istiod", "istio-system"): "1x30",
        },
        {2: {}, 4: {"IstioControlPlanePortDown": 1}},
        ExpectedAlert(
            4,
            {"namespace": "istio-system", "port": "15010", "component": "istiod"},
            "Port 15010 of 1 istiods in istio-system is proved not to answer while istiod reports"
            " ready; the exporter's page names them. Probe it by hand with the commands of"
            " istio-port-exporter explain 15010, and read istiod's log.",
        ),
    ),
    Case(
        "IstioControlPlanePortDown",
        "quiet",
        "for a moment",
        {
            **HEALTHY,
            replica("istiod-1", "istio_port_up", port="15010", component="istiod"): "0x2 1x30",
        },
        {30: {}},
    ),
    Case(
        "IstioControlPlanePortDown",
        "trap",
        "all ports of a replica that is not ready: one alert",
        {
            **PROXIES,
            istiod("istiod-{1..2}"): "1x30",
            istiod_ready("istiod-2"): "1x30",
            istiod_ready("istiod-1"): "0x30",
            replica("istiod-1", "istio_port_up", port="1501{0..7}", component="istiod"): "0x30",
            diagnosis("istiod-1", "istiod_not_ready", "istiod", "istio-system"): "1x30",
        },
        {10: {"IstioControlPlaneNotReady": 1}, 30: {"IstioControlPlaneNotReady": 1}},
    ),
    Case(
        "IstioWebhookDown",
        "fires",
        "istiod is ready, its webhook is not",
        {
            **HEALTHY,
            istiod_ready("istiod-1", "webhook"): "0x30",
            diagnosis("istiod-1", "webhook_not_serving", "istiod", "istio-system"): "1x30",
        },
        {2: {}, 4: {"IstioWebhookDown": 1}, 30: {"IstioWebhookDown": 1}},
        ExpectedAlert(
            4,
            {"namespace": "istio-system"},
            "15017 of 1 istiods in istio-system does not answer; the exporter's page names them."
            " Creations of pods that reach them fail; with all replicas down no pod is injected,"
            " and the API server refuses Istio's resources. Read istiod's log for its serving"
            " certificate, and let the API server reach 15017.",
        ),
    ),
    Case(
        "IstioWebhookDown",
        "quiet",
        "it comes seconds after istiod is ready",
        {**HEALTHY, istiod_ready("istiod-1", "webhook"): "0x2 1x30"},
        {30: {}},
    ),
    Case(
        "IstioWebhookDown",
        "trap",
        "connections to it are dropped: it is unjudged, and the alert fires all the same",
        {**HEALTHY, diagnosis("istiod-1", "webhook_unreachable", "istiod", "istio-system"): "1x30"},
        {6: {"IstioWebhookDown": 1}, 30: {"IstioWebhookDown": 1}},
    ),
    Case(
        "IstioControlPlaneReplicasDisagree",
        "fires",
        "two versions of one revision for an hour",
        {
            **HEALTHY,
            replica(
                "istiod-1", "istio_control_plane_info", revision="default", version="1.28.0"
            ): "1x90",
            replica(
                "istiod-2", "istio_control_plane_info", revision="default", version="1.28.1"
            ): "1x90",
        },
        {59: {}, 62: {"IstioControlPlaneReplicasDisagree": 1}},
        ExpectedAlert(
            62,
            {"revision": "default"},
            "Replicas of revision default run different versions, or one serves no proxy while the"
            " others are busy. Finish or undo the rollout of istiod; delete the replica that serves"
            " nobody, and compare istioctl proxy-status of each.",
        ),
    ),
    Case(
        "IstioControlPlaneReplicasDisagree",
        "quiet",
        "a canary of another revision, and a mesh that is small",
        {
            **HEALTHY,
            istiod("canary-1", revision="canary"): "1x90",
            istiod_ready("canary-1"): "1x90",
            replica(
                "canary-1", "istio_control_plane_info", revision="canary", version="1.29.0"
            ): "1x90",
            replica(
                "istiod-1", "istio_control_plane_info", revision="default", version="1.28.1"
            ): "1x90",
            replica("istiod-1", "istio_control_plane_connected_proxies"): "4x90",
            replica("istiod-2", "istio_control_plane_connected_proxies"): "0x90",
        },
        {90: {}},
    ),
    Case(
        "IstioControlPlaneReplicasDisagree",
        "trap",
        "the same version, but all proxies are connected to one replica",
        {
            **HEALTHY,
            replica("istiod-1", "istio_control_plane_connected_proxies"): "40x90",
            replica("istiod-2", "istio_control_plane_connected_proxies"): "0x90",
        },
        {59: {}, 62: {"IstioControlPlaneReplicasDisagree": 1}},
    ),
    Case(
        "IstioVersionSkew",
        "fires",
        "two minor versions behind",
        {
            istiod("istiod-1", version="1.28.1"): "1x90",
            istiod_ready("istiod-1"): "1x90",
            info("web-{1..3}", version="1.26.4"): "1x90",
            info("web-{4..6}", version="1.28.1"): "1x90",
        },
        {59: {}, 62: {"IstioVersionSkew": 1}},
        ExpectedAlert(
            62,
            {"revision": "default", "version": "1.26.4", "plane": "data"},
            "Proxies of revision default run 1.26.4, 2 minor versions away from its istiod; Istio"
            " supports one. Restart their workloads, or move them to the revision of their"
            " version.",
        ),
    ),
    Case(
        "IstioVersionSkew",
        "quiet",
        "one minor version behind, across the tens",
        {
            istiod("istiod-1", version="1.30.0"): "1x90",
            istiod_ready("istiod-1"): "1x90",
            info("web-1", version="1.29.2-distroless"): "1x90",
            info("web-2", version=""): "1x90",
        },
        {90: {}},
    ),
    Case(
        "IstioVersionSkew",
        "trap",
        "each revision is compared with its own istiod",
        {
            istiod("istiod-1", version="1.30.0"): "1x90",
            istiod_ready("istiod-1"): "1x90",
            istiod("istiod-old", revision="old", version="1.9.5"): "1x90",
            istiod_ready("istiod-old"): "1x90",
            info("web-1", version="1.30.1"): "1x90",
            info("web-2", revision="old", version="1.10.0"): "1x90",
            info("web-3", revision="elsewhere", version="1.20.0"): "1x90",
        },
        {90: {}},
    ),
    Case(
        "IstioControlPlanePushErrors",
        "fires",
        "errors that go on",
        {**HEALTHY, PUSH_ERRORS: "3x20 4+1x30"},
        {22: {}, 35: {"IstioControlPlanePushErrors": 1}},
        ExpectedAlert(
            35,
            {"namespace": "istio-system"},
            "Pushes of 1 istiods in istio-system fail: some proxies do not get what changed. Read"
            " istiod's log for push errors, and look at its CPU and push queue.",
        ),
    ),
    Case(
        "IstioControlPlanePushErrors",
        "quiet",
        "old errors, and an exporter that has just begun to watch",
        {
            istiod("istiod-1"): "_x5 1x60",
            istiod_ready("istiod-1"): "_x5 1x60",
            PUSH_ERRORS: "_x5 7x60",
        },
        {60: {}},
    ),
    Case(
        "IstioControlPlanePushErrors",
        "trap",
        "a counter that starts at 1",
        {**HEALTHY, PUSH_ERRORS: "_x40 1x40"},
        {48: {}, 53: {"IstioControlPlanePushErrors": 1}},
    ),
)
