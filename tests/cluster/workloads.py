"""Documents of workloads, and waiting for what becomes of them."""

import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from tests.cluster.cluster import READY_SECONDS, Cluster
from tests.cluster.images import DEBIAN
from tests.real.kubernetes.client import Admin, Document
from tests.real.kubernetes.pods import namespace

PORT = 8080
SERVE = ("python3", "-m", "http.server", str(PORT))


@contextlib.asynccontextmanager
async def new_namespace(admin: Admin, name: str, **labels: str) -> AsyncIterator[str]:
    """A namespace until the block ends; what is in it goes with it."""
    document = namespace(name, labels=labels)
    await admin.apply(document)
    try:
        yield name
    finally:
        await admin.delete(document)


def pod(
    where: str,
    name: str,
    command: Sequence[str] = SERVE,
    *,
    annotations: Mapping[str, str] | None = None,
    **spec: Any,
) -> Document:
    """A pod of one container, which serves HTTP by default."""
    probe = {"httpGet": {"path": "/", "port": PORT}, "periodSeconds": 2}
    container: Document = {
        "name": "app",
        "image": DEBIAN.reference,
        "command": list(command),
        "ports": [{"containerPort": PORT}],
        **({"readinessProbe": probe} if command is SERVE else {}),
    }
    metadata = {"namespace": where, "name": name, "labels": {"app": name}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {**metadata, "annotations": dict(annotations or {})},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 2, **spec},
    }


def deployment(where: str, name: str, replicas: int = 1, **annotations: str) -> Document:
    """A Deployment of such pods."""
    return _workload("Deployment", where, name, annotations, replicas=replicas)


def stateful_set(where: str, name: str, replicas: int = 1, **annotations: str) -> Document:
    """A StatefulSet of such pods, behind the Service of its name."""
    more = {"replicas": replicas, "serviceName": name}
    return _workload("StatefulSet", where, name, annotations, **more)


def job(where: str, name: str, command: Sequence[str] = SERVE, **annotations: str) -> Document:
    """A Job of one pod, which ends with its program."""
    template = pod(where, name, command, annotations=annotations, restartPolicy="Never")
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"namespace": where, "name": name},
        "spec": {"backoffLimit": 0, "template": _template(template)},
    }


def _workload(
    kind: str, where: str, name: str, annotations: Mapping[str, str], **spec: Any
) -> Document:
    template = pod(where, name, annotations=annotations)
    labels = template["metadata"]["labels"]
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"namespace": where, "name": name},
        "spec": {"selector": {"matchLabels": labels}, "template": _template(template), **spec},
    }


def _template(document: Document) -> Document:
    """A pod's document without what names the one pod."""
    metadata = {key: document["metadata"][key] for key in ("labels", "annotations")}
    return {"metadata": metadata, "spec": document["spec"]}


def service(where: str, name: str) -> Document:
    """A Service in front of the pods of this name."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"namespace": where, "name": name},
        "spec": {"selector": {"app": name}, "ports": [{"name": "http", "port": PORT}]},
    }


def isolated(where: str, labels: Mapping[str, str] | None = None) -> Document:
    """A policy that lets nobody in to the pods with these labels, or to all of a namespace."""
    selector = {"matchLabels": dict(labels)} if labels else {}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"namespace": where, "name": "isolated"},
        "spec": {"podSelector": selector, "policyTypes": ["Ingress"]},
    }


async def pods_of(admin: Admin, where: str, **query: str) -> list[Document]:
    """The pods of a namespace."""
    items: list[Document] = (await admin.get(f"/api/v1/namespaces/{where}/pods", **query))["items"]
    return items


def is_ready(found: Document) -> bool:
    """Whether the kubelet reports a pod ready."""
    rows = found.get("status", {}).get("conditions", ())
    return any(row["type"] == "Ready" and row["status"] == "True" for row in rows)


async def await_ready(
    cluster: Cluster, admin: Admin, where: str, count: int, seconds: float = READY_SECONDS
) -> list[Document]:
    """Wait until a namespace has so many pods and all are ready; they are returned."""
    found: list[Document] = []

    async def are_ready() -> bool:
        nonlocal found
        found = await pods_of(admin, where)
        return len(found) == count and all(map(is_ready, found))

    await cluster.wait_for(are_ready, f"{count} ready pods in {where}", seconds)
    return found


async def scale(admin: Admin, document: Document, replicas: int) -> None:
    """Let a workload have so many pods."""
    await admin.patch(document, {"spec": {"replicas": replicas}})


async def await_pods(cluster: Cluster, admin: Admin, where: str, count: int) -> None:
    """Wait until a namespace has so many pods, ready or not."""

    async def are_there() -> bool:
        return len(await pods_of(admin, where)) == count

    await cluster.wait_for(are_there, f"{count} pods in {where}")


async def await_phase(cluster: Cluster, admin: Admin, document: Document, phase: str) -> Document:
    """Wait until a pod is in a phase; it is returned."""
    metadata = document["metadata"]
    path = f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}"
    found: Document = {}

    async def is_there() -> bool:
        nonlocal found
        found = await admin.get(path)
        return bool(found["status"].get("phase") == phase)

    await cluster.wait_for(is_there, f"{metadata['name']} to be {phase}")
    return found
