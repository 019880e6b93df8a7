"""CoreDNS: its account, its pods, and the Service that every pod resolves names with."""

from tests.cluster.images import TAG
from tests.cluster.node_config import DNS_SERVICE, corefile
from tests.real.kubernetes.client import Admin, Document

NAME = "coredns"
NAMESPACE = "kube-system"
_METADATA = {"name": NAME, "namespace": NAMESPACE}
_LABELS = {"k8s-app": "kube-dns"}


def documents() -> tuple[Document, ...]:
    """The account with its rights, the configuration, the pods and the Service."""
    return (
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": _METADATA},
        *_rights(),
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": _METADATA,
            "data": {"Corefile": corefile()},
        },
        _deployment(),
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "kube-dns", "namespace": NAMESPACE, "labels": _LABELS},
            "spec": {
                "clusterIP": DNS_SERVICE,
                "selector": _LABELS,
                "ports": [
                    {"name": "dns", "port": 53, "protocol": "UDP"},
                    {"name": "dns-tcp", "port": 53, "protocol": "TCP"},
                ],
            },
        },
    )


async def is_ready(admin: Admin) -> bool:
    """Whether a pod of CoreDNS is ready."""
    found = await admin.get(f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/{NAME}")
    return bool(found.get("status", {}).get("readyReplicas"))


def _rights() -> tuple[Document, ...]:
    read = ["list", "watch"]
    return (
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "metadata": {"name": NAME},
            "rules": [
                {
                    "apiGroups": [""],
                    "resources": ["endpoints", "services", "pods", "namespaces"],
                    "verbs": read,
                },
                {
                    "apiGroups": ["discovery.k8s.io"],
                    "resources": ["endpointslices"],
                    "verbs": read,
                },
            ],
        },
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": NAME},
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io",
                "kind": "ClusterRole",
                "name": NAME,
            },
            "subjects": [{"kind": "ServiceAccount", **_METADATA}],
        },
    )


def _deployment() -> Document:
    container = {
        "name": NAME,
        "image": f"localhost/{NAME}:{TAG}",
        "args": ["-conf", "/etc/coredns/Corefile"],
        "volumeMounts": [{"name": "config", "mountPath": "/etc/coredns"}],
        "readinessProbe": {"httpGet": {"path": "/ready", "port": 8181}, "periodSeconds": 2},
        "resources": {"requests": {"cpu": "10m", "memory": "30Mi"}},
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": _METADATA,
        "spec": {
            "selector": {"matchLabels": _LABELS},
            "template": {
                "metadata": {"labels": _LABELS},
                "spec": {
                    "serviceAccountName": NAME,
                    "dnsPolicy": "Default",
                    "containers": [container],
                    "volumes": [{"name": "config", "configMap": {"name": NAME}}],
                },
            },
        },
    }
