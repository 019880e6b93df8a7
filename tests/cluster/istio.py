"""Istio from its own charts: istiod with its webhook, sidecars that it injects, and a gateway.

Envoy is the upstream one, which lacks Istio's own filters: what would configure them is off.
"""

from typing import Any

from tests.cluster.helm import Helm
from tests.cluster.images import TAG
from tests.cluster.sources import charts
from tests.real.kubernetes.client import Admin, Document
from tests.real.kubernetes.pods import namespace

NAMESPACE = "istio-system"
_SMALL = {"requests": {"cpu": "10m", "memory": "64Mi"}}


def values() -> dict[str, Any]:
    """Of the charts `base` and `istio-discovery`."""
    return {
        "global": {
            "hub": "localhost",
            "tag": TAG,
            "imagePullPolicy": "IfNotPresent",
            "istioNamespace": NAMESPACE,
            "proxy": {"resources": _SMALL},
        },
        "telemetry": {"enabled": False},
        "autoscaleEnabled": False,
        "resources": _SMALL,
        "env": {
            "PILOT_ENABLE_METADATA_EXCHANGE": "false",
            "PILOT_ENABLE_ALPN_FILTER": "false",
        },
    }


async def install(admin: Admin, helm: Helm) -> None:
    """Install Istio and wait until istiod is ready."""
    await admin.apply(namespace(NAMESPACE))
    shared = {"global": {"istioNamespace": NAMESPACE}}
    await helm.install("istio-base", charts() / "base", NAMESPACE, shared)
    discovery = charts() / "istio-control" / "istio-discovery"
    await helm.install("istiod", discovery, NAMESPACE, values())


async def install_gateway(helm: Helm, release: str, where: str) -> None:
    """A gateway, whose pods istiod's webhook completes; its Service has no load balancer."""
    sized = {"service": {"type": "ClusterIP"}, "resources": _SMALL}
    chosen = {**sized, "autoscaling": {"enabled": False}, "global": {"imagePullPolicy": "Never"}}
    await helm.install(release, charts() / "gateway", where, chosen)


def servers(release: str, where: str) -> Document:
    """One server for the gateway of a release; without any it is a fault."""
    port = {"number": 8080, "name": "http", "protocol": "HTTP"}
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "Gateway",
        "metadata": {"name": release, "namespace": where},
        "spec": {"selector": {"istio": release}, "servers": [{"port": port, "hosts": ["*"]}]},
    }


def injected(name: str) -> Document:
    """A namespace whose pods get a sidecar."""
    document = namespace(name)
    labels = {**document["metadata"].get("labels", {}), "istio-injection": "enabled"}
    return {**document, "metadata": {**document["metadata"], "labels": labels}}
