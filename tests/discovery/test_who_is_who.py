"""What a pod is, and which of its ports are Istio's, where names alone would mislead."""

import pytest

from exporter.catalogue import ExtraPort, control_port, is_captured, ports_of
from exporter.model import Component, Expectation, Role, Target
from tests.discovery.pod_builders import (
    STATUS_ANNOTATION,
    Document,
    app,
    document,
    proxy,
    proxy_config,
    rules,
    sidecar,
    targets,
)

STATUS_PORT = "status.sidecar.istio.io/port"
EXCLUDED = "traffic.sidecar.istio.io/excludeInboundPorts"
WAYPOINT_CLASS = {"gateway.networking.k8s.io/gateway-class-name": "istio-agentgateway-waypoint"}


def install_cni(image: str, *args: str, labels: dict[str, str] | None = None) -> Document:
    return document({"name": "install-cni", "image": image, "args": list(args)}, labels=labels)


@pytest.mark.parametrize(
    ("pod", "is_istio"),
    [
        pytest.param(install_cni("istio/install-cni:1.28.1"), True, id="istio's image"),
        *[
            pytest.param(
                document(
                    {"name": name, "image": "registry/openshift-service-mesh/istio-cni-rhel8:2.6"}
                ),
                is_istios,
                id=name,
            )
            for name, is_istios in (
                ("install-cni-v2-6", True),
                ("install-cni-v2-4", True),
                ("install-cni-plugin", False),
            )
        ],
        pytest.param(install_cni("gcr.io/asm/install-cni:1.17.8-asm.4"), True, id="a vendor's"),
        pytest.param(
            install_cni("registry.redhat.io/openshift-service-mesh/cni@sha256:00"),
            True,
            id="openshift's by digest",
        ),
        pytest.param(
            install_cni("mirror/net@sha256:00", labels={"k8s-app": "istio-cni-node"}),
            True,
            id="the chart's label",
        ),
        pytest.param(
            install_cni("mirror/net@sha256:00", "--log_output_level=info"), True, id="a flag"
        ),
        pytest.param(
            install_cni("cr.l5d.io/linkerd/cni-plugin:v1.5.0", labels={"k8s-app": "linkerd-cni"}),
            False,
            id="linkerd",
        ),
        pytest.param(install_cni("kumahq/kuma-cni:2.9.0"), False, id="kuma"),
        pytest.param(
            install_cni("kumahq/install-cni:0.0.10", labels={"k8s-app": "kuma-cni-node"}),
            False,
            id="kuma's earlier image",
        ),
        pytest.param(
            install_cni(
                "hashicorp/consul-k8s-control-plane:1.6",
                "consul-k8s-control-plane",
                "install-cni",
                "-log-level=info",
            ),
            False,
            id="consul",
        ),
        pytest.param(install_cni("mirror/net@sha256:00"), False, id="nothing tells"),
    ],
)
def test_install_cni_is_istios_by_image_argument_or_label(pod: Document, *, is_istio: bool) -> None:
    assert [target.role for target in targets(pod)] == ([Role.CNI] if is_istio else [])


KGATEWAY = "cr.agentgateway.dev/agentgateway:1.0"
CLASS = "gateway.networking.k8s.io/gateway-class-name"
MANAGED = "gateway.istio.io/managed"
PILOT = "gcr.io/istio-release/pilot:1.26.0"


@pytest.mark.parametrize(
    ("name", "image", "args", "labels", "role"),
    [
        ("agentgateway", "istio/agentgateway:1.31.0", (), {}, Role.AGENTGATEWAY),
        ("agentgateway", KGATEWAY, (), {CLASS: "istio-agentgateway"}, Role.AGENTGATEWAY),
        ("agentgateway", KGATEWAY, (), {MANAGED: "istio.io-mesh-controller"}, Role.AGENTGATEWAY),
        ("agentgateway", KGATEWAY, (), {CLASS: "agentgateway"}, None),
        ("agentgateway", KGATEWAY, (), {}, None),
        ("discovery", PILOT, (), {"app": "istiod"}, Role.ISTIOD),
        ("discovery", "quay.io/solo-io/discovery:1.15", ("discovery",), {"gloo": "x"}, None),
        ("install-cni", "r/istio-mirror/linkerd/cni-plugin:v1", (), {}, None),
        ("install-cni", "r/kong-mirror/istio/install-cni:1.28.1", (), {}, Role.CNI),
        ("gateway-proxy", "quay.io/solo-io/gloo-envoy-wrapper:1.15", (), {}, None),
        ("kgateway-proxy", "cr.kgateway.dev/envoy-wrapper:v2", (), {}, None),
        ("linkerd-proxy", "cr.l5d.io/linkerd/proxy:edge", (), {}, None),
    ],
)
def test_a_name_that_others_have_too_is_istios_by_label_argument_or_image(
    name: str, image: str, args: tuple[str, ...], labels: dict[str, str], role: Role | None
) -> None:
    pod = document({"name": name, "image": image, "args": list(args)}, labels=labels)
    assert [target.role for target in targets(pod)] == ([role] if role else [])


def test_the_proxy_that_serves_gloo_its_certificates_is_no_captured_sidecar() -> None:
    gloo = {"name": "gateway-proxy", "image": "quay.io/solo-io/gloo-envoy-wrapper:1.15"}
    pod = document(gloo, proxy("sidecar"))
    assert [(one.role, one.captured) for one in targets(pod)] == [(Role.SIDECAR, False)]


def the_target(pod: Document) -> Target:
    (target,) = targets(pod)
    return target


def agentgateway(labels: dict[str, str]) -> Document:
    return document({"name": "agentgateway", "image": "istio/agentgateway:1.31.0"}, labels=labels)


@pytest.mark.parametrize(
    ("labels", "ports"),
    [
        ({}, {15020, 15021}),
        ({"gateway.istio.io/managed": "istio.io-agentgateway-controller"}, {15020, 15021}),
        (WAYPOINT_CLASS, {15008, 15020, 15021}),
        ({"gateway.istio.io/managed": "istio.io-mesh-controller"}, {15008, 15020, 15021}),
        (
            {"gateway.istio.io/managed": "istio.io-agentgateway-waypoint-controller"},
            {15008, 15020, 15021},
        ),
    ],
)
def test_an_agentgateway_serves_hbone_as_a_waypoint_only(
    labels: dict[str, str], ports: set[int]
) -> None:
    assert {port.number for port in ports_of(the_target(agentgateway(labels)))} == ports


def test_ports_of_a_second_container_in_a_gateway_pod_are_the_applications() -> None:
    gateway = proxy("router", ports=[{"containerPort": port} for port in (8443, 15090)])
    target = the_target(document(app(4180), gateway))
    servers = {p.number for p in ports_of(target) if p.component is Component.GATEWAY}
    with_apps = {port.number: port.component for port in ports_of(target, applications=True)}
    assert (servers, with_apps[4180]) == ({8443}, "app")


@pytest.mark.parametrize(
    ("pod", "captured"),
    [
        pytest.param(sidecar(), True, id="injected with istio-init"),
        pytest.param(sidecar(inits=()), True, id="injected for istio-cni"),
        pytest.param(
            document(app(8080), proxy("sidecar"), inits=(rules(),)), True, id="by hand with rules"
        ),
        pytest.param(document(app(8080), proxy("sidecar")), False, id="by hand without rules"),
    ],
)
def test_a_sidecar_is_captured_where_something_writes_its_rules(
    pod: Document, *, captured: bool
) -> None:
    target = the_target(pod)
    assert target.captured is captured
    assert any(port.captured for port in ports_of(target)) is captured


BY_CONFIG = proxy_config(statusPort=15120)
WITH_HBONE = {"ISTIO_META_ENABLE_HBONE": "true"}


def validation(excluded: str) -> Document:
    """istio-validation, which the injector writes in the place of istio-init for istio-cni."""
    flags = ["-b", "*", "-d", excluded, "--run-validation", "--skip-rule-apply"]
    return {"name": "istio-validation", "args": ["istio-iptables", *flags]}


def test_the_control_port_is_none_that_a_range_leaves_alone() -> None:
    target = the_target(sidecar(inits=(rules(excluded="15990:16010"),)))
    assert control_port(target, 15999) == 15989


@pytest.mark.parametrize(
    ("pod", "captured"),
    [
        pytest.param(sidecar(), {15020: False, 15021: False, 15090: False}, id="as it comes"),
        pytest.param(sidecar(env=BY_CONFIG), {15120: True, 15020: False}, id="ProxyConfig"),
        pytest.param(
            sidecar(env=BY_CONFIG, inits=()), {15120: True, 15020: False}, id="ProxyConfig, cni"
        ),
        pytest.param(
            sidecar(env=BY_CONFIG, inits=(rules(excluded="15120"),)),
            {15120: False},
            id="ProxyConfig, excluded by the user",
        ),
        pytest.param(
            sidecar(env=BY_CONFIG, inits=(), annotations={EXCLUDED: "15120"}),
            {15120: False},
            id="ProxyConfig, excluded by the user, cni",
        ),
        pytest.param(
            sidecar(inits=(), annotations={STATUS_PORT: "15120"}),
            {15120: False, 15020: False},
            id="annotation, cni",
        ),
        pytest.param(
            sidecar(inits=(rules(excluded="9000:9100"),)),
            {8999: True, 9000: False, 9100: False, 9101: True},
            id="a range is excluded",
        ),
        pytest.param(
            sidecar(inits=(validation("15090,15021,15120"),)),
            {15020: False, 15021: False, 15090: False},
            id="Helm moved the status port, cni excludes the usual one too",
        ),
        pytest.param(
            sidecar(
                inits=(validation("15090,15021,15020"),), annotations={EXCLUDED: "9000, 9100:9110"}
            ),
            {9000: False, 9105: False, 9001: True, 15020: False},
            id="the annotation, which istio-cni reads, names more than istio-validation's flags",
        ),
        pytest.param(
            sidecar(
                env=BY_CONFIG,
                inits=(validation("15090,15021,15020"),),
                annotations={EXCLUDED: "15120"},
            ),
            {15120: False, 15020: False},
            id="moved by ProxyConfig, excluded by the annotation that istio-cni reads",
        ),
        pytest.param(
            sidecar(env={"ENVOY_STATUS_PORT": "16021"}),
            {16021: True, 15021: False, 15090: False},
            id="15021 moved by its variable",
        ),
        *(
            pytest.param(
                sidecar(env=WITH_HBONE | mode, inits=inits),
                {15008: captures, 15021: False, 8080: True},
                id=f"15008 has a rule in the table of REDIRECT alone: {why}",
            )
            for why, mode, inits, captures in (
                ("REDIRECT", {}, (rules(),), False),
                ("TPROXY", {}, (rules("TPROXY"),), True),
                ("REDIRECT, cni", {}, (), False),
                ("TPROXY, cni", {"ISTIO_META_INTERCEPTION_MODE": "TPROXY"}, (), True),
                ("REDIRECT, included", {}, (rules(included="15008,8080"),), False),
                ("TPROXY, included", {}, (rules("TPROXY", included="15008,8080"),), True),
                ("TPROXY, not included", {}, (rules("TPROXY", included="8080"),), False),
            )
        ),
    ],
)
def test_capture_is_what_wrote_the_rules_port_by_port(
    pod: Document, captured: dict[int, bool]
) -> None:
    target = the_target(pod)
    assert {port: is_captured(port, target) for port in captured} == captured


IN_AMBIENT = {"ambient.istio.io/redirection": "enabled"}


@pytest.mark.parametrize(
    ("annotations", "captured"),
    [
        ({}, False),
        (IN_AMBIENT, True),
        ({"ambient.istio.io/redirection": "pending"}, False),
        (IN_AMBIENT | {"ambient.istio.io/bypass-inbound-capture": "true"}, False),
    ],
)
@pytest.mark.parametrize("role", ["router", "waypoint"])
def test_in_ambient_a_bare_connect_to_a_gateway_proves_nothing(
    role: str, annotations: dict[str, str], *, captured: bool
) -> None:
    target = the_target(document(proxy(role), annotations=annotations))
    own = tuple(
        ExtraPort(port=80 + add, role=target.role, probe=probe, expect=Expectation.OPEN)
        for add, probe in enumerate(("tcp", "http"))
    )
    found = {port.number: port.captured for port in ports_of(target, own)}
    assert (found[80], found[81], found[15021]) == (captured, False, False)


@pytest.mark.parametrize("name", ["sidecar", "router", "waypoint"])
@pytest.mark.parametrize(
    ("tag", "has_tap"), [("1.9.9", False), ("1.11.0", True), ("1.24.6", True), ("1.25.0", False)]
)
def test_the_debug_tap_is_expected_from_1_11_to_1_24(name: str, tag: str, *, has_tap: bool) -> None:
    pod = document(proxy(name, image=f"istio/proxyv2:{tag}"), annotations=STATUS_ANNOTATION)
    assert any(port.number == 15004 for port in ports_of(the_target(pod))) is has_tap


@pytest.mark.parametrize(("tag", "bind"), [("1.20.8", "open"), ("1.22.0", "loopback")])
def test_metrics_stay_on_loopback_since_1_22(tag: str, bind: str) -> None:
    variable = {"METRICS_LOCALHOST_ACCESS_ONLY": "true"}
    pod = document(
        proxy("sidecar", env=variable, image=f"istio/proxyv2:{tag}"), annotations=STATUS_ANNOTATION
    )
    found = {port.number: str(port.expectation) for port in ports_of(the_target(pod))}
    assert found[15090] == bind


@pytest.mark.parametrize(("tag", "serves"), [("1.9.9", False), ("1.11.0", True)])
def test_the_node_agent_serves_metrics_since_1_11(tag: str, *, serves: bool) -> None:
    found = ports_of(the_target(install_cni(f"istio/install-cni:{tag}")))
    assert any(port.number == 15014 for port in found) is serves


CHART = {"app.kubernetes.io/part-of": "istio", "app.kubernetes.io/version": "1.28.1"}
BY_DIGEST = "registry.example/mesh/image@sha256:00"


def istiod(image: str, labels: dict[str, str] | None = None, *args: str) -> Document:
    container = {"name": "discovery", "image": image, "args": ["discovery", *args]}
    return document(container, labels={"app": "istiod", **(labels or {})})


@pytest.mark.parametrize(
    ("pod", "version"),
    [
        pytest.param(istiod("istio/pilot:1.28.10-distroless"), "1.28.10", id="variant"),
        pytest.param(istiod("mesh/pilot-rhel8:2.6.3"), "1.20", id="a vendor's own number"),
        pytest.param(istiod(BY_DIGEST), "", id="digest"),
        pytest.param(istiod(BY_DIGEST, CHART), "1.28.1", id="digest with the chart's label"),
        pytest.param(
            istiod(BY_DIGEST, CHART | {"app.kubernetes.io/part-of": "shop"}), "", id="others' label"
        ),
        pytest.param(istiod(BY_DIGEST, {"maistra-version": "2.6.3"}), "1.20", id="maistra's label"),
        pytest.param(
            document(proxy("router", image=BY_DIGEST), labels={"maistra-version": "2.5.1"}),
            "1.18",
            id="maistra's label on a gateway",
        ),
        pytest.param(
            document(
                proxy("sidecar", image=BY_DIGEST), labels=CHART, annotations=STATUS_ANNOTATION
            ),
            "",
            id="a sidecar's labels are its application's",
        ),
        pytest.param(
            document(
                proxy("sidecar", image=BY_DIGEST, env={"ISTIO_META_ISTIO_VERSION": "1.27.6"}),
                annotations=STATUS_ANNOTATION,
            ),
            "1.27.6",
            id="the proxy's own metadata",
        ),
    ],
)
def test_the_version_is_istios_and_plain(pod: Document, version: str) -> None:
    assert the_target(pod).istio_version == version
