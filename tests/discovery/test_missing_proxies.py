"""Pods that ask for a proxy and have none: by labels, revision, template, namespace, or image."""

import json
from dataclasses import dataclass, field
from typing import Any

import pytest

from exporter.discovery.missing_proxies import (
    NamespaceInjection,
    missing_proxy,
    namespace_injection,
)
from exporter.discovery.pod_documents import decode_pod

UNSET, ENABLED, DISABLED, MEMBER = NamespaceInjection
INJECT = "sidecar.istio.io/inject"
REVISION = "istio.io/rev"
TEMPLATES = "inject.istio.io/templates"
INJECTED = {"sidecar.istio.io/status": "{}"}
APP = {"name": "app", "image": "shop/app:1"}
PROXY = {"name": "istio-proxy", "image": "istio/proxyv2:1.28.1", "args": ["proxy", "sidecar"]}
AUTO = {"name": "istio-proxy", "image": "auto"}


@dataclass(frozen=True)
class Row:
    """A pod, and the reason in a namespace that says nothing, that asks, and that refuses.

    `as_member`: the reason in a member of OpenShift Service Mesh 2, the first one if None.
    """

    id: str
    reasons: tuple[str, str, str] = ("", "", "")
    as_member: str | None = None
    labels: dict[str, str] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)
    containers: tuple[dict[str, Any], ...] = (APP,)
    inits: tuple[dict[str, Any], ...] = ()
    namespace: str = "shop"
    phase: str = "Running"
    metadata: dict[str, str] = field(default_factory=dict)
    spec: dict[str, object] = field(default_factory=dict)


ASKED = {INJECT: "true"}
ROWS = (
    Row("plain", ("", "namespace", "")),
    *(
        Row(f"annotation says {word}", ("", "namespace", ""), "pod", annotations={INJECT: word})
        for word in ("true", "True", "yes", "on", "y")
    ),
    *(
        Row(f"{place} says {word}", **{place: {INJECT: word}})
        for place in ("labels", "annotations")
        for word in ("False", "no", "off", "n", "disabled", "0")
    ),
    *(
        Row(
            f"a label that the webhook does not select: {word}",
            ("", "namespace", ""),
            "pod",
            {INJECT: word},
        )
        for word in ("True", "yes")
    ),
    Row("label over annotation", ("pod", "pod", ""), None, {INJECT: "true"}, {INJECT: "false"}),
    Row(
        "empty label over annotation", ("", "namespace", ""), None, {INJECT: ""}, {INJECT: "false"}
    ),
    Row("refuses though of a revision", labels={INJECT: "no", REVISION: "canary"}),
    Row("asks by its label", ("pod", "pod", ""), labels=ASKED),
    Row("asks by revision", ("pod", "pod", ""), labels={REVISION: "canary"}),
    Row("asks by template", ("templates", "templates", ""), None, ASKED, {TEMPLATES: "grpc-agent"}),
    Row("template alone asks nobody", ("", "namespace", ""), None, {}, {TEMPLATES: "sidecar"}),
    Row("opted out by label", labels={INJECT: "false"}),
    Row("opted out though of a revision", labels={INJECT: "false", REVISION: "canary"}),
    Row("opted out by annotation", annotations={INJECT: "false"}),
    Row("injected", labels=ASKED, annotations=INJECTED, containers=(APP, PROXY)),
    Row("injected, native", labels=ASKED, annotations=INJECTED, inits=(PROXY,)),
    Row("injected without a proxy, by a template", labels=ASKED, annotations=INJECTED),
    Row("a proxy made by hand", labels=ASKED, containers=(APP, PROXY)),
    Row("gateway", ("gateway", "gateway", ""), labels=ASKED, containers=(AUTO,)),
    *(
        Row(
            f"gateway, image {image}",
            ("gateway",) * 2 + ("",),
            containers=(AUTO | {"image": image},),
        )
        for image in ("docker.io/library/auto:latest", "registry.example:5000/auto")
    ),
    Row("ztunnel is its proxy", annotations={"ambient.istio.io/redirection": "enabled"}),
    Row("sidecar with a placeholder", ("pod", "pod", ""), labels=ASKED, containers=(APP, AUTO)),
    Row("on the host's network", labels=ASKED, spec={"hostNetwork": True}),
    Row("of the cluster itself", labels=ASKED, namespace="kube-system"),
    Row("static", annotations={"kubernetes.io/config.mirror": "x"}),
    Row("has succeeded", labels=ASKED, phase="Succeeded"),
    Row("has failed", labels=ASKED, phase="Failed"),
    Row("is deleted", labels=ASKED, metadata={"deletionTimestamp": "2026-01-01T00:00:00Z"}),
    Row("is not scheduled yet", ("pod", "pod", ""), labels=ASKED, phase="Pending"),
)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_a_pod_misses_its_proxy_as_the_injector_would_have_injected_it(row: Row) -> None:
    document = {
        "metadata": {
            "name": "cart-1",
            "namespace": row.namespace,
            "labels": row.labels,
            "annotations": row.annotations,
            **row.metadata,
        },
        "spec": {"containers": row.containers, "initContainers": row.inits, **row.spec},
        "status": {"phase": row.phase},
    }
    if row.inits:
        document["spec"]["initContainers"] = [{**row.inits[0], "restartPolicy": "Always"}]
    pod = decode_pod(json.dumps(document).encode())
    assert tuple(missing_proxy(pod, asked) for asked in (UNSET, ENABLED, DISABLED)) == row.reasons
    as_member = row.reasons[0] if row.as_member is None else row.as_member
    assert missing_proxy(pod, MEMBER) == as_member


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ({}, UNSET),
        ({"istio-injection": "enabled"}, ENABLED),
        ({"istio-injection": "disabled"}, DISABLED),
        ({REVISION: "canary"}, ENABLED),
        ({REVISION: ""}, UNSET),
        ({"istio-injection": "disabled", REVISION: "canary"}, DISABLED),
        ({"istio-injection": "enabled", REVISION: "canary"}, ENABLED),
        ({"istio-injection": "true"}, DISABLED),
        ({"maistra.io/member-of": "istio-system"}, MEMBER),
        ({"maistra.io/member-of": "istio-system", "istio-injection": "disabled"}, DISABLED),
    ],
)
def test_a_namespace_asks_by_either_label(
    labels: dict[str, str], expected: NamespaceInjection
) -> None:
    assert namespace_injection(labels) is expected
