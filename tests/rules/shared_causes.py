"""Cases of one problem that shows on many pods, nodes, namespaces or replicas: one alert."""

from tests.rules.promtool import JOB, Case, ExpectedAlert
from tests.rules.series import diagnosis, info, istiod, istiod_ready, of, ready

EXPIRY = "istio_target_certificate_expiry_timestamp_seconds"
BEGIN = "istio_target_certificate_not_before_timestamp_seconds"
MESH = {info("far-{1..60}", namespace="far", workload="far"): "1x60"}
"""A healthy part of the mesh, so that what fails is no quarter of it."""


def replica_of(number: int, series: str) -> str:
    """A series as one replica of the exporter alone exposes it."""
    return series.replace("{", f'{{job="{JOB}",instance="10.0.0.{number}:10520",', 1)


def blocked(namespace: str, pod: str = "web-{1..3}") -> str:
    """Pods that a policy keeps the exporter from."""
    return diagnosis(pod, "network_blocked", namespace=namespace)


def ambient(namespace: str, node: str, redirection: str = "missing") -> str:
    """Pods of one namespace and node that are enrolled in ambient."""
    labels = f'namespace="{namespace}",node="{node}",redirection="{redirection}"'
    return f"istio_proxy_ambient_pods{{{labels}}}"


SILENT = {
    **{info(f"web-{n}-{{1..9}}", node=f"node-{n}"): "1x60" for n in range(4)},
    of("istio_target_last_poll_timestamp_seconds", "web-{0..3}-{1..9}", cadence="fast"): "1x60",
    'istio_port_exporter_discovery_synced{resource="pods"}': "1x60",
}
"""36 pods on four nodes, and an exporter that reaches the API server."""

CASES = (
    Case(
        "IstioGatewaysFailing",
        "trap",
        "all of three gateways",
        {
            **MESH,
            info("gw-{1..3}", "gateway", "istio-ingress", workload="gw"): "1x60",
            diagnosis("gw-{1..3}", "envoy_stuck", "gateway", "istio-ingress"): "_x5 1x55",
        },
        {5: {}, 7: {"IstioGatewaysFailing": 1}, 60: {"IstioGatewaysFailing": 1}},
    ),
    Case(
        "IstioGatewaysFailing",
        "trap",
        "two gateways of four; one of three is its own warning",
        {
            **MESH,
            info("gw-{1..4}", "gateway", "istio-ingress", workload="gw"): "1x60",
            diagnosis("gw-{1..2}", "envoy_stuck", "gateway", "istio-ingress"): "1x60",
            info("east-{1..3}", "gateway", "istio-ingress", workload="east"): "1x60",
            diagnosis("east-1", "envoy_stuck", "gateway", "istio-ingress"): "1x60",
        },
        {5: {"IstioGatewaysFailing": 1}, 60: {"IstioGatewaysFailing": 1, "IstioProxyFault": 1}},
    ),
    Case(
        "IstioProxiesFailing",
        "trap",
        "all pods of a workload; one of one stays a warning, two of three are two",
        {
            **MESH,
            info("web-{1..2}", workload="web"): "1x60",
            diagnosis("web-{1..2}", "envoy_stuck"): "1x60",
            info("one-1", workload="one"): "1x60",
            diagnosis("one-1", "envoy_stuck"): "1x60",
            info("some-{1..3}", namespace="other", workload="some"): "1x60",
            diagnosis("some-{1..2}", "envoy_stuck", namespace="other"): "1x60",
        },
        {5: {"IstioProxiesFailing": 1}, 60: {"IstioProxiesFailing": 1, "IstioProxyFault": 3}},
    ),
    Case(
        "IstioProxiesFailing",
        "trap",
        "four of ten proxies all over the mesh",
        {
            **{
                info(f"web-{n}-{{1..20}}", namespace=f"ns-{n}", node=f"node-{n % 7}"): "1x30"
                for n in range(10)
            },
            **{
                diagnosis(f"web-{n}-{{1..8}}", "envoy_stuck", namespace=f"ns-{n}"): "1x30"
                for n in range(10)
            },
        },
        {5: {"IstioProxiesFailing": 1}, 30: {"IstioProxiesFailing": 1}},
    ),
    Case(
        "IstioProxiesFailing",
        "trap",
        "a dead certificate authority: one critical, not one a pod",
        {
            **{
                of(
                    name,
                    f"web-{n}-{{1..20}}",
                    namespace=f"ns-{n}",
                    certificate="workload",
                    source="wire",
                ): value
                for n in range(5)
                for name, value in ((BEGIN, "-86000x60"), (EXPIRY, "400x60"))
            },
            **{
                diagnosis(
                    f"web-{n}-{{1..20}}", "certificate_expired", namespace=f"ns-{n}"
                ): "_x7 1x53"
                for n in range(5)
            },
            **{info(f"web-{n}-{{1..20}}", namespace=f"ns-{n}"): "1x60" for n in range(5)},
        },
        {13: {"IstioProxiesFailing": 1}, 60: {"IstioProxiesFailing": 1}},
        replicas=(1,),
    ),
    Case(
        "IstioProxiesFailing",
        "trap",
        "an admin port exposed on many pods",
        {
            **MESH,
            info("web-{1..40}"): "1x60",
            of("istio_port_exposed", "web-{1..40}", port="15000", component="envoy"): "1x60",
            diagnosis("web-{1..40}", "admin_exposed"): "1x60",
        },
        {5: {"IstioProxiesFailing": 1}, 60: {"IstioProxiesFailing": 1}},
    ),
    Case(
        "IstioProxyRedirectionMissing",
        "trap",
        "security is not silenced by the outage of another cause",
        {
            info("web-{1..9}"): "1x60",
            info("far-{1..60}", namespace="far"): "1x60",
            diagnosis("web-{1..8}", "envoy_stuck"): "1x60",
            diagnosis("web-9", "redirection_missing"): "1x60",
            of("istio_proxy_captured", "web-9"): "0x60",
        },
        {
            10: {"IstioProxiesFailing": 1, "IstioProxyRedirectionMissing": 1},
            60: {"IstioProxiesFailing": 1, "IstioProxyRedirectionMissing": 1},
        },
    ),
    Case(
        "IstioProxyWithoutXds",
        "trap",
        "a stuck Envoy that istiod no longer lists is one alert",
        {
            **MESH,
            info("web-1"): "1x60",
            of("istio_proxy_xds_known", "web-1"): "0x60",
            of("istio_proxy_xds_connected", "web-1"): "0x60",
            diagnosis("web-1", "envoy_stuck"): "1x60",
        },
        {9: {}, 12: {"IstioProxyFault": 1}, 60: {"IstioProxyFault": 1}},
    ),
    Case(
        "IstioProxiesFailing",
        "trap",
        "the ztunnel of a node",
        {
            **MESH,
            info(
                "ztunnel-{1..9}", "ztunnel", "istio-system", node="node-8", workload="ztunnel"
            ): "1x60",
            info("ztunnel-0", "ztunnel", "istio-system", node="node-9", workload="ztunnel"): "1x60",
            diagnosis("ztunnel-0", "ztunnel_not_ready", "ztunnel", "istio-system"): "1x60",
        },
        {5: {"IstioProxiesFailing": 1}, 60: {"IstioProxiesFailing": 1}},
        ExpectedAlert(
            5,
            {"scope": "ztunnel", "name": "node-9", "node": "node-9"},
            "The ztunnel of node node-9 has a fault: the pods in ambient of a node depend on its"
            " ztunnel. Look at its log, its restarts, its node and istio-cni there; the exporter's"
            " page has the cause. Alerts of these pods alone do not start while this one fires;"
            " those that fire already end within 15 minutes.",
        ),
    ),
    Case(
        "IstioAmbientRedirectionMissing",
        "trap",
        "on ten nodes in twenty namespaces: one",
        {ambient("ns-{1..20}", "node-{1..10}"): "2x60"},
        {
            4: {},
            7: {"IstioAmbientRedirectionMissing": 1},
            60: {"IstioAmbientRedirectionMissing": 1},
        },
    ),
    Case(
        "IstioProxiesNotJudged",
        "trap",
        "twenty namespaces that no replica reaches: one",
        {
            **{info("web-{1..3}", namespace=f"ns-{n}"): "1x60" for n in range(20)},
            **{blocked(f"ns-{n}"): "1x60" for n in range(20)},
        },
        {14: {}, 17: {"IstioProxiesNotJudged": 1}, 60: {"IstioProxiesNotJudged": 1}},
    ),
    Case(
        "IstioProxiesNotJudged",
        "trap",
        "one replica of two cannot reach them, the other can",
        {
            **{
                replica_of(r, info("web-{1..3}", namespace=f"ns-{n}")): "1x60"
                for n in range(20)
                for r in (0, 1)
            },
            **{replica_of(0, blocked(f"ns-{n}")): "1x60" for n in range(20)},
            **{
                replica_of(1, ready("web-{1..3}", "envoy", namespace=f"ns-{n}")): "1x60"
                for n in range(20)
            },
        },
        {60: {}},
        replicas=(2,),
    ),
    Case(
        "IstioPortExporterIsolated",
        "fires",
        "most targets fall silent at once while the API server answers",
        {**SILENT, diagnosis("web-{0..3}-{1..7}", "unreachable"): "_x10 1x50"},
        {12: {}, 15: {"IstioPortExporterIsolated": 1}, 60: {"IstioPortExporterIsolated": 1}},
        ExpectedAlert(
            15,
            {"job": JOB, "instance": "10.0.0.0:10520"},
            "77.78% of the targets of 10.0.0.0:10520, on several nodes, fell silent at once, while"
            " it reaches the API server: that is its own node, its network or a policy around it,"
            " and not the mesh. What it reports of silent targets raises no alert meanwhile."
            " Look at its node and at NetworkPolicies, and move the pod.",
        ),
        replicas=(1,),
    ),
    Case(
        "IstioPortExporterIsolated",
        "trap",
        "one replica of two is cut off: the other's verdicts stay",
        {
            **SILENT,
            replica_of(0, diagnosis("web-{0..3}-{1..7}", "unreachable")): "_x10 1x50",
            diagnosis("web-0-9", "envoy_stuck"): "1x60",
        },
        {
            9: {},
            15: {"IstioPortExporterIsolated": 1, "IstioProxyFault": 1},
            60: {"IstioPortExporterIsolated": 1, "IstioProxyFault": 1},
        },
        replicas=(2,),
    ),
    Case(
        "IstioPortExporterIsolated",
        "quiet",
        "a node is lost",
        {**SILENT, diagnosis("web-1-{1..9}", "unreachable"): "_x10 1x50"},
        {15: {"IstioProxiesFailing": 1}, 60: {"IstioProxiesFailing": 1}},
    ),
    Case(
        "IstioRootCertificateExpired",
        "fires",
        "the root has ended",
        {of(EXPIRY, "web-{1..9}", certificate="root", source="admin"): "600x60"},
        {9: {}, 14: {"IstioRootCertificateExpired": 1}, 60: {"IstioRootCertificateExpired": 1}},
        ExpectedAlert(
            14,
            {},
            "It expired 4m 0s ago: proxies that trust no other root refuse each other's"
            " certificates. Distribute a new root as trusted, then restart istiod and the"
            " workloads; where they have it, take the old one out.",
        ),
    ),
    Case(
        "IstioRootCertificateExpired",
        "quiet",
        "it ends in a month and a day",
        {of(EXPIRY, "web-1", certificate="root", source="admin"): f"{31 * 86400}x60"},
        {60: {}},
    ),
    Case(
        "IstioRootCertificateExpired",
        "trap",
        "and all certificates with it: one",
        {
            **MESH,
            info("web-{1..9}"): "1x60",
            of(EXPIRY, "web-{1..9}", certificate="root", source="agent"): "600x60",
            of(EXPIRY, "web-{1..9}", certificate="workload", source="agent"): "660x60",
            diagnosis("web-{1..9}", "certificate_expired"): "_x12 1x48",
        },
        {
            16: {"IstioRootCertificateExpired": 1},
            60: {"IstioRootCertificateExpired": 1},
        },
    ),
    Case(
        "IstioWebhookDown",
        "trap",
        "the webhooks of all replicas: one",
        {
            istiod("istiod-{1..3}"): "1x60",
            istiod_ready("istiod-{1..3}"): "1x60",
            istiod_ready("istiod-{1..3}", "webhook"): "0x60",
        },
        {7: {"IstioWebhookDown": 1}, 60: {"IstioWebhookDown": 1}},
    ),
    Case(
        "IstioControlPlaneNotWatched",
        "fires",
        "beside a DaemonSet, the exporter of istiod has no pod: istiod is healthy",
        {
            info("web-{1..20}"): "1x90",
            of("istio_proxy_xds_connected", "web-{1..20}"): "1x90",
            replica_of(7, istiod("istiod-{1..2}")): "1x20 stale",
            replica_of(7, istiod_ready("istiod-{1..2}")): "1x20 stale",
            replica_of(7, "istio_port_exporter_build_info{}"): "1x20 stale",
        },
        {34: {}, 45: {"IstioControlPlaneNotWatched": 1}, 90: {"IstioControlPlaneNotWatched": 1}},
        ExpectedAlert(
            45,
            {"revision": "default"},
            "No exporter polls the istiods of revision default any more, on which 20 proxies"
            " depend: nothing reports when it fails. Look at the exporter's pods; beside a"
            " DaemonSet a Deployment polls istiod.",
        ),
    ),
    Case(
        "IstioControlPlaneNotWatched",
        "quiet",
        "it is polled",
        {info("web-1"): "1x60", istiod("istiod-1"): "1x60", istiod_ready("istiod-1"): "1x60"},
        {60: {}},
    ),
    Case(
        "IstioControlPlaneNotWatched",
        "trap",
        "the exporter that polls istiod is rolled",
        {
            info("web-{1..20}"): "1x60",
            replica_of(7, istiod("istiod-1")): "1x20 stale",
            replica_of(7, istiod_ready("istiod-1")): "1x20 stale",
            replica_of(8, istiod("istiod-1")): "_x28 1x32",
            replica_of(8, istiod_ready("istiod-1")): "_x28 1x32",
        },
        {60: {}},
    ),
    Case(
        "IstioRevisionWithoutControlPlane",
        "trap",
        "a dead node of a DaemonSet silences nothing",
        {
            info("web-{1..20}"): "1x60",
            istiod("istiod-{1..2}"): "1x60",
            istiod_ready("istiod-{1..2}"): "1x25 0x35",
            diagnosis("istiod-{1..2}", "istiod_not_ready", "istiod", "istio-system"): "_x26 1x34",
            replica_of(9, "istio_port_exporter_build_info{}"): "1x4 stale",
            replica_of(9, "up{}"): "1x4 0x56",
        },
        {
            20: {"IstioPortExporterDown": 1},
            30: {"IstioRevisionWithoutControlPlane": 1, "IstioPortExporterDown": 1},
            60: {"IstioRevisionWithoutControlPlane": 1, "IstioPortExporterDown": 1},
        },
    ),
    Case(
        "IstioRevisionWithoutControlPlane",
        "trap",
        "the smallest profile, and without information on targets",
        {
            ready("web-{1..9}", "envoy"): "1x60",
            istiod_ready("istiod-{1..2}"): "1x10 0x50",
            diagnosis("istiod-{1..2}", "proxy_not_running", "istiod", "istio-system"): "_x11 1x49",
        },
        {
            15: {"IstioRevisionWithoutControlPlane": 1},
            60: {"IstioRevisionWithoutControlPlane": 1},
        },
    ),
    Case(
        "IstioVersionSkew",
        "trap",
        "an image that was never pulled",
        {
            istiod("istiod-1", version="1.28.1"): "1x90",
            istiod_ready("istiod-1"): "1x90",
            info("web-1", version="1.20.4"): "1x90",
            diagnosis("web-1", "proxy_not_running"): "1x90",
        },
        {15: {"IstioProxyFault": 1}, 90: {"IstioProxyFault": 1}},
    ),
    Case(
        "IstioPortExporterCapabilityLost",
        "trap",
        "it was switched off",
        {
            'istio_port_exporter_capability{capability="loopback"}': "1x20 0x40",
            'istio_port_exporter_capability_configured{capability="loopback"}': "1x20 0x40",
        },
        {60: {}},
    ),
)
