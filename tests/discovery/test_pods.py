"""Pods to targets: a table of documents in the shapes that Istio's injector and charts make."""

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.catalogue import ports_of
from exporter.config import Config, DiscoveryConfig, IstiodConfig, KubernetesConfig
from exporter.discovery.pods import (
    Ignored,
    ambient_redirection,
    decode_pod,
    ignored,
    targets_of_pod,
)
from exporter.model import Interception, Role, Settings, Target, TargetKey

STATUS_ANNOTATION = {
    "sidecar.istio.io/status": '{"containers":["istio-proxy"],"revision":"canary"}'
}
STARTED = "2026-11-23T07:46:14Z"
PROBERS = {
    "/app-health/app/readyz": {"httpGet": {"path": "/ready", "port": 8080}},
    "/app-health/app/livez": {"tcpSocket": {"port": 8080}},
    "/app-lifecycle/app/prestopz": {"httpGet": {"path": "/stop", "port": 8080}},
}

Document = dict[str, Any]


def document(
    *containers: Document,
    inits: tuple[Document, ...] = (),
    labels: dict[str, str] | None = None,
    annotations: dict[str, str] | None = None,
    status: Document | None = None,
    **spec: object,
) -> Document:
    metadata = {
        "name": "cart-7d9c-x2x",
        "namespace": "shop",
        "uid": "603de7be",
        "labels": labels or {},
        "annotations": annotations or {},
    }
    body = {"containers": containers, "initContainers": inits, "nodeName": "node-a", **spec}
    pod: Document = {"kind": "Pod", "metadata": metadata, "spec": body}
    return pod if status is None else {**pod, "status": status}


def app(*ports: int, name: str = "app") -> Document:
    return {"name": name, "image": "app:1", "ports": [{"containerPort": port} for port in ports]}


def proxy(*args: str, env: dict[str, str] | None = None, **more: object) -> Document:
    return {
        "name": "istio-proxy",
        "image": "docker.io/istio/proxyv2:1.28.3",
        "args": ["proxy", *args, "--domain", "$(POD_NAMESPACE).svc.cluster.local"],
        "ports": [{"name": "http-envoy-prom", "containerPort": 15090, "protocol": "TCP"}],
        "env": [
            {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            {"name": "ISTIO_META_APP_CONTAINERS"},
            *({"name": name, "value": value} for name, value in (env or {}).items()),
        ],
        **more,
    }


def rules(mode: str = "REDIRECT", included: str = "*", excluded: str = "") -> Document:
    """istio-init as the injector writes it."""
    ports = ",".join(filter(None, ["15090,15021", excluded, "15020"]))
    flags = ["-p", "15001", "-z", "15006", "-u", "1337", "-m", mode, "-i", "*", "-x", ""]
    return {"name": "istio-init", "args": ["istio-iptables", *flags, "-b", included, "-d", ports]}


def sidecar(env: dict[str, str] | None = None, **more: Any) -> Document:
    inits = more.pop("inits", (rules(),))
    annotations = STATUS_ANNOTATION | more.pop("annotations", {})
    return document(
        app(8080), proxy("sidecar", env=env), inits=inits, annotations=annotations, **more
    )


def proxy_config(**config: object) -> dict[str, str]:
    return {"PROXY_CONFIG": json.dumps(config) + "\n"}


def targets(pod: Document, config: Config | None = None) -> tuple[Target, ...]:
    return targets_of_pod(decode_pod(json.dumps(pod).encode()), config)


def target(pod: Document, config: Config | None = None) -> Target:
    (found,) = targets(pod, config)
    return found


def settings(pod: Document) -> Settings:
    return target(pod).settings


NATIVE = {**proxy("sidecar"), "restartPolicy": "Always"}
ISTIOD = {
    "name": "discovery",
    "image": "docker.io/istio/pilot:1.28.3-distroless",
    "args": ["discovery", "--monitoringAddr=:15014"],
    "env": [{"name": "REVISION", "value": "canary"}, {"name": "CLUSTER_ID", "value": "east"}],
}
ZTUNNEL = {"name": "istio-proxy", "image": "istio/ztunnel:1.28.3", "args": ["proxy", "ztunnel"]}
GATEWAY_API = {
    "gateway.networking.k8s.io/gateway-name": "web",
    "gateway.istio.io/managed": "istio.io-gateway-controller",
    "sidecar.istio.io/inject": "false",
}


@pytest.mark.parametrize(
    ("pod", "role"),
    [
        pytest.param(document(app(8080), proxy()), Role.SIDECAR, id="no-role-argument"),
        pytest.param(
            document({"name": "istio-proxy"}, labels={"app": "ztunnel"}),
            Role.ZTUNNEL,
            id="ztunnel-without-arguments",
        ),
        pytest.param(
            document(proxy("sidecar", env={"DISABLE_ENVOY": "1"})), Role.PROXYLESS, id="proxyless"
        ),
    ],
)
def test_role_is_recognised(pod: Document, role: Role) -> None:
    assert target(pod).role == role


def test_document_without_a_spec_is_no_target() -> None:
    assert targets({"metadata": {"name": "a"}}) == ()


METADATA = {
    "ENVOY_PROMETHEUS_PORT": "16090",
    "ENVOY_STATUS_PORT": "16021",
    "ENVOY_SECURE_METRICS_PORT": 15091,
    "ENVOY_SECURE_MERGED_METRICS_PORT": "15092",
    "METRICS_LOCALHOST_ACCESS_ONLY": True,
    "ISTIO_META_DNS_CAPTURE": "true",
    "ISTIO_META_ENABLE_HBONE": "true",
    "PROXY_XDS_DEBUG_VIA_AGENT": "false",
}
EXPECTED = {
    "stats_port": 16090,
    "health_port": 16021,
    "secure_stats_port": 15091,
    "secure_merged_port": 15092,
    "metrics_localhost_only": True,
    "dns_capture": True,
    "hbone": True,
    "xds_debug": False,
}
STATUS_PORT = "status.sidecar.istio.io/port"
CONFIG = "proxy.istio.io/config"
MODE = "sidecar.istio.io/interceptionMode"
TRAFFIC = "traffic.sidecar.istio.io/"
AS_TEXT = {name: str(value).lower() for name, value in METADATA.items()}


@pytest.mark.parametrize(
    ("pod", "expected"),
    [
        pytest.param(sidecar(), {}, id="defaults"),
        pytest.param(sidecar(env=proxy_config(proxyMetadata=METADATA)), EXPECTED, id="metadata"),
        pytest.param(sidecar(env=AS_TEXT), EXPECTED, id="environment"),
        pytest.param(
            sidecar(annotations={CONFIG: json.dumps({"proxyMetadata": METADATA})}),
            EXPECTED,
            id="annotation",
        ),
        pytest.param(
            sidecar(env=proxy_config(proxyAdminPort=15100, statusPort=15120)),
            {"admin_port": 15100, "status_port": 15120, "excluded_inbound_ports": (15020,)},
            id="proxy-config",
        ),
        pytest.param(
            sidecar(
                env=proxy_config(proxyAdminPort=15100),
                annotations={CONFIG: "proxyAdminPort: 15200\n"},
            ),
            {"admin_port": 15200},
            id="annotation-over-environment",
        ),
        pytest.param(
            sidecar(
                inits=(),
                env=proxy_config(statusPort=15120),
                annotations={STATUS_PORT: "15220", CONFIG: "statusPort: 15320"},
            ),
            {"status_port": 15220},
            id="status-annotation-over-all",
        ),
        pytest.param(
            sidecar(inits=(), annotations={STATUS_PORT: "0"}), {"status_port": 0}, id="status-off"
        ),
        pytest.param(
            sidecar(inits=(rules(excluded="9999,15000"),)),
            {"excluded_inbound_ports": (9999, 15000)},
            id="excluded",
        ),
        pytest.param(
            sidecar(
                inits=(rules(excluded="9999"),),
                annotations={TRAFFIC + "excludeInboundPorts": "7777"},
            ),
            {"excluded_inbound_ports": (9999,)},
            id="what-was-written-outranks-the-annotation",
        ),
        pytest.param(
            sidecar(inits=(), annotations={TRAFFIC + "excludeInboundPorts": "7777, 8888"}),
            {"excluded_inbound_ports": (7777, 8888)},
            id="excluded-with-cni",
        ),
        pytest.param(
            sidecar(inits=(rules(included="8080"),)),
            {"included_inbound_ports": (8080,)},
            id="included",
        ),
        pytest.param(
            sidecar(inits=(), annotations={TRAFFIC + "includeInboundPorts": ""}),
            {"included_inbound_ports": ()},
            id="included-none-with-cni",
        ),
        pytest.param(
            sidecar(inits=(rules(mode="TPROXY"),)),
            {"interception": Interception.TPROXY},
            id="tproxy",
        ),
        pytest.param(
            sidecar(inits=(), annotations={MODE: "NONE"}),
            {"interception": Interception.NONE},
            id="interception-annotation",
        ),
        pytest.param(
            sidecar(inits=(), env=proxy_config(interceptionMode="TPROXY")),
            {"interception": Interception.TPROXY},
            id="interception-proxy-config",
        ),
        pytest.param(
            sidecar(
                inits=(
                    {
                        "name": "istio-init",
                        "command": ["pilot-agent", "istio-iptables"],
                        "args": ["--envoy-port=16001", "--inbound-capture-port", "16006"],
                    },
                )
            ),
            {"outbound_port": 16001, "inbound_port": 16006},
            id="long-flags",
        ),
        pytest.param(
            sidecar(env={"ISTIO_KUBE_APP_PROBERS": json.dumps(PROBERS)}),
            {"app_probe_paths": ("/app-health/app/livez", "/app-health/app/readyz")},
            id="application-probes-without-lifecycle",
        ),
        pytest.param(
            document(app(9000, 8080), proxy("sidecar"), app(9001, 9001, name="two")),
            {"app_ports": (8080, 9000, 9001)},
            id="many-containers",
        ),
        pytest.param(
            document({**app(), "ports": [{"containerPort": 53, "protocol": "UDP"}]}, proxy()),
            {"app_ports": ()},
            id="udp",
        ),
        pytest.param(
            sidecar(
                env={
                    "PROXY_CONFIG": "{",
                    "ENVOY_STATUS_PORT": "many",
                    "ISTIO_META_DNS_CAPTURE": "",
                },
                annotations={CONFIG: "- [a", STATUS_PORT: "99999", MODE: "SOMETIMES"},
            ),
            {},
            id="malformed-parts-count-as-absent",
        ),
        pytest.param(
            sidecar(env=proxy_config(proxyMetadata=["a"], proxyAdminPort=True, statusPort=-1)),
            {},
            id="wrong-types-count-as-absent",
        ),
    ],
)
def test_settings_are_read_from_the_spec(pod: Document, expected: dict[str, Any]) -> None:
    usual: dict[str, Any] = {"app_ports": (8080,)}
    assert settings(pod) == Settings(**{**usual, **expected})


def test_gateway_ports_are_the_ones_it_declares_itself() -> None:
    declared = [{"containerPort": port} for port in (15020, 15021, 15090, 8443, 8080)]
    found = settings(document(proxy("router", ports=declared)))
    assert (found.app_ports, found.server_ports) == ((8080, 8443), ())


def test_dns_of_a_gateway_is_the_server_not_the_capture() -> None:
    capture = settings(document(proxy("router", env={"ISTIO_META_DNS_CAPTURE": "true"})))
    server = settings(document(proxy("router", env={"ISTIO_META_ENABLE_DNS_SERVER": "true"})))
    assert (capture.dns_capture, server.dns_capture) == (False, True)


def test_ztunnel_has_its_own_key_for_the_stats_port() -> None:
    env = proxy_config(statsPort=15120, statusPort=15220, proxyAdminPort=15100)
    found = settings(document(proxy("ztunnel", env=env)))
    assert (found.status_port, found.admin_port) == (15120, 15100)


def test_status_server_that_is_off_is_not_expected() -> None:
    found = target(sidecar(inits=(), annotations={STATUS_PORT: "0"}))
    assert [port.number for port in ports_of(found)] == [15000, 15001, 15006, 15021, 15090]


def test_a_pod_says_who_it_is() -> None:
    env = {"ISTIO_META_WORKLOAD_NAME": "cart", "ISTIO_META_CLUSTER_ID": "east"}
    found = target(sidecar(env=env, labels={"app": "cart"}, annotations={"istio.io/rev": "canary"}))
    assert found.key == TargetKey("shop", "cart-7d9c-x2x")
    assert (found.uid, found.node, found.workload) == ("603de7be", "node-a", "cart")
    assert (found.revision, found.cluster_id, found.labels) == ("canary", "east", {"app": "cart"})
    assert (found.istio_version, found.native_sidecar) == ("1.28.3", False)


@pytest.mark.parametrize(
    ("account", "namespaces", "trusted"),
    [
        ("istiod", ("shop",), True),
        ("istiod-canary", ("istio-system", "shop"), True),
        ("istiod", ("istio-system",), False),
        ("default", ("shop",), False),
    ],
)
def test_istiod_is_trusted_by_namespace_and_account(
    account: str,
    namespaces: tuple[str, ...],
    trusted: bool,
) -> None:
    pod = document(ISTIOD, labels={"app": "istiod"}, serviceAccountName=account)
    config = Config(istiod=IstiodConfig(namespaces=namespaces))
    assert target(pod, config).trusted is trusted


def test_sidecar_is_never_trusted() -> None:
    config = Config(istiod=IstiodConfig(namespaces=("shop",)))
    assert not target(sidecar(serviceAccountName="istiod"), config).trusted


def test_managed_istiod_is_no_target() -> None:
    config = Config(istiod=IstiodConfig(mode="none"))
    assert targets(document(ISTIOD, labels={"app": "istiod"}), config) == ()


def test_only_wanted_roles_become_targets() -> None:
    kubernetes = KubernetesConfig(roles=(Role.GATEWAY, Role.ISTIOD))
    config = Config(discovery=DiscoveryConfig(kubernetes=kubernetes))
    assert targets(sidecar(), config) == ()
    assert target(document(proxy("router")), config).role is Role.GATEWAY


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("true", Ignored(entirely=True)),
        (" True ", Ignored(entirely=True)),
        ("15090", Ignored(ports=(15090,))),
        ("15090, 9080,", Ignored(ports=(15090, 9080))),
        ("false", Ignored()),
        ("", Ignored()),
    ],
)
def test_ignore_annotation_is_read(text: str, expected: Ignored) -> None:
    assert ignored(text) == expected


def test_pod_and_namespace_may_opt_out() -> None:
    pod = sidecar(annotations={"istio-port-exporter/ignore": "15090,15021"})
    read = decode_pod(json.dumps(pod).encode())
    (found,) = targets_of_pod(read, namespace_ignore="15021,15020")
    assert found.ignored_ports == (15021, 15020, 15090)
    assert targets_of_pod(read, namespace_ignore="true") == ()
    assert targets(sidecar(annotations={"istio-port-exporter/ignore": "true"})) == ()


MODE_LABEL = "istio.io/dataplane-mode"
AMBIENT = {MODE_LABEL: "ambient"}
ENABLED = {"ambient.istio.io/redirection": "enabled"}


@pytest.mark.parametrize(
    ("pod", "namespace_labels", "redirection"),
    [
        pytest.param(document(app(), annotations=ENABLED), AMBIENT, "enabled", id="by-namespace"),
        pytest.param(
            document(app(), labels=AMBIENT, annotations=ENABLED), {}, "enabled", id="by-pod"
        ),
        pytest.param(document(app()), AMBIENT, "missing", id="bypassed"),
        pytest.param(
            document(app(), annotations={"ambient.istio.io/redirection": "pending"}),
            AMBIENT,
            "missing",
            id="pending",
        ),
        pytest.param(document(app(), labels={MODE_LABEL: "none"}), AMBIENT, "", id="opted-out"),
        pytest.param(sidecar(), AMBIENT, "", id="sidecar"),
        pytest.param(document(app(), hostNetwork=True), AMBIENT, "", id="host-network"),
        pytest.param(document(app(), status={"phase": "Failed"}), AMBIENT, "", id="ended"),
        pytest.param(document(app()), {}, "", id="not-enrolled"),
    ],
)
def test_ambient_redirection_of_a_pod(
    pod: Document, namespace_labels: dict[str, str], redirection: str
) -> None:
    read = decode_pod(json.dumps(pod).encode())
    assert ambient_redirection(read, namespace_labels) == redirection


@given(st.text(), st.text(), st.text())
def test_no_text_in_a_pod_breaks_discovery(config: str, annotation: str, port: str) -> None:
    pod = sidecar(
        inits=(rules(included=port, excluded=annotation),),
        env={
            "PROXY_CONFIG": config,
            "ISTIO_KUBE_APP_PROBERS": annotation,
            "ENVOY_STATUS_PORT": port,
        },
        annotations={CONFIG: annotation, STATUS_PORT: port, TRAFFIC + "excludeInboundPorts": port},
    )
    assert target(pod).role is Role.SIDECAR


BOMB = "\n".join(
    [
        "proxyMetadata:",
        "  a: &a [x, x, x, x, x, x, x, x]",
        *(f"  {b}: &{b} [{', '.join([f'*{a}'] * 8)}]" for a, b in pairwise("abcdefgh")),
        "statusPort: 16000",
    ]
)


@pytest.mark.parametrize(
    "text",
    [
        BOMB,
        "a: &a {b: c}\nstatusPort: 16000\nd: *a",
        "statusPort: 16000\n# " + "x" * 65536,
        "statusPort: 16000\na: " + "[" * 60000,
        "statusPort: 16000\na: !!int ''",
        "statusPort: 16000\na: !!bool x",
        "statusPort: 16000\na: " + "1:" * 300 + "1.0",
    ],
    ids=["bomb", "alias", "large", "deep", "empty number", "bad boolean", "overflow"],
)
def test_hostile_proxy_config_counts_as_absent(text: str) -> None:
    found = settings(sidecar(annotations={"proxy.istio.io/config": text}))
    assert found.status_port == 15020


def test_proxy_metadata_is_plain_values_only() -> None:
    text = "proxyMetadata: {ENVOY_STATUS_PORT: 16021, ENVOY_PROMETHEUS_PORT: [1], a: 0x"
    text += "F" * 5000
    found = settings(sidecar(annotations={"proxy.istio.io/config": text + "}"}))
    assert (found.health_port, found.stats_port) == (16021, 15090)


def test_ignored_ports_of_many_digits_are_none() -> None:
    assert ignored("15090, " + "1" * 5000) == Ignored(ports=(15090,))
