"""The cluster itself: names, Services and policies hold before anything is tested in it."""

from tests.cluster.cluster import Cluster
from tests.cluster.workloads import (
    PORT,
    await_phase,
    await_ready,
    pod,
    service,
)
from tests.real.kubernetes.client import Admin, Document

FETCH = "import sys, urllib.request; urllib.request.urlopen(sys.argv[1], timeout=5)"
CONNECT = """\
import socket, sys, time
for _ in range(100):
    try:
        socket.create_connection((sys.argv[1], int(sys.argv[2])), 2).close()
    except ConnectionRefusedError:
        sys.exit(0)
    time.sleep(0.2)
sys.exit(1)
"""


def _client(where: str, name: str, program: str, *arguments: str) -> Document:
    return pod(where, name, ("python3", "-c", program, *arguments), restartPolicy="Never")


def _deny_all(where: str) -> Document:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"namespace": where, "name": "deny"},
        "spec": {"podSelector": {"matchLabels": {"app": "web"}}, "policyTypes": ["Ingress"]},
    }


async def test_a_pod_reaches_another_by_the_name_of_its_service(
    cluster: Cluster, admin: Admin, corner: str
) -> None:
    await admin.apply(pod(corner, "web"), service(corner, "web"))
    await await_ready(cluster, admin, corner, 1)
    client = _client(corner, "client", FETCH, f"http://web.{corner}.svc.cluster.local:{PORT}/")
    await admin.apply(client)
    await await_phase(cluster, admin, client, "Succeeded")


async def test_what_a_network_policy_forbids_is_rejected(
    cluster: Cluster, admin: Admin, corner: str
) -> None:
    await admin.apply(pod(corner, "web"))
    (web,) = await await_ready(cluster, admin, corner, 1)
    await admin.apply(_deny_all(corner))
    client = _client(corner, "client", CONNECT, web["status"]["podIP"], str(PORT))
    await admin.apply(client)
    await await_phase(cluster, admin, client, "Succeeded")
