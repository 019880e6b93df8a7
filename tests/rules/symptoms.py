"""Cases of the alerts of proxies without a known cause, and of what cannot be judged."""

from tests.rules.promtool import Case, ExpectedAlert
from tests.rules.series import diagnosis, of, ready

WEB = {"namespace": "shop", "pod": "web-1", "role": "sidecar"}


CASES = (
    Case(
        "IstioEnvoyNotReady",
        "fires",
        "no known cause",
        {ready("web-1", "envoy"): "0x30"},
        {9: {}, 12: {"IstioEnvoyNotReady": 1}},
        ExpectedAlert(
            12,
            WEB,
            "Envoy of the sidecar shop/web-1 reports not ready. Look at the pod's readiness steps"
            " on the exporter's page, and at the proxy's log.",
        ),
    ),
    Case(
        "IstioEnvoyNotReady",
        "quiet",
        "a slow start",
        {ready("web-1", "envoy"): "0x8 1x30"},
        {30: {}},
    ),
    Case(
        "IstioEnvoyNotReady",
        "trap",
        "the cause is known: one alert, of the cause",
        {ready("web-1", "envoy"): "0x30", diagnosis("web-1", "istiod_unreachable"): "1x30"},
        {8: {"IstioProxyNeverConfigured": 1}, 30: {"IstioProxyNeverConfigured": 1}},
    ),
    Case(
        "IstioProxyPortDown",
        "fires",
        "a port without a cause",
        {of("istio_port_up", "web-1", port="15008", component="envoy"): "0x30"},
        {9: {}, 12: {"IstioProxyPortDown": 1}},
        ExpectedAlert(
            12,
            {**WEB, "port": "15008", "component": "envoy"},
            "Port 15008 (envoy) of the sidecar shop/web-1 is proved not to answer. Probe it by"
            " hand with the commands of istio-port-exporter explain 15008.",
        ),
    ),
    Case(
        "IstioProxyPortDown",
        "quiet",
        "up, unjudged, or down for a moment",
        {
            of("istio_port_up", "web-1", port="15006", component="envoy"): "1x30",
            of("istio_port_up", "web-2", port="15006", component="envoy"): "1x3 _x27",
            of("istio_port_up", "web-3", port="15006", component="envoy"): "1x3 0x5 1x22",
        },
        {30: {}},
    ),
    Case(
        "IstioProxyPortDown",
        "trap",
        "all ports of a stuck Envoy: one alert, of the cause",
        {
            of("istio_port_up", "web-1", port="{15000..15090}", component="envoy"): "0x30",
            ready("web-1", "envoy"): "0x30",
            diagnosis("web-1", "envoy_stuck"): "1x30",
        },
        {9: {}, 12: {"IstioProxyFault": 1}, 30: {"IstioProxyFault": 1}},
    ),
    Case(
        "IstioProxyPortDown",
        "trap",
        "replicas of the exporter disagree: one of them reaches it",
        {
            'istio_port_up{namespace="shop",pod="web-1",role="sidecar",port="15020",'
            'component="pilot-agent",instance="a"}': "0x30",
            'istio_port_up{namespace="shop",pod="web-1",role="sidecar",port="15020",'
            'component="pilot-agent",instance="b"}': "1x30",
        },
        {30: {}},
    ),
    Case(
        "IstioProxiesNotJudged",
        "fires",
        "a NetworkPolicy keeps the exporter out",
        {diagnosis("web-{0..4}", "network_blocked"): "1x60"},
        {14: {}, 17: {"IstioProxiesNotJudged": 1}},
        ExpectedAlert(
            17,
            {"namespace": "shop"},
            "A policy or the network blocks the exporter from 5 proxies in shop: their state is"
            " unknown. Let it reach 15020, 15021 and 15090.",
        ),
    ),
    Case(
        "IstioProxiesNotJudged",
        "quiet",
        "for a moment",
        {diagnosis("web-{0..4}", "network_blocked"): "1x10 stale"},
        {60: {}},
    ),
    Case(
        "IstioProxiesNotJudged",
        "trap",
        "one proxy was broken before: its alert stays",
        {
            diagnosis("web-1", "unreachable"): "1x12 stale",
            diagnosis("web-1", "network_blocked"): "_x13 1x60",
        },
        {12: {"IstioProxyFault": 1}, 70: {"IstioProxyFault": 1}},
        unbroken=(12, 70),
    ),
)
