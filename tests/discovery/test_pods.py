"""Pods to targets: roles, identity, trust, ignore annotations, ambient redirection."""

import json

import pytest

from exporter.config import Config, DiscoveryConfig, IstiodConfig, KubernetesConfig
from exporter.discovery.ambient_pods import ambient_redirection, is_ambient_namespace
from exporter.discovery.pod_documents import decode_pod
from exporter.discovery.pods import Ignored, ignored, targets_of_pod
from exporter.model import Role, TargetKey
from tests.discovery.pod_builders import (
    Document,
    app,
    document,
    proxy,
    sidecar,
    target,
    targets,
)

ISTIOD = {
    "name": "discovery",
    "image": "docker.io/istio/pilot:1.28.3-distroless",
    "args": ["discovery", "--monitoringAddr=:15014"],
    "env": [{"name": "REVISION", "value": "canary"}, {"name": "CLUSTER_ID", "value": "east"}],
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


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_a_pod_that_has_ended_is_a_target_only_while_its_deletion_is_held(phase: str) -> None:
    status = {"phase": phase, "podIP": "10.0.0.3", "podIPs": [{"ip": "10.0.0.3"}]}
    ended = sidecar() | {"status": status}
    assert targets(ended) == ()
    ended["metadata"] |= {"deletionTimestamp": "2026-11-26T10:00:00Z"}
    # Its address is free for another pod: nothing that answers there is its own.
    assert target(ended).addresses == ()
    assert targets(document(app(8080), status=status)) == ()


def test_a_target_has_the_identity_of_its_pod() -> None:
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
            "pending",
            id="pending",
        ),
        pytest.param(document(app(), labels={MODE_LABEL: "none"}), AMBIENT, "", id="opted-out"),
        pytest.param(document(app(), labels={MODE_LABEL: ""}), AMBIENT, "missing", id="no-mode"),
        pytest.param(
            document(app(), labels={MODE_LABEL: "on"}), AMBIENT, "missing", id="other-mode"
        ),
        pytest.param(document(app(), labels={MODE_LABEL: "on"}), {}, "", id="other-mode-alone"),
        pytest.param(sidecar(), AMBIENT, "", id="sidecar"),
        pytest.param(document(app(), hostNetwork=True), AMBIENT, "", id="host-network"),
        pytest.param(document(app(), status={"phase": "Failed"}), AMBIENT, "", id="ended"),
        pytest.param(document(app()), {}, "", id="not-enrolled"),
        pytest.param(
            document(app(), annotations={"ambient.istio.io/redirection": "enabled"}),
            {},
            "enabled",
            id="enrolled by other selectors",
        ),
    ],
)
def test_ambient_redirection_of_a_pod(
    pod: Document, namespace_labels: dict[str, str], redirection: str
) -> None:
    read = decode_pod(json.dumps(pod).encode())
    is_ambient = is_ambient_namespace(namespace_labels)
    assert ambient_redirection(read, in_ambient_namespace=is_ambient) == redirection


def test_ignored_ports_of_many_digits_are_none() -> None:
    assert ignored("15090, " + "1" * 5000) == Ignored(ports=(15090,))


@pytest.mark.parametrize(
    ("probe", "seconds"),
    [
        (None, None),
        ({}, 30.0),
        ({"periodSeconds": 15, "failureThreshold": 4}, 60.0),
        ({"periodSeconds": -5, "failureThreshold": 10**30}, 10**9),
    ],
)
def test_the_readiness_probe_tells_how_long_a_failure_takes_to_show(
    probe: dict[str, int] | None, seconds: float | None
) -> None:
    container = proxy() if probe is None else {**proxy(), "readinessProbe": probe}
    assert target(document(app(8080), container)).lifecycle.unready_after == seconds


@pytest.mark.parametrize(
    ("endpoint", "port"),
    [
        ({"path": "/healthz/ready", "port": 15021}, 15021),
        ({"port": "15021"}, 15021),
        ({"port": "status-port"}, 0),
        ({"port": 10**30}, 0),
        ({}, 0),
        (None, 0),
    ],
)
def test_the_readiness_probe_shows_which_port_the_kubelet_requests(
    endpoint: dict[str, object] | None, port: int
) -> None:
    container = {**proxy(), "readinessProbe": {"httpGet": endpoint, "periodSeconds": 15}}
    assert target(document(app(8080), container)).lifecycle.probed_port == port


@pytest.mark.parametrize(("seconds", "delay"), [(None, 0), (300, 300), (-5, 0), (10**30, 10**9)])
def test_the_readiness_probe_begins_after_its_delay(seconds: int | None, delay: float) -> None:
    container = {**proxy(), "readinessProbe": {"initialDelaySeconds": seconds}}
    assert target(document(app(8080), container)).lifecycle.probe_delay == delay
