"""The configuration files of a node's programs."""

from pathlib import Path
from typing import Any

from tests.cluster.images import TAG

DOMAIN = "cluster.local"
DNS_SERVICE = "10.96.0.10"
PAUSE_IMAGE = f"localhost/pause:{TAG}"
_UNUSED = ("blockfile", "btrfs", "devmapper", "erofs", "zfs")
STATIC_PODS = "/etc/kubernetes/manifests"
CNI_PROGRAMS = "/usr/lib/cni"


def containerd(root: Path, socket: str) -> str:
    """containerd's own file: images are loaded, never pulled."""
    unused = ", ".join(f'"io.containerd.snapshotter.v1.{name}"' for name in _UNUSED)
    return f"""\
version = 3
root = "{root}"
state = "/run/containerd"
disabled_plugins = [{unused}, "io.containerd.nri.v1.nri", "io.containerd.internal.v1.opt"]

[grpc]
address = "{socket}"

[plugins.'io.containerd.cri.v1.images'.pinned_images]
sandbox = "{PAUSE_IMAGE}"

[plugins.'io.containerd.cri.v1.runtime']
restrict_oom_score_adj = true

[plugins.'io.containerd.cri.v1.runtime'.cni]
bin_dirs = ["{CNI_PROGRAMS}", "/opt/cni/bin"]
conf_dir = "/etc/cni/net.d"
"""


def kubelet(root: Path, serving: tuple[Path, Path], cgroup: str, socket: str) -> dict[str, Any]:
    """The kubelet's: authenticated, authorised, and content with a small disk."""
    certificate, key = serving
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(root)},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": str(certificate),
        "tlsPrivateKeyFile": str(key),
        "containerRuntimeEndpoint": f"unix://{socket}",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": cgroup,
        "failCgroupV1": False,
        "failSwapOn": False,
        "staticPodPath": STATIC_PODS,
        "clusterDNS": [DNS_SERVICE],
        "clusterDomain": DOMAIN,
        "resolvConf": "/dev/null",
        # This machine's disk is not the cluster's to tidy.
        "evictionHard": {"memory.available": "50Mi", "nodefs.available": "100Mi"},
        "imageGCHighThresholdPercent": 100,
        "syncFrequency": "10s",
    }


def kube_proxy(kubeconfig: Path, name: str) -> dict[str, Any]:
    """kube-proxy's, with connection tracking left as this machine has it."""
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "clientConnection": {"kubeconfig": str(kubeconfig)},
        "hostnameOverride": name,
        "mode": "iptables",
        "clusterCIDR": "10.244.0.0/16",
        "conntrack": {
            "maxPerCore": 0,
            "min": 0,
            "tcpEstablishedTimeout": "0s",
            "tcpCloseWaitTimeout": "0s",
            "udpTimeout": "0s",
            "udpStreamTimeout": "0s",
        },
    }


def cni(pods: str) -> dict[str, Any]:
    """One bridge for a node's pods; addresses are not translated, every machine has routes."""
    return {
        "cniVersion": "0.4.0",
        "name": "pods",
        "plugins": [
            {
                "type": "bridge",
                "bridge": "pods",
                "isDefaultGateway": True,
                "hairpinMode": True,
                "ipam": {"type": "host-local", "ranges": [[{"subnet": pods}]]},
            },
            {"type": "portmap", "capabilities": {"portMappings": True}},
        ],
    }


def corefile() -> str:
    """CoreDNS': Services and pods of this cluster, and nothing of the world."""
    return f"""\
.:53 {{
    errors
    health :8080
    ready :8181
    kubernetes {DOMAIN} in-addr.arpa ip6.arpa {{
        pods insecure
        fallthrough in-addr.arpa ip6.arpa
        ttl 5
    }}
    cache 5
}}
"""
