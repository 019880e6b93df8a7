"""The cluster itself: names, Services and policies hold before anything is tested in it."""

from tests.cluster.cluster import Cluster
from tests.cluster.requests import fetch, is_rejected
from tests.cluster.workloads import (
    PORT,
    await_phase,
    await_ready,
    pod,
    service,
)
from tests.real.kubernetes.client import Admin, Document


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
    client = fetch(corner, "client", f"http://web.{corner}.svc.cluster.local:{PORT}/")
    await admin.apply(client)
    await await_phase(cluster, admin, client, "Succeeded")


async def test_what_a_network_policy_forbids_is_rejected(
    cluster: Cluster, admin: Admin, corner: str
) -> None:
    await admin.apply(pod(corner, "web"))
    (web,) = await await_ready(cluster, admin, corner, 1)
    await admin.apply(_deny_all(corner))
    client = is_rejected(corner, "client", web["status"]["podIP"], PORT)
    await admin.apply(client)
    await await_phase(cluster, admin, client, "Succeeded")
