"""A real kube-apiserver on a real etcd: TLS, RBAC, an audit log, and a signer of tokens.

Nothing is switched on that is off by default. Admission of service accounts is off, so that pods
can be created without a controller that makes the accounts. There is no controller: what a
cluster would do by itself, a test does with the `Admin` of `client.py`.
"""

import contextlib
import json
import shutil
import socket
import ssl
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exporter.tls_contexts import client_context
from tests.real.kubernetes.assets import find
from tests.real.kubernetes.authority import Authority
from tests.real.kubernetes.client import Admin
from tests.real.kubernetes.tokens import Signer

START_SECONDS = 90.0
STOP_SECONDS = 20.0
ISSUER = "https://kubernetes.default.svc.cluster.local"
ADVERTISED = "192.0.2.1"
"""Only told to the Service `kubernetes`, which nobody here uses; loopback is refused."""

AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [{"level": "Metadata"}],
}


@dataclass(frozen=True, slots=True)
class Access:
    """One request of the audit log: who did what to what, and how it ended."""

    user: str
    verb: str
    resource: str
    namespace: str
    code: int


class ControlPlane:
    """Both programs, and what they leave behind, in one folder. Use `running()`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = Authority(folder)
        self.signer = Signer(folder, ISSUER)
        self.port = free_port()
        self.etcd = f"http://127.0.0.1:{free_port()}"
        self._certificates = {
            name: self.authority.issue(name, groups)
            for name, groups in {
                "kube-apiserver": (),
                "kubelet-client": ("system:masters",),
                "admin": ("system:masters",),
            }.items()
        }
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        (folder / "audit-policy.yaml").write_text(json.dumps(AUDIT_POLICY))

    @property
    def url(self) -> str:
        """Where the API server answers."""
        return f"https://127.0.0.1:{self.port}"

    def admin(self) -> Admin:
        """A client with every right; a context manager."""
        return Admin(self.url, self._admin_context(), self.signer)

    def client_context(self) -> ssl.SSLContext:
        """How anybody connects: the API server proves itself, the client does not."""
        context = client_context()
        context.load_verify_locations(self.authority.root)
        return context

    def _admin_context(self) -> ssl.SSLContext:
        context = self.client_context()
        context.load_cert_chain(*self._certificates["admin"])
        return context

    def start(self) -> None:
        """Start what is not running, and wait until the API server is ready."""
        if "etcd" not in self._processes:
            self._run("etcd", *self._etcd_flags())
        if "kube-apiserver" not in self._processes:
            self._run("kube-apiserver", *self._api_flags())
        self._await_ready()

    def stop(self, *names: str) -> None:
        """End the named programs, or both, the API server first."""
        for name in names or ("kube-apiserver", "etcd"):
            process = self._processes.pop(name, None)
            if process is None:
                continue
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def restart(self) -> None:
        """Another API server in the old one's place, on the same etcd."""
        self.stop("kube-apiserver")
        self.start()

    def back_up(self) -> Path:
        """A copy of etcd's data as it is now; ends both programs, start them again."""
        self.stop()
        return Path(shutil.copytree(self.folder / "etcd", self.folder / "backup"))

    def restore(self, backup: Path | None) -> None:
        """Put etcd's data back to a copy, or to nothing at all, and start both."""
        self.stop()
        shutil.rmtree(self.folder / "etcd")
        if backup:
            shutil.copytree(backup, self.folder / "etcd")
        self.start()

    def compact(self) -> None:
        """Make etcd forget every version but its newest."""
        newest = int(self._ask_etcd("kv/range", {"key": "AA=="})["header"]["revision"])
        self._ask_etcd("kv/compaction", {"revision": newest, "physical": True})

    def accesses(self, user: str = "") -> list[Access]:
        """The audit log so far, or what one user did."""
        return accesses_in(self.folder / "audit.log", user)

    def _run(self, name: str, *flags: str) -> None:
        program = find(name)
        assert program, f"{name} is missing"
        with (self.folder / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen((program, *flags), stdout=log, stderr=log)

    def _etcd_flags(self) -> Iterator[str]:
        peer = "http://127.0.0.1:0"
        return _flags(
            {
                "data-dir": self.folder / "etcd",
                "listen-client-urls": self.etcd,
                "advertise-client-urls": self.etcd,
                "listen-peer-urls": peer,
                "initial-advertise-peer-urls": peer,
                "initial-cluster": f"default={peer}",
            }
        )

    def _api_flags(self) -> Iterator[str]:
        serving, serving_key = self._certificates["kube-apiserver"]
        kubelet, kubelet_key = self._certificates["kubelet-client"]
        return _flags(
            {
                "etcd-servers": self.etcd,
                "bind-address": "127.0.0.1",
                "advertise-address": ADVERTISED,
                "secure-port": self.port,
                "tls-cert-file": serving,
                "tls-private-key-file": serving_key,
                "client-ca-file": self.authority.root,
                "cert-dir": self.folder,
                "authorization-mode": "RBAC",
                "allow-privileged": "true",
                "disable-admission-plugins": "ServiceAccount",
                "service-cluster-ip-range": "10.96.0.0/16",
                "service-account-issuer": ISSUER,
                "service-account-key-file": self.signer.public,
                "service-account-signing-key-file": self.signer.private,
                "kubelet-client-certificate": kubelet,
                "kubelet-client-key": kubelet_key,
                "kubelet-certificate-authority": self.authority.root,
                "kubelet-preferred-address-types": "InternalIP",
                "audit-policy-file": self.folder / "audit-policy.yaml",
                "audit-log-path": self.folder / "audit.log",
                "audit-log-mode": "blocking-strict",
            }
        )

    def _await_ready(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        context = self._admin_context()
        while True:
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"{self.url}/readyz", context=context, timeout=5).close()
                return
            for name, process in self._processes.items():
                assert process.poll() is None, f"{name} ended: {self._last_words(name)}"
            assert time.monotonic() < deadline, self._last_words("kube-apiserver")
            time.sleep(0.1)

    def _last_words(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text(errors="replace")[-800:]

    def _ask_etcd(self, path: str, question: Mapping[str, Any]) -> Any:
        """Over etcd's JSON gateway."""
        body = json.dumps(question).encode()
        with urllib.request.urlopen(f"{self.etcd}/v3/{path}", body, timeout=10) as answer:
            return json.load(answer)


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def running(folder: Path) -> Iterator[ControlPlane]:
    """A control plane that is ready; its files stay in the folder."""
    plane = ControlPlane(folder)
    try:
        plane.start()
        yield plane
    finally:
        plane.stop()


def _flags(values: Mapping[str, object]) -> Iterator[str]:
    return (f"--{name}={value}" for name, value in values.items())


def accesses_in(log: Path, user: str = "") -> list[Access]:
    """What an audit log has so far, or what one user did."""
    rows = (json.loads(line) for line in log.read_text().splitlines()) if log.exists() else ()
    return [_access(row) for row in rows if user in ("", _user(row))]


def _user(row: Mapping[str, Any]) -> str:
    """Nobody, where a token was refused."""
    return str(row["user"].get("username", "nobody"))


def _access(row: Mapping[str, Any]) -> Access:
    seen = row.get("objectRef", {})
    parts = (seen.get("resource", ""), seen.get("subresource", ""))
    return Access(
        user=_user(row),
        verb=row["verb"],
        resource="/".join(part for part in parts if part) or row["requestURI"].partition("?")[0],
        namespace=seen.get("namespace", ""),
        code=row.get("responseStatus", {}).get("code", 0),
    )
