"""A cluster's source at work against a stand-in API server, and the objects that it reads."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from types import SimpleNamespace
from typing import Any, Self

from exporter.config import Config, DiscoveryConfig, KubernetesConfig
from exporter.discovery.cluster import ClusterSource
from exporter.kube.client import KubernetesClient
from exporter.kube.credentials import Credentials, LoadCredentials
from exporter.kube.watch_options import WatchOptions
from exporter.model import Target, TargetKey
from tests.until import until

PODS, NODES, NAMESPACES = "/api/v1/pods", "/api/v1/nodes", "/api/v1/namespaces"


SERVICES = "/api/v1/services"


IGNORE = "istio-port-exporter/ignore"


GATEWAY_API = {"gateway.networking.k8s.io/gateway-name": "web"}


OPTIONS = WatchOptions(page_size=50, idle_timeout=5.0, initial_backoff=0.01, max_backoff=0.05)


class Watched:
    """What a source reported: targets by key as they are now, and each put and drop.

    `requested` counts (verb, resource, code).
    """

    def __init__(self, options: WatchOptions = OPTIONS) -> None:
        self.targets: dict[TargetKey, Target] = {}
        self.log: list[str] = []
        self.synced: dict[str, bool | None] = {}
        self.relisted: list[str] = []
        self.refused: list[str] = []
        self.requested: Counter[tuple[str, str, str]] = Counter()
        metrics: Any = SimpleNamespace(
            synced=self.synced.__setitem__,
            relisted=self.relisted.append,
            asked_kubernetes=lambda *what: self.requested.update([what]),
            refused_object=self.refused.append,
        )
        self.source = ClusterSource(self._put, self._drop, lambda: None, metrics, options)

    def _put(self, target: Target) -> None:
        self.targets[target.key] = target
        self.log.append(f"put {target.key.pod}")

    def _drop(self, key: TargetKey) -> None:
        del self.targets[key]
        self.log.append(f"drop {key.pod}")

    @property
    def names(self) -> list[str]:
        return sorted(key.pod for key in self.targets)

    def target(self, pod: str, namespace: str = "shop") -> Target:
        return self.targets[TargetKey(namespace, pod)]

    @contextlib.asynccontextmanager
    async def running(self, load: LoadCredentials, config: Config) -> AsyncIterator[Self]:
        """Watch with these credentials until the block ends; what it raised is raised."""

        async def run() -> None:
            async with KubernetesClient(load) as api:
                await self.source.run(api, config)

        task = asyncio.create_task(run())
        try:
            yield self
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    @property
    def dropped(self) -> list[str]:
        return [line.removeprefix("drop ") for line in self.log if line.startswith("drop ")]

    async def until_synced(self, names: Iterable[str] = ("pods", "nodes", "namespaces")) -> None:
        await until(lambda: all(self.synced.get(name) for name in names), "synced")


def to(cluster: Any) -> LoadCredentials:
    """Credentials for a stand-in."""

    async def load() -> Credentials:
        return Credentials(cluster.address)

    return load


@contextlib.asynccontextmanager
async def watching(cluster: Any, config: Config | None = None) -> AsyncIterator[Watched]:
    async with Watched().running(to(cluster), config or Config()) as seen:
        yield seen


def config_of(**kubernetes: Any) -> Config:
    return Config(discovery=DiscoveryConfig(kubernetes=KubernetesConfig(**kubernetes)))


def pod(name: str, namespace: str = "shop", **metadata: Any) -> dict[str, Any]:
    """A pod with a sidecar, as the API server returns it."""
    proxy = {"name": "istio-proxy", "image": "istio/proxyv2:1.28.0", "args": ["proxy", "sidecar"]}
    uid = f"{namespace}-{name}"
    return {
        "metadata": {"name": name, "namespace": namespace, "uid": uid, **metadata},
        "spec": {"containers": [proxy], "nodeName": "node-1"},
        "status": {"phase": "Running", "podIPs": [{"ip": "10.0.0.7"}]},
    }


def istiod(name: str) -> dict[str, Any]:
    document = pod(name, "istio-system", labels={"app": "istiod"})
    document["spec"]["containers"] = [{"name": "discovery", "image": "istio/pilot:1.28.0"}]
    return document


def bare(name: str, namespace: str, **metadata: Any) -> dict[str, Any]:
    document = pod(name, namespace, **metadata)
    document["spec"]["containers"] = [{"name": "app", "image": "app:1"}]
    return document


def gateway(name: str) -> dict[str, Any]:
    document = pod(name, labels=GATEWAY_API)
    document["spec"]["containers"][0]["args"] = ["proxy", "router"]
    return document


def node(name: str, ready: str) -> dict[str, Any]:
    conditions = [{"type": "DiskPressure", "status": "True"}, {"type": "Ready", "status": ready}]
    return {"metadata": {"name": name}, "status": {"conditions": conditions}}


def namespace(name: str, **metadata: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, **metadata}}


def service(*ports: int) -> dict[str, Any]:
    rows = [{"port": port, "targetPort": port, "appProtocol": "http"} for port in ports]
    owners = [{"kind": "Gateway", "name": "web"}]
    metadata = {"name": "web", "namespace": "shop", "ownerReferences": owners}
    return {"metadata": metadata, "spec": {"selector": GATEWAY_API, "ports": rows}}
