"""The exporter accepts the configuration that the chart writes, with the files that it mounts."""

import base64
import re
from pathlib import Path

import bcrypt
import pytest

from exporter.cli.main import main
from exporter.config import Config, load
from exporter.discovery.list_requests import watched_resources
from tests.charts.render import Document, ci_files, of_kind, pod_specs, render, values_of

FILES = pytest.mark.parametrize("file", ci_files(), ids=lambda file: file.stem)
CONFIG_FILE = "/etc/istio-port-exporter/exporter.yaml"
FIELDS = {"metadata.name": "exporter-0", "spec.nodeName": "node-a"}
"""What the kubelet fills in, by field path."""


class Kubelet:
    """Mounts a pod's volumes below a folder, as the kubelet does below /."""

    def __init__(self, root: Path, documents: list[Document]) -> None:
        self.root = root
        self._maps = {row["metadata"]["name"]: row for row in of_kind(documents, "ConfigMap")}

    def mount(self, pod: Document) -> list[str]:
        """Mount everything; the container's arguments, with the paths where they are here."""
        volumes = {row["name"]: row for row in pod["volumes"]}
        container = pod["containers"][0]
        mounts = {row["mountPath"]: row for row in container["volumeMounts"]}
        for path, mount in mounts.items():
            files = self._files(volumes[mount["name"]])
            if "subPath" in mount:
                self._write(path, files[mount["subPath"]])
            else:
                for name, text in files.items():
                    self._write(f"{path}/{name}", text)
        config = self.root / CONFIG_FILE.lstrip("/")
        text = config.read_text()
        for path in mounts:
            text = re.sub(rf"(?<= ){path}(?=/|$)", f"{self.root}{path}", text, flags=re.MULTILINE)
        config.write_text(text)
        return [word.replace(CONFIG_FILE, str(config)) for word in container["args"]]

    def _files(self, volume: Document) -> dict[str, str]:
        if "secret" in volume:
            hashed = bcrypt.hashpw(b"secret", bcrypt.gensalt(4)).decode()
            return {"web-config.yml": f"basic_auth_users: {{prometheus: {hashed}}}\n"}
        if "projected" in volume:
            (source,) = volume["projected"]["sources"]
            return {source["serviceAccountToken"]["path"]: base64.b64encode(b"token").decode()}
        given = volume["configMap"]
        if given["name"] in self._maps:
            return dict(self._maps[given["name"]]["data"])
        return {row["path"]: "of somebody else" for row in given.get("items", ())}

    def _write(self, path: str, text: str) -> None:
        file = self.root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


def give_environment(pod: Document, monkeypatch: pytest.MonkeyPatch) -> None:
    for row in pod["containers"][0]["env"]:
        value = row.get("value") or FIELDS[row["valueFrom"]["fieldRef"]["fieldPath"]]
        monkeypatch.setenv(row["name"], value)


@FILES
def test_the_exporter_accepts_its_configuration(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    documents = render(values_of(file))
    for number, pod in enumerate(pod_specs(documents)):
        give_environment(pod, monkeypatch)
        serve, *arguments = Kubelet(tmp_path / str(number), documents).mount(pod)

        assert serve == "serve"
        assert main(["config", "check", *arguments]) == 0


def configured(values: Document, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Config]:
    """The configurations of the pods of an install, as their exporters read them."""
    documents = render(values)
    found = []
    for number, pod in enumerate(pod_specs(documents)):
        give_environment(pod, monkeypatch)
        Kubelet(tmp_path / str(number), documents).mount(pod)
        found.append(load(tmp_path / str(number) / CONFIG_FILE.lstrip("/")))
    return found


def test_shards_take_their_ordinal_from_the_pods_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (config,) = configured({"mode": "statefulset", "replicas": 3}, tmp_path, monkeypatch)

    assert (config.shard.ordinal, config.shard.total) == (0, 3)


def test_a_daemonset_shares_the_roles_with_the_deployment_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside, beside = configured({"mode": "daemonset"}, tmp_path, monkeypatch)

    of_node, of_istiod = inside.discovery.kubernetes, beside.discovery.kubernetes
    assert (of_node.node, inside.access.loopback) == ("node-a", "netns")
    assert (of_istiod.node, beside.access.loopback) == ("", "none")
    assert set(of_istiod.roles) == {"istiod"}
    assert not set(of_istiod.roles) & set(of_node.roles)
    assert len({*of_istiod.roles, *of_node.roles}) == len(type(of_node.roles[0]))


def test_the_same_namespaces_are_polled_and_allowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = {"namespaces": ["shop", "istio-system"]}
    (config,) = configured(values, tmp_path, monkeypatch)

    roles = of_kind(render(values), "Role")
    assert [row["metadata"]["namespace"] for row in roles] == ["shop", "istio-system"]
    assert config.discovery.kubernetes.namespaces == ("shop", "istio-system")


@pytest.mark.parametrize("mode", ["deployment", "statefulset", "daemonset"])
@pytest.mark.parametrize("is_scoped", [True, False])
def test_nodes_and_namespaces_are_watched_where_they_may_be_listed(
    mode: str, is_scoped: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = {"mode": mode, "namespaces": ["istio-system"], "rbac": {"clusterScoped": is_scoped}}
    configs = configured(values, tmp_path, monkeypatch)

    chosen = [config.discovery.kubernetes for config in configs]
    assert {one.cluster_scoped for one in chosen} == {is_scoped}
    granted = {
        resource
        for role in of_kind(render(values), "ClusterRole", "Role")
        for rule in role["rules"]
        for resource in rule["resources"]
    }
    assert [watched_resources(one) for one in chosen] == [granted] * len(chosen)


def test_a_change_of_the_configuration_replaces_the_pods() -> None:
    def checksum(values: Document) -> str:
        (workload,) = of_kind(render(values), "Deployment")
        return str(workload["spec"]["template"]["metadata"]["annotations"]["checksum/config"])

    assert checksum({}) != checksum({"config": {"poll": {"interval": "15s"}}})


def test_beside_a_daemonset_only_the_deployment_may_create_pods() -> None:
    dry_run = {"enabled": True, "namespace": "probe"}
    documents = render({"mode": "daemonset", "istiod": {"webhookDryRun": dry_run}})
    found = of_kind(documents, "RoleBinding")

    assert [(row["metadata"]["namespace"], *_names(row)) for row in found] == [
        ("probe", "ipe-istio-port-exporter-istiod")
    ]
    inside, beside = pod_specs(documents)
    assert (inside["serviceAccountName"], beside["serviceAccountName"]) == (
        "ipe-istio-port-exporter",
        "ipe-istio-port-exporter-istiod",
    )


def _names(binding: Document) -> list[str]:
    return [subject["name"] for subject in binding["subjects"]]
