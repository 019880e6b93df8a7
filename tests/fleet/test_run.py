"""What `make fleet` reads of a folder, and how it ends."""

import json
from pathlib import Path

import pytest
import yaml

from tests.fleet.run import main, pods_in, read_folder

ENVIRONMENT = [{"name": "ENVOY_PROMETHEUS_PORT", "value": "16090"}]
PROXY = {
    "name": "istio-proxy",
    "image": "docker.io/istio/proxyv2:1.28.1",
    "args": ["proxy", "sidecar"],
    "env": ENVIRONMENT,
}
POD = {
    "kind": "Pod",
    "metadata": {"name": "cart", "namespace": "shop", "creationTimestamp": "2026-01-01T00:00:00Z"},
    "spec": {
        "containers": [{"name": "app"}, PROXY],
        "initContainers": [{"name": "istio-init", "args": ["istio-iptables", "-b", "*"]}],
    },
    "status": {"podIPs": [{"ip": "10.1.2.3"}, {"ip": "fd00::3"}]},
}
ROW = (
    "shop/cart",
    "sidecar",
    "1.28.1",
    "(15000) 15001 15006 15020 15021 16090",
    "REDIRECT",
    "IPv4, IPv6 unserved",
    "15090 to 16090 by ENVOY_PROMETHEUS_PORT",
)


def rows(folder: Path) -> list[tuple[str, ...]]:
    return [reading.cells for reading in read_folder(folder)]


@pytest.mark.parametrize(
    ("name", "document"),
    [
        ("pod.json", json.dumps(POD)),
        ("pod.yaml", yaml.safe_dump(POD).replace("'2026-01-01T00:00:00Z'", "2026-01-01T00:00:00Z")),
        ("list.json", json.dumps({"kind": "List", "items": [{"kind": "Service"}, POD]})),
        ("two.yml", "---\nkind: ConfigMap\n---\n" + yaml.safe_dump(POD)),
    ],
)
def test_a_pod_is_read_in_every_form(tmp_path: Path, name: str, document: str) -> None:
    (tmp_path / name).write_text(document)

    assert rows(tmp_path) == [ROW]
    assert main([str(tmp_path)]) == 0


@pytest.mark.parametrize("kind", ["Deployment", "CronJob"])
def test_an_injected_manifest_is_read_by_its_template(tmp_path: Path, kind: str) -> None:
    template = {"spec": POD["spec"], "metadata": {"labels": {"app": "cart"}}}
    spec = {"template": template}
    if kind == "CronJob":
        spec = {"jobTemplate": {"spec": spec}}
    metadata = {"name": "cart", "namespace": "shop"}
    manifest = {"kind": kind, "metadata": metadata, "spec": spec}
    (tmp_path / "manifest.yaml").write_text(yaml.safe_dump(manifest))

    assert rows(tmp_path) == [(*ROW[:5], "no address", ROW[6])]


@pytest.mark.parametrize(
    "document",
    ["[1, 2]", "{", '{"kind": "Pod"}', '{"kind": "Pod", "metadata": {"name": "a"}, "spec": 1}'],
)
def test_what_cannot_be_read_is_named_and_ends_with_1(
    tmp_path: Path, document: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "good.json").write_text(json.dumps(POD))
    (tmp_path / "bad.json").write_text(document)

    assert main([str(tmp_path)]) == 1
    shown = capsys.readouterr().out
    assert "bad.json: " in shown
    assert "shop/cart" in shown


def test_a_folder_without_pods_ends_with_2(tmp_path: Path) -> None:
    assert main([str(tmp_path)]) == 2
    assert main([]) == 2


def test_an_object_without_pods_has_none() -> None:
    assert list(pods_in({"kind": "Service", "spec": {"ports": []}})) == []
