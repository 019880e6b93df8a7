"""Roles written by hand, for tests of single rights; `install.py` has the chart's own."""

from tests.real.kubernetes.client import Document


def cluster_role(name: str, rules: list[Document], account: tuple[str, str]) -> list[Document]:
    """A cluster role, and its binding to the service account (namespace, name)."""
    group = "rbac.authorization.k8s.io"
    role = {"apiGroup": group, "kind": "ClusterRole", "name": name}
    subject = {"kind": "ServiceAccount", "namespace": account[0], "name": account[1]}
    metadata = {"name": name}
    version = f"{group}/v1"
    return [
        {"apiVersion": version, "kind": "ClusterRole", "metadata": metadata, "rules": rules},
        {
            "apiVersion": version,
            "kind": "ClusterRoleBinding",
            "metadata": metadata,
            "roleRef": role,
            "subjects": [subject],
        },
    ]


DISCOVERY_RULES: list[Document] = [
    {
        "apiGroups": [""],
        "resources": ["pods", "namespaces", "nodes"],
        "verbs": ["list", "watch"],
    }
]
"""What finding targets needs."""
