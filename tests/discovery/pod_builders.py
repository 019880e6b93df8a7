"""Pods as Istio's injector writes them, and the targets of them."""

import json
from typing import Any

from exporter.config import Config
from exporter.discovery.pods import decode_pod, targets_of_pod
from exporter.model import Settings, Target

STATUS_ANNOTATION = {
    "sidecar.istio.io/status": '{"containers":["istio-proxy"],"revision":"canary"}'
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
