"""Recorded proxies in network namespaces, registered as pods of a real API server."""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from exporter.demo import SHIPPED, DemoPod, load_states, mesh
from tests.real.kubernetes.client import Admin, Document
from tests.real.kubernetes.kubelet import Kubelet
from tests.real.kubernetes.pods import running_status

_OURS = ("labels", "annotations")


@dataclass(frozen=True, slots=True)
class Staged:
    """A pod of the mesh and its document in the API server."""

    pod: DemoPod
    document: Document


@asynccontextmanager
async def staged(
    admin: Admin, kubelet: Kubelet, namespace: str, names: Sequence[str]
) -> AsyncIterator[dict[str, Staged]]:
    """Stand the named recordings up, and say to the API server that they run on the kubelet."""
    states = [state for state in load_states(SHIPPED) if state.name in names]
    async with mesh(states, flat=False, earlier=False) as built:
        found = {}
        for pod in built.pods:
            kubelet.places[namespace, pod.name] = f"/proc/{pod.target.netns}/ns/net"
            document = document_of(pod, namespace, kubelet.name)
            found[pod.name] = Staged(pod, await admin.create(document))
        yield found


def document_of(pod: DemoPod, namespace: str, node: str) -> Document:
    """The pod as it was recorded, in another namespace, on this node, with its address here."""
    recorded = json.loads(pod.state.pod)
    spec, metadata = recorded["spec"], recorded["metadata"]
    for name in ("volumes", "serviceAccount", "serviceAccountName", "imagePullSecrets"):
        spec.pop(name, None)
    for container in (*spec["containers"], *spec.get("initContainers", ())):
        container.pop("volumeMounts", None)
    proxy = next(c for c in _containers(spec) if c["name"] == "istio-proxy")
    status = running_status(pod.target.addresses[0])
    rows = (
        "initContainerStatuses" if proxy in spec.get("initContainers", ()) else "containerStatuses"
    )
    del status["containerStatuses"], status["initContainerStatuses"]
    state = {"running": {"startedAt": "2026-01-01T00:00:00Z"}}
    row = {"name": "istio-proxy", "image": "proxyv2", "imageID": "", "restartCount": 0}
    status[rows] = [{**row, "ready": True, "started": True, "state": state}]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "namespace": namespace,
            "name": pod.name,
            **{key: metadata[key] for key in _OURS if key in metadata},
        },
        "spec": {**spec, "nodeName": node},
        "status": status,
    }


def _containers(spec: Document) -> list[Document]:
    return [*spec["containers"], *spec.get("initContainers", ())]
