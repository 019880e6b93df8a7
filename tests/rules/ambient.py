"""Cases of the alerts about pods in ambient and about the ztunnels that serve them."""

import json

from exporter.diagnosis.causes import CAUSES
from exporter.model import Role
from tests.rules.promtool import Case, ExpectedAlert
from tests.rules.series import diagnosis, info, of

POD = {"namespace": "shop", "pod": "web-1", "node": "node-1"}
CAUSES_OF_A_CUT = ("not_served", "enrolment_pending", "port_taken", "identity_not_issued")


def pods(names: str, node: str = "node-1") -> dict[str, str]:
    """Workloads of a node, for as long as a case lasts."""
    return {info(names, "ambient", node=node): "1x90"}


def admits_hbone(namespace: str) -> str:
    """The policy that the alert offers for a namespace, and its full stop."""
    own = {"matchLabels": {"kubernetes.io/metadata.name": "istio-port-exporter"}}
    hbone, control = ([{"protocol": "TCP", "port": port}] for port in (15008, 15999))
    rules = [{"ports": hbone}, {"from": [{"namespaceSelector": own}], "ports": control}]
    policy = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "admit-hbone", "namespace": namespace},
        "spec": {"podSelector": {}, "policyTypes": ["Ingress"], "ingress": rules},
    }
    return json.dumps(policy, separators=(",", ":")) + "."


def told(name: str) -> str:
    """A cause with its advice."""
    found = CAUSES[name]
    return f"{name}. {found.advices.get(Role.AMBIENT, found.advice)}"


def cause(names: str, name: str) -> str:
    """What is wrong with workloads."""
    return diagnosis(names, name, "ambient")


def ambient(redirection: str) -> str:
    """Pods of one namespace and node that are to be in ambient."""
    labels = f'namespace="shop",node="node-1",redirection="{redirection}"'
    return f"istio_proxy_ambient_pods{{{labels}}}"


def ztunnel(state: str) -> str:
    """The workloads of node-1's ztunnel."""
    return of("istio_proxy_workloads", "ztunnel-1", "ztunnel", "istio-system", state=state)


ZTUNNEL = {info("ztunnel-1", "ztunnel", "istio-system"): "1x90"}

CASES = (
    Case(
        "IstioAmbientNodeCut",
        "fires",
        "the ztunnel of a node is gone: one alert, and none of its pods or of the ztunnel",
        {
            **pods("web-{0..9}"),
            **pods("api-{0..9}", "node-2"),
            cause("web-{0..9}", "not_served"): "_x4 1x60",
            **ZTUNNEL,
            diagnosis("ztunnel-1", "proxy_not_running", "ztunnel", "istio-system"): "_x4 1x60",
        },
        {4: {}, 7: {"IstioAmbientNodeCut": 1}, 60: {"IstioAmbientNodeCut": 1}},
        ExpectedAlert(
            7,
            {"node": "node-1"},
            "Mesh clients do not reach 10 ambient pods of node node-1. Check the"
            " node's ztunnel (its log, restarts, certificate requests), then istio-cni and the"
            " node; this alert silences those of the pods.",
        ),
        unbroken=(7, 60),
    ),
    Case(
        "IstioAmbientNodeCut",
        "quiet",
        "the ztunnels of two nodes are exchanged, each refuses for a moment",
        {
            **pods("web-{0..9}"),
            **pods("api-{0..9}", "node-2"),
            cause("web-{0..9}", "not_served"): "_x4 1 stale _x50",
            cause("api-{0..9}", "not_served"): "_x9 1 stale _x50",
        },
        {60: {}},
    ),
    Case(
        "IstioAmbientNodeCut",
        "trap",
        "half of the pods are cut off, which is one alert a pod",
        {**pods("web-{0..9}"), cause("web-{0..4}", "not_served"): "1x60"},
        {1: {}, 4: {"IstioAmbientPodCut": 5}, 60: {"IstioAmbientPodCut": 5}},
    ),
    Case(
        "IstioAmbientNodeCut",
        "trap",
        "a node has two pods: each has its alert",
        {**pods("web-{0..1}"), cause("web-{0..1}", "ztunnel_stuck"): "1x30"},
        {4: {"IstioAmbientPodCut": 2}},
    ),
    Case(
        "IstioAmbientPodCut",
        "fires",
        "one pod is redirected into nothing",
        {**pods("web-{0..9}"), cause("web-1", "not_served"): "1x30"},
        {1: {}, 3: {"IstioAmbientPodCut": 1}},
        ExpectedAlert(
            3,
            POD,
            f"Mesh clients do not reach shop/web-1 on node node-1: {told('not_served')}",
            "docs/diagnosis.md#not_served",
        ),
    ),
    *(
        Case(
            "IstioAmbientPodCut",
            "fires",
            f"{name}, and no alert about proxies",
            {**pods("web-{0..9}"), cause("web-1", name): "1x60"},
            {3: {"IstioAmbientPodCut": 1}, 60: {"IstioAmbientPodCut": 1}},
            ExpectedAlert(
                3,
                POD,
                f"Mesh clients do not reach shop/web-1 on node node-1: {told(name)}",
                f"docs/diagnosis.md#{name}",
            ),
        )
        for name in CAUSES_OF_A_CUT
    ),
    Case(
        "IstioAmbientPodCut",
        "quiet",
        "pods that start and end",
        {
            **pods("web-{0..9}"),
            cause("web-{0..4}", "starting"): "1x5 stale",
            cause("web-{5..9}", "draining"): "1x5 stale",
        },
        {30: {}},
    ),
    Case(
        "IstioAmbientPodCut",
        "trap",
        "one cause after another is one outage",
        {
            **pods("web-{0..9}"),
            cause("web-1", "not_served"): "1x4 stale",
            cause("web-1", "identity_not_issued"): "_x5 1x30",
        },
        {3: {"IstioAmbientPodCut": 1}, 30: {"IstioAmbientPodCut": 1}},
        unbroken=(3, 30),
    ),
    Case(
        "IstioAmbientBypassed",
        "fires",
        "a pod stands outside the mesh while its annotation says enabled",
        {
            **pods("web-{0..9}"),
            cause("web-1", "outside_mesh"): "1x60",
            ambient("enabled"): "10x60",
            ztunnel("active"): "10x60",
            **ZTUNNEL,
        },
        {0: {}, 3: {"IstioAmbientBypassed": 1}, 60: {"IstioAmbientBypassed": 1}},
        ExpectedAlert(
            3,
            POD,
            "shop/web-1 on node node-1 should be in the mesh and is not behind its ztunnel:"
            " strangers may reach its application, also where the mesh is STRICT. The cause:"
            f" {told('outside_mesh')}",
            "docs/diagnosis.md#outside_mesh",
        ),
    ),
    Case(
        "IstioAmbientBypassed",
        "quiet",
        "sidecars have an alert of their own",
        {diagnosis("web-1", "redirection_missing"): "1x30", info("web-1"): "1x30"},
        {4: {}, 7: {"IstioProxyRedirectionMissing": 1}},
    ),
    Case(
        "IstioAmbientBypassed",
        "trap",
        "redirection alone is missing: no alert about proxies, whose cause has the same name",
        {
            **pods("web-{0..9}"),
            cause("web-1", "redirection_missing"): "1x60",
            of("istio_proxy_captured", "web-1", "ambient"): "0x60",
        },
        {3: {"IstioAmbientBypassed": 1}, 60: {"IstioAmbientBypassed": 1}},
    ),
    Case(
        "IstioAmbientHboneBlocked",
        "fires",
        "a NetworkPolicy without 15008",
        {**pods("web-{0..9}"), cause("web-{0..9}", "network_blocked"): "1x60"},
        {9: {}, 12: {"IstioAmbientHboneBlocked": 1}, 60: {"IstioAmbientHboneBlocked": 1}},
        ExpectedAlert(
            12,
            {"namespace": "shop"},
            "15008 of 10 ambient pods in shop is blocked for the exporter, and perhaps for mesh"
            " clients: a NetworkPolicy in ambient has to admit 15008. This one admits it, and the"
            " control port for the exporter; as a namespace's first policy it refuses everything"
            " else. kubectl apply -f - takes it: " + admits_hbone("shop"),
        ),
    ),
    Case(
        "IstioAmbientHboneBlocked",
        "quiet",
        "for a moment",
        {**pods("web-{0..9}"), cause("web-{0..9}", "network_blocked"): "1x8 stale"},
        {60: {}},
    ),
    Case(
        "IstioAmbientHboneBlocked",
        "trap",
        "sidecars are blocked too: an alert each, no member counted twice",
        {
            **pods("web-{0..9}"),
            cause("web-{0..9}", "network_blocked"): "1x60",
            diagnosis("api-{0..9}", "network_blocked"): "1x60",
        },
        {20: {"IstioAmbientHboneBlocked": 1, "IstioProxiesNotJudged": 1}},
    ),
    Case(
        "IstioAmbientCertificateNotRenewed",
        "fires",
        "ztunnel gets no new certificates",
        {**pods("web-{0..9}"), cause("web-1", "certificate_not_renewed"): "1x60"},
        {14: {}, 17: {"IstioAmbientCertificateNotRenewed": 1}},
        ExpectedAlert(
            17,
            POD,
            "The certificate of shop/web-1 is past half of its life, and the ztunnel of node"
            " node-1 still presents it: when it ends, mesh clients are refused. Read that"
            " ztunnel's log for certificate requests, and istiod's.",
        ),
    ),
    Case(
        "IstioAmbientCertificateNotRenewed",
        "quiet",
        "renewed a little late",
        {**pods("web-{0..9}"), cause("web-1", "certificate_not_renewed"): "1x10 stale"},
        {60: {}},
    ),
    Case(
        "IstioAmbientCertificateNotRenewed",
        "trap",
        "the certificate is almost over: no alert about proxies' certificates",
        {
            **pods("web-{0..9}"),
            of(
                "istio_target_certificate_not_before_timestamp_seconds",
                "web-1",
                "ambient",
                certificate="workload",
                source="wire",
            ): f"{-80_000}x60",
            of(
                "istio_target_certificate_expiry_timestamp_seconds",
                "web-1",
                "ambient",
                certificate="workload",
                source="wire",
            ): "6400x60",
            cause("web-1", "certificate_not_renewed"): "1x60",
        },
        {20: {"IstioAmbientCertificateNotRenewed": 1}},
    ),
    Case(
        "IstioZtunnelWorkloadsMissing",
        "fires",
        "a ztunnel was restarted and knows one pod of 15",
        {
            ambient("enabled"): "15x60",
            ztunnel("active"): "15x3 1x60",
            ztunnel("pending"): "0x60",
            **ZTUNNEL,
        },
        {7: {}, 10: {"IstioZtunnelWorkloadsMissing": 1}},
        ExpectedAlert(
            10,
            {"node": "node-1"},
            "14 pods of node node-1 are annotated as redirected, or wait, and its ztunnel does not"
            " serve them; it reports ready. Compare istioctl ztunnel-config workload with the"
            " node's pods, read the logs of istio-cni and ztunnel there, and restart the pods that"
            " are missing.",
        ),
    ),
    Case(
        "IstioZtunnelWorkloadsMissing",
        "fires",
        "a pod could not be started: one alert, and not another of the ztunnel's fault",
        {
            ambient("enabled"): "15x60",
            ztunnel("active"): "15x60",
            ztunnel("pending"): "0x3 1x60",
            diagnosis("ztunnel-1", "ztunnel_workload_pending", "ztunnel", "istio-system"): (
                "_x4 1x60"
            ),
            **ZTUNNEL,
        },
        {7: {}, 10: {"IstioZtunnelWorkloadsMissing": 1}, 60: {"IstioZtunnelWorkloadsMissing": 1}},
        ExpectedAlert(
            10,
            {"node": "node-1"},
            "1 pods of node node-1 are annotated as redirected, or wait, and its ztunnel does not"
            " serve them; it reports ready. Compare istioctl ztunnel-config workload with the"
            " node's pods, read the logs of istio-cni and ztunnel there, and restart the pods that"
            " are missing.",
        ),
    ),
    Case(
        "IstioZtunnelWorkloadsMissing",
        "quiet",
        "pods come and go between two polls of ztunnel",
        {
            ambient("enabled"): "15x3 17x2 16x60",
            ztunnel("active"): "15x5 16x60",
            ztunnel("pending"): "0x3 1x2 0x60",
            **ZTUNNEL,
        },
        {60: {}},
    ),
    Case(
        "IstioZtunnelWorkloadsMissing",
        "trap",
        "an update of the ztunnel: two for a while, and the old one's series end",
        {
            ambient("enabled"): "15x60",
            ztunnel("active"): "15x5 stale",
            info("ztunnel-1", "ztunnel", "istio-system"): "1x5 stale",
            ztunnel("active").replace("ztunnel-1", "ztunnel-2"): "_x4 15x60",
            info("ztunnel-2", "ztunnel", "istio-system"): "_x4 1x60",
        },
        {60: {}},
    ),
    Case(
        "IstioAmbientRedirectionMissing",
        "fires",
        "pods on a node bypass ztunnel",
        {
            ambient("missing"): "3x30",
            ambient("enabled"): "9x30",
        },
        {4: {}, 6: {"IstioAmbientRedirectionMissing": 1}},
        ExpectedAlert(
            6,
            {"namespace": "shop", "node": "node-1"},
            "3 pods of shop on node node-1 are enrolled in ambient but their traffic is not"
            " redirected. Check istio-cni there, then restart the pods.",
        ),
    ),
    Case(
        "IstioAmbientRedirectionMissing",
        "quiet",
        "all are redirected",
        {
            ambient("missing"): "0x30",
            ambient("enabled"): "9x30",
        },
        {30: {}},
    ),
    Case(
        "IstioAmbientRedirectionMissing",
        "trap",
        "pods that have just started get theirs within a minute",
        {ambient("missing"): ("0x5 9x2 0x20")},
        {27: {}},
    ),
    Case(
        "IstioAmbientRedirectionMissing",
        "trap",
        "the pods are targets, which have an alert of their own",
        {
            ambient("missing"): "3x30",
            **pods("web-{0..2}"),
            cause("web-{0..2}", "not_enrolled"): "1x30",
        },
        {3: {"IstioAmbientBypassed": 3}, 30: {"IstioAmbientBypassed": 3}},
    ),
)
