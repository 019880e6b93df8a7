"""A node of the cluster on a machine of its own: containerd, kubelet, kube-proxy, kube-router."""

import json
import os
import time
from collections.abc import Iterable
from pathlib import Path

from tests.cluster import node_config
from tests.cluster.control_plane import ControlPlane, write_yaml
from tests.cluster.go_programs import CONTAINERD, program
from tests.cluster.machine import Machine

SOCKET = "/run/containerd/containerd.sock"
CGROUPS = Path("/sys/fs/cgroup")
CGROUP = "istio-port-exporter-cluster"
LEAVE_SECONDS = 20.0


class Node:
    """What runs on a node, and its state beside the API server's."""

    def __init__(self, machine: Machine, plane: ControlPlane) -> None:
        self.machine = machine
        self.name = machine.name
        self.pods = ""
        self._plane = plane
        self._cgroup = f"/{CGROUP}/{machine.name}"

    def start_runtime(self) -> None:
        """Start containerd and wait until it serves."""
        config = node_config.containerd(self.machine.state / "containerd", SOCKET)
        path = self.machine.folder / "containerd.toml"
        path.write_text(config)
        # It finds its shim on PATH.
        search = f"{CONTAINERD.folder}:{os.environ.get('PATH', os.defpath)}"
        self.machine.run(
            "containerd", program("containerd"), "--config", path, environ={"PATH": search}
        )
        self.machine.await_file("containerd", SOCKET)

    def load(self, archives: Iterable[Path]) -> None:
        """Give the runtime images."""
        for archive in archives:
            self._ctr("images", "import", "--local", archive)

    def start_kubelet(self) -> None:
        """Start the kubelet; it registers the node."""
        for hierarchy in cgroup_hierarchies():
            (hierarchy / self._cgroup[1:]).mkdir(parents=True, exist_ok=True)
        user = f"system:node:{self.name}"
        serving = self._plane.authority.issue(
            f"kubelet-{self.name}", hosts=(self.machine.address, self.name)
        )
        config = node_config.kubelet(self._plane.authority.root, serving, self._cgroup, SOCKET)
        config["podLogsDir"] = str(self.machine.logs / "pods")
        self.machine.execute("mkdir", "-p", node_config.STATIC_PODS)
        self.machine.run(
            "kubelet",
            program("kubelet"),
            f"--config={write_yaml(self.machine.folder / 'kubelet.yaml', config)}",
            f"--kubeconfig={self._plane.kubeconfig(user, ('system:nodes',))}",
            f"--hostname-override={self.name}",
            f"--node-ip={self.machine.address}",
        )

    def start_network(self, pods: str) -> None:
        """Connect the node's pods, whose network is `pods`; enforce Services and policies."""
        network = json.dumps(node_config.cni(pods))
        script = "mkdir -p /etc/cni/net.d && cat > /etc/cni/net.d/10-pods.conflist"
        self.machine.execute("sh", "-c", script, text=network)
        proxy = node_config.kube_proxy(self._plane.kubeconfig("system:kube-proxy"), self.name)
        config = write_yaml(self.machine.folder / "kube-proxy.yaml", proxy)
        self.machine.run("kube-proxy", program("kube-proxy"), f"--config={config}")
        self.start_policies()

    def start_policies(self) -> None:
        """Start kube-router, which enforces NetworkPolicies and does nothing else here."""
        self.machine.run(
            "kube-router",
            program("kube-router"),
            f"--kubeconfig={self._plane.kubeconfig('kube-router', ('system:masters',))}",
            f"--hostname-override={self.name}",
            *("--run-firewall=true", "--run-router=false", "--run-service-proxy=false"),
            *("--run-loadbalancer=false", "--service-cluster-ip-range=10.96.0.0/16"),
            environ={"NODE_NAME": self.name},
        )

    def add_route(self, pods: str, address: str) -> None:
        """The way to another node's pods."""
        self.machine.execute("ip", "route", "replace", pods, "via", address)

    def _ctr(self, *arguments: object) -> str:
        return self.machine.execute(
            program("ctr"), "--address", SOCKET, "--namespace", "k8s.io", *arguments
        )


def cgroup_hierarchies() -> list[Path]:
    """The roots of this machine's cgroups: one each of version 1, or the one of version 2."""
    if (CGROUPS / "cgroup.controllers").exists():
        return [CGROUPS]
    return [path for path in CGROUPS.iterdir() if (path / "cgroup.procs").exists()]


def remove_cgroups() -> None:
    """Remove what nodes have left; their processes have ended, or are about to."""
    deadline = time.monotonic() + LEAVE_SECONDS
    for top in (hierarchy / CGROUP for hierarchy in cgroup_hierarchies()):
        while top.exists():
            try:
                for folder, _, _ in os.walk(top, topdown=False):
                    Path(folder).rmdir()
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
