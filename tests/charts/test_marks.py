"""Labels and annotations of each object, and what `helm test` runs."""

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.charts.render import CHART, ci_files, hooks, of_kind, render, render_files, values_of
from tests.docs.pages import ROOT, fences
from tests.real.programs import free_address, serving

LABELS = values_of(CHART / "ci" / "labels-values.yaml")
COMMON = {"commonLabels": {"team": "mesh"}, "commonAnnotations": {"example.com/owner": "mesh"}}
OPERATORS = ("operator.victoriametrics.com/", "monitoring.googleapis.com/")
OWN = {"labels": {"a": "b"}, "annotations": {"c": "d"}}
KINDS = {
    "Service": {"service": OWN},
    "ServiceAccount": {"serviceAccount": OWN},
    "ClusterRole": {"rbac": OWN},
    "ClusterRoleBinding": {"rbac": OWN},
    "Deployment": {"workloadLabels": {"a": "b"}, "workloadAnnotations": {"c": "d"}},
    "ServiceMonitor": {"serviceMonitor": {"enabled": True, **OWN}},
    "PodMonitor": {"podMonitor": {"enabled": True, **OWN}},
    "ScrapeConfig": {"scrapeConfig": {"enabled": True, **OWN}},
    "PrometheusRule": {"rules": {"enabled": True, **OWN}},
    "NetworkPolicy": {"networkPolicy": {"enabled": True, **OWN}},
    "PodDisruptionBudget": {"podDisruptionBudget": {"enabled": True, "maxUnavailable": 1, **OWN}},
}


@pytest.mark.parametrize("file", ci_files(), ids=lambda file: file.stem)
def test_every_object_has_the_common_labels_and_annotations(file: Path) -> None:
    values = {**values_of(file), **COMMON, "extraManifests": []}
    for document in (*render(values), *hooks(values)):
        marks = [document["metadata"]]
        if "template" in document.get("spec", {}):
            marks.append(document["spec"]["template"]["metadata"])
        for mark in marks:
            assert mark["labels"]["team"] == "mesh", document["kind"]
            if "podAnnotations" not in values or mark is document["metadata"]:
                assert mark["annotations"]["example.com/owner"] == "mesh", document["kind"]


@pytest.mark.parametrize(("kind", "values"), KINDS.items(), ids=KINDS)
def test_an_object_has_labels_and_annotations_of_its_own(kind: str, values: Any) -> None:
    [document] = of_kind(render(values), kind)
    assert document["metadata"]["labels"]["a"] == "b"
    assert document["metadata"]["annotations"]["c"] == "d"
    others = [
        row for row in render(values) if row["kind"] != kind and not kind.startswith("ClusterRole")
    ]
    assert [row["kind"] for row in others if "a" in row["metadata"]["labels"]] == []


def test_an_own_label_outranks_a_common_one() -> None:
    values = {"commonLabels": {"a": "common"}, "service": {"labels": {"a": "own"}}}
    [service] = of_kind(render(values), "Service")
    assert service["metadata"]["labels"]["a"] == "own"


@pytest.mark.parametrize("mode", ["deployment", "statefulset", "daemonset"])
def test_no_label_or_annotation_is_there_twice_whoever_sets_it(mode: str) -> None:
    """A text with a key twice is refused by what reads it strictly, such as kustomize."""
    inject = {"sidecar.istio.io/inject": "false", "istio.io/dataplane-mode": "none", "team": "mesh"}
    everywhere = {"commonLabels": inject, "commonAnnotations": inject}
    values = {"mode": mode, **everywhere, "podLabels": inject, "podAnnotations": inject}

    for name, text in render_files(values).items():
        if name != "NOTES.txt":
            for document in filter(None, yaml.compose_all(text)):
                assert twice(document) == [], name


def twice(node: yaml.Node) -> list[str]:
    """Keys that a mapping in the node has twice."""
    if isinstance(node, yaml.SequenceNode):
        return [key for item in node.value for key in twice(item)]
    if not isinstance(node, yaml.MappingNode):
        return []
    keys = [key.value for key, _ in node.value]
    inner = [key for _, value in node.value for key in twice(value)]
    return [key for key in dict.fromkeys(keys) if keys.count(key) > 1] + inner


def test_the_service_has_the_type_that_is_chosen_and_the_headless_one_none() -> None:
    values = {"mode": "statefulset", "service": {"type": "NodePort", "nodePort": 31052}}
    services = {row["metadata"]["name"]: row["spec"] for row in of_kind(render(values), "Service")}
    plain, headless = services.values()
    assert (plain["type"], plain["ports"][0]["nodePort"]) == ("NodePort", 31052)
    assert (headless["type"], headless["clusterIP"]) == ("ClusterIP", "None")
    assert "nodePort" not in headless["ports"][0]


def test_pods_have_the_dns_settings() -> None:
    [workload] = of_kind(render(LABELS), "Deployment")
    [test] = hooks(LABELS)
    for pod in (workload["spec"]["template"]["spec"], test["spec"]):
        assert pod["dnsConfig"] == LABELS["dnsConfig"]


def test_no_selector_takes_the_tests_pod_for_the_exporter() -> None:
    [test] = hooks(LABELS)
    labels = test["metadata"]["labels"].items()
    selectors = [
        row["spec"].get("selector", row["spec"].get("podSelector"))
        for row in of_kind(render(LABELS), "Service", "Deployment", "PodDisruptionBudget")
    ]
    assert len(selectors) == 3
    for selector in selectors:
        assert not selector.get("matchLabels", selector).items() <= labels


def test_a_network_policy_that_admits_some_admits_the_tests_pod() -> None:
    [policy] = of_kind(render(LABELS), "NetworkPolicy")
    [test] = hooks(LABELS)
    admitted = [
        peer["podSelector"]["matchLabels"]
        for peer in policy["spec"]["ingress"][0]["from"]
        if "podSelector" in peer
    ]
    assert any(labels.items() <= test["metadata"]["labels"].items() for labels in admitted)


def test_helm_test_succeeds_while_an_exporter_is_ready(tmp_path: Path) -> None:
    address = free_address()
    host, port = address.split(":")
    [container] = hooks({})[0]["spec"]["containers"]
    script, scheme, *_, probe = container["args"]
    command = (sys.executable, "-c", script, scheme, host, port)
    assert subprocess.run((*command, probe), capture_output=True, check=False).returncode
    config = tmp_path / "exporter.yaml"
    config.write_text("discovery: {kubernetes: {enabled: false}}\n")
    serve = (
        *(sys.executable, "-m", "exporter", "serve", "--config.file", config),
        f"--web.listen-address={address}",
    )
    with serving(tmp_path / "out", address, *serve):
        deadline = time.monotonic() + 20
        while subprocess.run((*command, probe), capture_output=True, check=False).returncode:
            assert time.monotonic() < deadline
        assert not subprocess.run((*command, "tcp"), capture_output=True, check=False).returncode


def test_the_examples_of_extra_objects_select_the_exporter() -> None:
    examples = [
        yaml.safe_load(fence.text)
        for fence in fences(ROOT / "docs/kubernetes.md")
        if "extraManifests" in fence.text
    ]
    assert len(examples) == 2
    for values in examples:
        documents = render(values)
        [extra] = [row for row in documents if row["apiVersion"].startswith(OPERATORS)]
        [service] = of_kind(documents, "Service")
        [workload] = of_kind(documents, "Deployment")
        labels = {
            **workload["spec"]["template"]["metadata"]["labels"],
            **service["metadata"]["labels"],
        }
        assert extra["spec"]["selector"]["matchLabels"].items() <= labels.items()
