"""Kubeconfig files and service-account folders for the control plane's users."""

from pathlib import Path
from typing import Any

import yaml


def write_kubeconfig(path: Path, url: str, root: Path, **user: Any) -> Path:
    """A kubeconfig of one user: `token`, or `client-certificate` and `client-key`, or `exec`."""
    cluster = {"server": url, "certificate-authority": str(root)}
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "here",
        "clusters": [{"name": "local", "cluster": cluster}],
        "users": [{"name": "me", "user": user}],
        "contexts": [{"name": "here", "context": {"cluster": "local", "user": "me"}}],
    }
    path.write_text(yaml.safe_dump(document))
    return path


def certificate_user(certificate: Path, key: Path) -> dict[str, str]:
    """The fields of a user with a client certificate, for `write_kubeconfig`."""
    return {"client-certificate": str(certificate), "client-key": str(key)}


def write_service_account(folder: Path, root: Path, namespace: str, token: str) -> None:
    """What the kubelet projects into a pod."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "ca.crt").write_bytes(root.read_bytes())
    (folder / "namespace").write_text(namespace)
    rotate(folder, token)


def rotate(folder: Path, token: str) -> None:
    """Put another token in the old one's place at once, as the kubelet does."""
    new = folder / ".token"
    new.write_text(token)
    new.rename(folder / "token")
