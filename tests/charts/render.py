"""The chart as a cluster would get it, rendered by Helm's own engine.

`render` gives every document of an install, `rbac` what has to be applied for its service account
to have the install's rights and no others.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import helm_python as helm
import yaml

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "istio-port-exporter"
RELEASE, NAMESPACE = "ipe", "monitoring"
RBAC_KINDS = ("ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding")
RENAMED = {label: f"exported_{label}" for label in ("namespace", "pod", "endpoint")}
"""The samples' labels as a Prometheus without honor_labels has them, where its operator scrapes."""

Document = dict[str, Any]


def ci_files() -> list[Path]:
    """The values files of every mode and switch."""
    return sorted((CHART / "ci").glob("*-values.yaml"))


def values_of(file: Path) -> Document:
    """The values in a file."""
    found: Document = yaml.safe_load(file.read_text()) or {}
    return found


def render_files(
    values: Mapping[str, Any], namespace: str = NAMESPACE, release: str = RELEASE
) -> dict[str, str]:
    """The text of each template, NOTES.txt among them. Raises helm.HelmError."""
    with helm.Chart.load(CHART) as chart:
        files = chart.render(dict(values), name=release, namespace=namespace, is_install=True)
    return {Path(name).name: text for name, text in files.items()}


def render(
    values: Mapping[str, Any], namespace: str = NAMESPACE, release: str = RELEASE
) -> list[Document]:
    """Every document of an install with these values; those of `helm test` are none."""
    return [row for row in _documents(values, namespace, release) if not _is_hook(row)]


def hooks(values: Mapping[str, Any], namespace: str = NAMESPACE) -> list[Document]:
    """What `helm test` creates."""
    return [row for row in _documents(values, namespace) if _is_hook(row)]


def _documents(values: Mapping[str, Any], namespace: str, release: str = RELEASE) -> list[Document]:
    files = render_files(values, namespace, release)
    return [
        document
        for name, text in sorted(files.items())
        if name != "NOTES.txt"
        for document in yaml.safe_load_all(text)
        if document
    ]


def _is_hook(document: Document) -> bool:
    return "helm.sh/hook" in document["metadata"].get("annotations", {})


def rbac(values: Mapping[str, Any], namespace: str = NAMESPACE) -> list[Document]:
    """The accounts, roles and bindings of an install; accounts first, bindings after roles."""
    found = [row for row in render(values, namespace) if row["kind"] in RBAC_KINDS]
    return sorted(found, key=lambda row: RBAC_KINDS.index(row["kind"]))


def of_kind(documents: list[Document], *kinds: str) -> list[Document]:
    """Those documents of these kinds."""
    return [document for document in documents if document["kind"] in kinds]


def pod_specs(documents: list[Document]) -> list[Document]:
    """The pod specs of all workloads."""
    workloads = of_kind(documents, "Deployment", "StatefulSet", "DaemonSet")
    return [workload["spec"]["template"]["spec"] for workload in workloads]
