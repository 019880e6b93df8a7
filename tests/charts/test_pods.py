"""The pods: outside of the mesh, restricted, and root on the node only to enter namespaces."""

from pathlib import Path

import pytest

from tests.charts.render import Document, ci_files, of_kind, pod_specs, render, values_of

FILES = pytest.mark.parametrize("file", ci_files(), ids=lambda file: file.stem)
REASONED = {"SYS_ADMIN", "SYS_PTRACE", "DAC_READ_SEARCH"}
"""The capabilities that values.yaml gives a reason for."""


def templates(documents: list[Document]) -> list[Document]:
    found = of_kind(documents, "Deployment", "StatefulSet", "DaemonSet")
    return [row["spec"]["template"] for row in found]


def is_inside(pod: Document) -> bool:
    return bool(pod.get("hostPID"))


@FILES
def test_no_proxy_of_our_own_is_in_between(file: Path) -> None:
    for template in templates(render(values_of(file))):
        assert template["metadata"]["labels"]["sidecar.istio.io/inject"] == "false"
        assert template["metadata"]["labels"]["istio.io/dataplane-mode"] == "none"
        assert template["metadata"]["annotations"]["sidecar.istio.io/inject"] == "false"


@FILES
def test_pods_keep_to_the_restricted_profile(file: Path) -> None:
    for pod in pod_specs(render(values_of(file))):
        if is_inside(pod):
            continue
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in pod["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
        assert not any("hostPath" in volume for volume in pod["volumes"])


def test_only_a_daemonset_is_root_and_with_named_capabilities() -> None:
    inside, beside = pod_specs(render({"mode": "daemonset"}))
    (container,) = inside["containers"]

    assert (is_inside(inside), is_inside(beside)) == (True, False)
    assert inside["securityContext"]["runAsUser"] == 0
    assert set(container["securityContext"]["capabilities"]["add"]) == REASONED
    assert container["securityContext"]["capabilities"]["drop"] == ["ALL"]
    assert "privileged" not in container["securityContext"]


def test_each_mode_but_the_daemonset_is_outside_of_the_host() -> None:
    for mode in ("deployment", "statefulset"):
        (pod,) = pod_specs(render({"mode": mode}))
        assert not {"hostPID", "hostNetwork", "hostIPC"} & set(pod)


def test_only_the_pod_that_reads_istiods_debug_pages_has_the_token() -> None:
    values = {"mode": "daemonset", "istiod": {"debugToken": {"enabled": True}}}
    inside, beside = pod_specs(render(values))

    assert not any("projected" in volume for volume in inside["volumes"])
    (token,) = [volume["projected"] for volume in beside["volumes"] if "projected" in volume]
    assert token["sources"] == [
        {
            "serviceAccountToken": {
                "path": "token",
                "audience": "istio-ca",
                "expirationSeconds": 3600,
            }
        }
    ]


def test_the_kubelet_probes_in_the_way_the_server_allows() -> None:
    secured = {"configSecret": "web", "scheme": "https"}
    (by_http,) = pod_specs(render({"web": secured}))
    (by_tcp,) = pod_specs(render({"web": {**secured, "probe": "tcp"}}))

    assert by_http["containers"][0]["readinessProbe"]["httpGet"] == {
        "path": "/-/ready",
        "port": "metrics",
        "scheme": "HTTPS",
    }
    assert by_tcp["containers"][0]["livenessProbe"]["tcpSocket"] == {"port": "metrics"}


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        pytest.param({}, "istio-port-exporter:0.1.0", id="defaults"),
        pytest.param(
            {"registry": "a.example", "tag": "x"}, "a.example/istio-port-exporter:x", id="tag"
        ),
        pytest.param(
            {"tag": "x", "digest": f"sha256:{'0' * 64}"},
            f"istio-port-exporter@sha256:{'0' * 64}",
            id="digest",
        ),
    ],
)
def test_the_image_is_named(image: Document, expected: str) -> None:
    (pod,) = pod_specs(render({"image": image}))

    assert pod["containers"][0]["image"] == expected


@pytest.mark.parametrize("is_discovered", [True, False])
@pytest.mark.parametrize("is_forwarded", [True, False])
def test_a_pod_that_uses_the_api_server_has_the_accounts_token(
    *, is_discovered: bool, is_forwarded: bool
) -> None:
    kubernetes = {"enabled": is_discovered}
    values = {
        "config": {"discovery": {"kubernetes": kubernetes}},
        "portForward": {"enabled": is_forwarded},
    }
    (pod,) = pod_specs(render(values))
    assert pod["automountServiceAccountToken"] is (is_discovered or is_forwarded)
