"""Documents of pods, as the injector writes them and a kubelet reports on them."""

import json
from collections.abc import Mapping
from typing import Any

ISTIO_VERSION = "1.30.3"

Document = dict[str, Any]


def sidecar_pod(
    namespace: str,
    name: str,
    *,
    node: str = "",
    address: str = "",
    annotations: Mapping[str, str] | None = None,
    labels: Mapping[str, str] | None = None,
) -> Document:
    """An application with a native sidecar; running where it has a node and an address."""
    image = f"docker.io/istio/proxyv2:{ISTIO_VERSION}"
    proxy = {
        "name": "istio-proxy",
        "image": image,
        "restartPolicy": "Always",
        "args": ["proxy", "sidecar", "--domain", "$(POD_NAMESPACE).svc.cluster.local"],
        "ports": [{"name": "http-envoy-prom", "containerPort": 15090, "protocol": "TCP"}],
        "env": [
            {"name": "PROXY_CONFIG", "value": "{}"},
            {"name": "ISTIO_META_WORKLOAD_NAME", "value": "web"},
        ],
    }
    status = {"containers": ["istio-proxy"], "revision": "default"}
    document: Document = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "namespace": namespace,
            "name": name,
            "labels": {"app": "web", **(labels or {})},
            "annotations": {"sidecar.istio.io/status": json.dumps(status), **(annotations or {})},
        },
        "spec": {
            "initContainers": [proxy],
            "containers": [{"name": "web", "image": "web:1", "ports": [{"containerPort": 8080}]}],
        },
    }
    if node:
        document["spec"]["nodeName"] = node
    if address:
        document["status"] = running_status(address)
    return document


def running_status(address: str) -> Document:
    """What a kubelet reports of a pod all of whose containers run."""
    state = {"running": {"startedAt": "2026-01-01T00:00:00Z"}}
    row = {"ready": True, "started": True, "restartCount": 0, "imageID": "", "state": state}
    return {
        "phase": "Running",
        "podIP": address,
        "podIPs": [{"ip": address}],
        "startTime": "2026-01-01T00:00:00Z",
        "conditions": [{"type": "Ready", "status": "True"}],
        "containerStatuses": [{"name": "web", "image": "web:1", **row}],
        "initContainerStatuses": [{"name": "istio-proxy", "image": "proxyv2", **row}],
    }


def node(name: str, *, ready: bool = True) -> Document:
    """A node that nobody forwards to."""
    conditions = [{"type": "Ready", "status": str(ready)}]
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name},
        "status": {"conditions": conditions},
    }


def namespace(name: str, **metadata: Any) -> Document:
    """A namespace; `labels`, `annotations`."""
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, **metadata}}
