"""The cluster's control plane on a machine of its own: etcd, API server, controllers, scheduler."""

import contextlib
import json
import ssl
import time
import urllib.request
from collections.abc import Iterable, Mapping
from pathlib import Path

import yaml

from exporter.tls_contexts import client_context
from tests.cluster.go_programs import program
from tests.cluster.machine import Machine
from tests.real.kubernetes.authority import Authority
from tests.real.kubernetes.client import Admin
from tests.real.kubernetes.control_plane import AUDIT_POLICY, ISSUER
from tests.real.kubernetes.kubeconfig import certificate_user, write_kubeconfig
from tests.real.kubernetes.tokens import Signer

PORT = 6443
POD_NETWORK = "10.244.0.0/16"
SERVICE_NETWORK = "10.96.0.0/16"
API_SERVICE = "10.96.0.1"
START_SECONDS = 90.0
USERS: Mapping[str, Iterable[str]] = {
    "admin": ("system:masters",),
    "kubelet-client": ("system:masters",),
    "system:kube-controller-manager": (),
    "system:kube-scheduler": (),
    "system:kube-proxy": (),
}


class ControlPlane:
    """The four programs, and the files of everybody who connects to them."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.url = f"https://{machine.address}:{PORT}"
        self.authority = Authority(machine.folder)
        self.signer = Signer(machine.folder, ISSUER)
        hosts = (machine.address, API_SERVICE, "127.0.0.1", "kubernetes.default.svc")
        self._serving = self.authority.issue("kube-apiserver", hosts=hosts)
        self._certificates = {user: self.authority.issue(user, USERS[user]) for user in USERS}
        (machine.folder / "audit-policy.yaml").write_text(json.dumps(AUDIT_POLICY))

    def start(self) -> None:
        """Start them, and wait until the API server is ready."""
        self.machine.run("etcd", program("etcd"), *_flags(self._etcd()))
        self.machine.run("kube-apiserver", program("kube-apiserver"), *_flags(self._api_server()))
        self._await_ready()
        self.machine.run(
            "kube-controller-manager",
            program("kube-controller-manager"),
            *_flags(self._controllers()),
        )
        scheduler = {
            "kubeconfig": self.kubeconfig("system:kube-scheduler"),
            "leader-elect": "false",
        }
        self.machine.run("kube-scheduler", program("kube-scheduler"), *_flags(scheduler))

    def admin(self) -> Admin:
        """A client with every right; a context manager."""
        return Admin(self.url, self._admin_context(), self.signer)

    @property
    def credentials(self) -> tuple[Path, Path, Path]:
        """The files of an administrator: the authority, the certificate and its key."""
        return (self.authority.root, *self._certificates["admin"])

    @property
    def audit_log(self) -> Path:
        """Who asked for what, one document a line."""
        return self.machine.folder / "audit.log"

    def kubeconfig(self, user: str, groups: Iterable[str] = ()) -> Path:
        """The kubeconfig of a user, with a certificate of this cluster's authority."""
        path = self.machine.folder / f"{user.replace(':', '-')}.kubeconfig"
        if not path.exists():
            pair = self._certificates.get(user) or self.authority.issue(user, groups)
            write_kubeconfig(path, self.url, self.authority.root, **certificate_user(*pair))
        return path

    def _admin_context(self) -> ssl.SSLContext:
        context = client_context()
        context.load_verify_locations(self.authority.root)
        context.load_cert_chain(*self._certificates["admin"])
        return context

    def _etcd(self) -> dict[str, object]:
        return {
            "data-dir": self.machine.state / "etcd",
            "listen-client-urls": "http://127.0.0.1:2379",
            "advertise-client-urls": "http://127.0.0.1:2379",
        }

    def _api_server(self) -> dict[str, object]:
        folder = self.machine.folder
        certificate, key = self._serving
        kubelet, kubelet_key = self._certificates["kubelet-client"]
        return {
            "etcd-servers": "http://127.0.0.1:2379",
            "bind-address": "0.0.0.0",
            "advertise-address": self.machine.address,
            "secure-port": PORT,
            "tls-cert-file": certificate,
            "tls-private-key-file": key,
            "client-ca-file": self.authority.root,
            "cert-dir": folder,
            "authorization-mode": "Node,RBAC",
            "enable-admission-plugins": "NodeRestriction",
            "allow-privileged": "true",
            "service-cluster-ip-range": SERVICE_NETWORK,
            "service-account-issuer": ISSUER,
            "service-account-key-file": self.signer.public,
            "service-account-signing-key-file": self.signer.private,
            "kubelet-client-certificate": kubelet,
            "kubelet-client-key": kubelet_key,
            "kubelet-certificate-authority": self.authority.root,
            "kubelet-preferred-address-types": "InternalIP",
            # Webhooks are called by their pods' addresses: no kube-proxy runs on this machine.
            "enable-aggregator-routing": "true",
            "audit-policy-file": folder / "audit-policy.yaml",
            "audit-log-path": self.audit_log,
        }

    def _controllers(self) -> dict[str, object]:
        return {
            "kubeconfig": self.kubeconfig("system:kube-controller-manager"),
            "leader-elect": "false",
            "use-service-account-credentials": "true",
            "service-account-private-key-file": self.signer.private,
            "root-ca-file": self.authority.root,
            "allocate-node-cidrs": "true",
            "cluster-cidr": POD_NETWORK,
            "service-cluster-ip-range": SERVICE_NETWORK,
        }

    def _await_ready(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        context = self._admin_context()
        while True:
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"{self.url}/readyz", context=context, timeout=5).close()
                return
            self.machine.check()
            log = self.machine.log("kube-apiserver")
            assert time.monotonic() < deadline, f"the API server is not ready, read {log}"
            time.sleep(0.1)


def _flags(values: Mapping[str, object]) -> list[str]:
    return [f"--{name}={value}" for name, value in values.items()]


def write_yaml(path: Path, document: object) -> Path:
    """Write a configuration file."""
    path.write_text(yaml.safe_dump(document))
    return path
