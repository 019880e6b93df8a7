"""Pods in ambient become targets, by annotation, label or namespace, and follow what changes."""

import json
from typing import Any

import pytest

from exporter.discovery.pod_documents import decode_pod
from exporter.discovery.pods import targets_of_pod
from exporter.model import Redirection, Role
from tests.discovery.cluster_source import NAMESPACES, PODS, bare, namespace, watching
from tests.until import until

AMBIENT = {"istio.io/dataplane-mode": "ambient"}
WRITTEN = "ambient.istio.io/redirection"


def test_only_what_ambient_can_hold_is_enrolled() -> None:
    spec = {"containers": [{"name": "web"}]}
    metadata = {"name": "web", "namespace": "shop", "annotations": {WRITTEN: "enabled"}}
    ok = {"metadata": metadata, "spec": spec, "status": {"phase": "Running", "podIP": "10.0.0.7"}}
    hidden = [
        {"spec": {**spec, "hostNetwork": True}},
        {"spec": {**spec, "os": {"name": "windows"}}},
        {"spec": {**spec, "nodeSelector": {"kubernetes.io/os": "windows"}}},
        {"status": {"phase": "Succeeded", "podIP": "10.0.0.7"}},
        {"status": {"phase": "Failed", "podIP": "10.0.0.7"}},
        {"metadata": {**metadata, "annotations": {"sidecar.istio.io/status": "{}"}}},
        {"metadata": {**metadata, "annotations": {WRITTEN: "disabled"}}},
    ]
    assert [target.role for target in read(ok)] == [Role.AMBIENT]
    on_linux = {**spec, "os": {"name": "linux"}, "nodeSelector": {"kubernetes.io/os": "linux"}}
    assert [target.role for target in read({**ok, "spec": on_linux})] == [Role.AMBIENT]
    for change in hidden:
        assert read({**ok, **change}) == ()


def read(document: object) -> tuple[Any, ...]:
    return targets_of_pod(decode_pod(json.dumps(document).encode()))


async def test_a_namespaces_label_makes_targets_of_its_pods_and_takes_them_away(
    cluster: Any,
) -> None:
    cluster.put(NAMESPACES, namespace("shop", labels=AMBIENT))
    cluster.put(NAMESPACES, namespace("plain"))
    cluster.put(PODS, bare("web", "shop"))
    cluster.put(PODS, bare("left", "shop", labels={"istio.io/dataplane-mode": "none"}))
    cluster.put(PODS, bare("out", "shop", annotations={WRITTEN: "disabled"}))
    cluster.put(PODS, bare("own", "plain", labels=AMBIENT))
    cluster.put(PODS, bare("changed", "plain", labels=AMBIENT, annotations={WRITTEN: "disabled"}))
    cluster.put(PODS, bare("other", "plain"))
    async with watching(cluster) as seen:
        await seen.until_synced()
        await until(lambda: seen.names == ["own", "web"])
        assert seen.target("web").redirection is Redirection.MISSING
        cluster.put(PODS, bare("web", "shop", annotations={WRITTEN: "pending"}))
        await until(lambda: seen.target("web").redirection is Redirection.PENDING)
        cluster.put(PODS, bare("web", "shop", annotations={WRITTEN: "enabled"}))
        await until(lambda: seen.target("web").redirection is Redirection.ENABLED)
        cluster.put(PODS, bare("web", "shop"))
        await until(lambda: seen.target("web").redirection is Redirection.MISSING)
        cluster.put(NAMESPACES, namespace("shop"))
        await until(lambda: seen.names == ["own"])
        cluster.put(NAMESPACES, namespace("plain", labels=AMBIENT))
        await until(lambda: seen.names == ["other", "own"])


@pytest.mark.parametrize("written", ["enabled", "pending"])
async def test_what_istio_cni_has_annotated_needs_no_label(cluster: Any, written: str) -> None:
    cluster.put(NAMESPACES, namespace("shop"))
    cluster.put(PODS, bare("web", "shop", annotations={WRITTEN: written}))
    async with watching(cluster) as seen:
        await seen.until_synced()
        await until(lambda: seen.names == ["web"])
        assert seen.target("web").redirection == written
