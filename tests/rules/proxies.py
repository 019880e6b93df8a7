"""Cases of the alerts of single proxies."""

from exporter.diagnosis.causes import CAUSES
from tests.rules.promtool import Case, ExpectedAlert
from tests.rules.series import diagnosis, info, of, ready

WEB = {"namespace": "shop", "pod": "web-1", "role": "sidecar"}
XDS = "istio_proxy_xds_connected"
CAPTURED = "istio_proxy_captured"
BOUND = "istio_proxy_listener_bound"


def fault(cause: str) -> str:
    """The description of IstioProxyFault for web-1."""
    return f"The sidecar shop/web-1 has a fault: {cause}. {CAUSES[cause].advice}"


CASES = (
    Case(
        "IstioProxyFault",
        "fires",
        "a fault for ten minutes",
        {info("web-1"): "1x30", diagnosis("web-1", "envoy_stuck"): "1x30"},
        {9: {}, 12: {"IstioProxyFault": 1}},
        ExpectedAlert(12, WEB, fault("envoy_stuck"), "docs/diagnosis.md#envoy_stuck"),
    ),
    Case(
        "IstioProxyFault",
        "quiet",
        "what is no fault",
        {
            diagnosis("web-1", "application_metrics_broken"): "1x60",
            diagnosis("web-2", "draining"): "1x60",
            diagnosis("web-3", "starting"): "1x60",
        },
        {60: {}},
    ),
    Case(
        "IstioProxyFault",
        "trap",
        "a cause that changes: no gap, and the description follows",
        {
            diagnosis("web-1", "envoy_stuck"): "1x8 stale",
            diagnosis("web-1", "agent_gone"): "_x9 1x10 stale",
            diagnosis("web-1", "proxy_not_running"): "_x20 1x20",
        },
        {9: {}, 12: {"IstioProxyFault": 1}, 40: {"IstioProxyFault": 1}},
        ExpectedAlert(40, WEB, fault("proxy_not_running"), "docs/diagnosis.md#proxy_not_running"),
        unbroken=(12, 40),
    ),
    Case(
        "IstioProxyFault",
        "trap",
        "from an alert to another: no gap",
        {
            diagnosis("web-1", "configuration_rejected"): "1x30 stale",
            diagnosis("web-1", "envoy_stuck"): "_x31 1x59 stale",
            diagnosis("web-1", "xds_disconnected"): "_x91 1x59",
        },
        {
            10: {"IstioProxyConfigurationRejected": 1},
            80: {"IstioProxyFault": 1},
            150: {"IstioProxyWithoutXds": 1},
        },
        unbroken=(6, 150),
    ),
    Case(
        "IstioProxyFault",
        "trap",
        "a cause that flips all the time still fires",
        {
            diagnosis("web-1", "envoy_stuck"): "1 1 stale stale " * 10,
            diagnosis("web-1", "configuration_rejected"): "stale stale 1 1 " * 10,
        },
        {9: {}, 30: {"IstioProxyFault": 1}},
    ),
    Case(
        "IstioProxyFault",
        "trap",
        "the exporter restarts: it goes on",
        {diagnosis("web-1", "envoy_stuck"): "1x20 stale _x3 1x30"},
        {15: {"IstioProxyFault": 1}, 50: {"IstioProxyFault": 1}},
        unbroken=(12, 50),
    ),
    Case(
        "IstioProxyNeverConfigured",
        "fires",
        "no answer from istiod",
        {diagnosis("web-1", "istiod_unreachable"): "1x30"},
        {4: {}, 6: {"IstioProxyNeverConfigured": 1}, 30: {"IstioProxyNeverConfigured": 1}},
        ExpectedAlert(
            6,
            WEB,
            "The sidecar shop/web-1 runs without configuration since it started, so it serves"
            " nothing. The exporter's page has the cause. istiod_unreachable: from the pod, check"
            " the way to istiod's 15012; identity_not_issued: the pod's service account token and"
            " istiod's log; configuration_incomplete: look for a missing secret.",
        ),
    ),
    Case(
        "IstioProxyNeverConfigured",
        "quiet",
        "a proxy that starts",
        {diagnosis("web-1", "starting"): "1x2 stale", ready("web-1", "envoy"): "0x2 1x30"},
        {30: {}},
    ),
    Case(
        "IstioProxyNeverConfigured",
        "trap",
        "the cause changes while it waits for its configuration",
        {
            diagnosis("web-1", "istiod_unreachable"): "1x3 stale",
            diagnosis("web-1", "identity_not_issued"): "_x4 1x4 stale",
            diagnosis("web-1", "configuration_incomplete"): "_x9 1x21",
        },
        {6: {"IstioProxyNeverConfigured": 1}, 30: {"IstioProxyNeverConfigured": 1}},
        unbroken=(6, 30),
    ),
    Case(
        "IstioProxyConfigurationRejected",
        "fires",
        "Envoy rejected the last update",
        {of("istio_proxy_xds_rejected", "web-1", resource="lds"): "0x3 1x30"},
        {7: {}, 10: {"IstioProxyConfigurationRejected": 1}},
        ExpectedAlert(
            10,
            WEB,
            "Envoy in the sidecar shop/web-1 serves with older configuration, or with none. Read"
            " its reason (istioctl proxy-status, the proxy's log), then correct or remove the"
            " EnvoyFilter or resource that it names.",
        ),
    ),
    Case(
        "IstioProxyConfigurationRejected",
        "quiet",
        "a reject that a success follows",
        {of("istio_proxy_xds_rejected", "web-1", resource="lds"): "0x3 1x3 0x30"},
        {30: {}},
    ),
    Case(
        "IstioProxyConfigurationRejected",
        "trap",
        "Envoy rejects a listener whose port another process holds",
        {
            diagnosis("web-1", "port_taken"): "1x30",
            of("istio_proxy_xds_rejected", "web-1", resource="lds"): "1x30",
        },
        {8: {}, 12: {"IstioProxyFault": 1}, 30: {"IstioProxyFault": 1}},
    ),
    Case(
        "IstioProxyConfigurationRejected",
        "trap",
        "the smallest profile has the diagnosis only; both resources are one alert",
        {
            diagnosis("web-1", "configuration_rejected"): "1x30",
            diagnosis("web-2", "configuration_rejected"): "1x30",
            of("istio_proxy_xds_rejected", "web-2", resource="lds"): "1x30",
            of("istio_proxy_xds_rejected", "web-2", resource="cds"): "1x30",
        },
        {10: {"IstioProxyConfigurationRejected": 2}, 30: {"IstioProxyConfigurationRejected": 2}},
    ),
    Case(
        "IstioProxyWithoutXds",
        "fires",
        "no connection to istiod",
        {of(XDS, "web-1"): "1x3 0x30", diagnosis("web-1", "xds_disconnected"): "_x4 1x29"},
        {8: {}, 10: {"IstioProxyWithoutXds": 1}, 30: {"IstioProxyWithoutXds": 1}},
        ExpectedAlert(
            10,
            WEB,
            "The sidecar shop/web-1 serves with the configuration that it had; changes and new"
            " certificates do not reach it. Check istiod and the way from the pod to its 15012;"
            " restart the pod if other pods of the node are connected.",
        ),
    ),
    Case(
        "IstioProxyWithoutXds",
        "quiet",
        "reconnecting at once",
        {of(XDS, "web-1"): "1x3 0x3 1x30"},
        {30: {}},
    ),
    Case(
        "IstioProxyWithoutXds",
        "trap",
        "no istiod lists the proxy",
        {of("istio_proxy_xds_known", "web-1"): "1x3 0x30", of(XDS, "web-1"): "1x33"},
        {8: {}, 10: {"IstioProxyWithoutXds": 1}},
    ),
    Case(
        "IstioProxyRedirectionMissing",
        "fires",
        "a sidecar is bypassed",
        {of(CAPTURED, "web-1"): "0x30", diagnosis("web-1", "redirection_missing"): "1x30"},
        {4: {}, 6: {"IstioProxyRedirectionMissing": 1}, 30: {"IstioProxyRedirectionMissing": 1}},
        ExpectedAlert(
            6,
            WEB,
            "Connections reach the application of shop/web-1 without passing its sidecar. Check the"
            " istio-init container, or istio-cni on the pod's node, then restart the pod.",
        ),
    ),
    Case(
        "IstioProxyRedirectionMissing",
        "quiet",
        "redirection works, or cannot be judged",
        {of(CAPTURED, "web-1"): "1x30", of(CAPTURED, "web-2"): "1x3 _x27"},
        {30: {}},
    ),
    Case(
        "IstioProxyRedirectionMissing",
        "trap",
        "behind another cause it still shows",
        {
            of(CAPTURED, "web-1"): "0x30",
            diagnosis("web-1", "configuration_rejected"): "1x30",
        },
        {
            8: {"IstioProxyRedirectionMissing": 1, "IstioProxyConfigurationRejected": 1},
            30: {"IstioProxyRedirectionMissing": 1, "IstioProxyConfigurationRejected": 1},
        },
    ),
    Case(
        "IstioProxyAdminExposed",
        "fires",
        "15000 answers from the network",
        {
            of("istio_port_exposed", "web-1", port="15000", component="envoy"): "1x30",
            diagnosis("web-1", "admin_exposed"): "1x30",
        },
        {4: {}, 6: {"IstioProxyAdminExposed": 1}, 30: {"IstioProxyAdminExposed": 1}},
        ExpectedAlert(
            6,
            {**WEB, "port": "15000"},
            "Port 15000 of shop/web-1 answers from the network: whoever reaches the pod can read"
            " its secrets and stop it. Bind it to 127.0.0.1 again; look for a custom bootstrap or"
            " proxyAdminPort settings.",
        ),
    ),
    Case(
        "IstioProxyAdminExposed",
        "quiet",
        "it does not",
        {of("istio_port_up", "web-1", port="15000", component="envoy"): "1x30"},
        {30: {}},
    ),
    Case(
        "IstioProxyAdminExposed",
        "trap",
        "the smallest profile has the diagnosis only, which names no port",
        {diagnosis("web-1", "admin_exposed"): "1x30"},
        {4: {}, 7: {"IstioProxyAdminExposed": 1}, 30: {"IstioProxyAdminExposed": 1}},
        ExpectedAlert(
            7,
            WEB,
            "A port of shop/web-1 answers from the network: whoever reaches the pod can read its"
            " secrets and stop it. Bind it to 127.0.0.1 again; look for a custom bootstrap or"
            " proxyAdminPort settings.",
        ),
    ),
    Case(
        "IstioProxyAdminExposed",
        "trap",
        "forty pods in the smallest profile are one alert",
        {
            info("web-{1..40}"): "1x40",
            info("far-{1..200}", namespace="far"): "1x40",
            diagnosis("web-{1..40}", "admin_exposed"): "_x10 1x30",
        },
        {10: {}, 15: {"IstioProxiesFailing": 1}, 40: {"IstioProxiesFailing": 1}},
    ),
    Case(
        "IstioProxyListenerNotBound",
        "fires",
        "a gateway's port waits for its secret",
        {
            of(BOUND, "gw-1", "gateway", listener="0.0.0.0_8443"): "0x30",
            diagnosis("gw-1", "listener_warming", "gateway"): "1x30",
        },
        {4: {}, 6: {"IstioProxyListenerNotBound": 1}, 30: {"IstioProxyListenerNotBound": 1}},
        ExpectedAlert(
            6,
            {"namespace": "shop", "pod": "gw-1", "role": "gateway", "listener": "0.0.0.0_8443"},
            "Listener 0.0.0.0_8443 of the gateway shop/gw-1 is not bound, so nobody can connect to"
            " it. Look for a missing secret (istioctl proxy-config secret) and for another process"
            " on its port.",
        ),
    ),
    Case(
        "IstioProxyListenerNotBound",
        "quiet",
        "bound within minutes",
        {of(BOUND, "gw-1", "gateway", listener="0.0.0.0_8443"): "0x3 1x30"},
        {30: {}},
    ),
    Case(
        "IstioProxyListenerNotBound",
        "trap",
        "a fault that explains it has its own alert",
        {
            of(BOUND, "web-1", listener="virtualInbound"): "0x30",
            diagnosis("web-1", "envoy_stuck"): "1x30",
        },
        {9: {}, 12: {"IstioProxyFault": 1}},
    ),
)
