"""What an exporter's service accounts may do in the cluster, and what the audit log shows of them.

The audit policy notes every request, so that a right that no request used is one too many.
"""

from tests.cluster.cluster import Cluster
from tests.cluster.product import LABEL, Exporter
from tests.cluster.workloads import pods_of
from tests.real.kubernetes.client import Admin, Document
from tests.real.kubernetes.control_plane import accesses_in

_GROUP = "/apis/rbac.authorization.k8s.io/v1"
_REFUSED = (401, 403)
_PORT_FORWARD = ("create", "pods/portforward")
"""Kubernetes asks for it beside `get`, and audits the one request as `get`."""

Right = tuple[str, str]
"""A verb and a resource."""


async def assert_each_right_is_used_and_none_missed(
    cluster: Cluster, admin: Admin, reporter: Exporter
) -> None:
    """Of every service account of a release: nothing was refused, and each right is used."""
    found = await pods_of(admin, reporter.namespace, labelSelector=LABEL)
    accounts = {row["spec"]["serviceAccountName"] for row in found}
    assert accounts
    for account in accounts:
        user = f"system:serviceaccount:{reporter.namespace}:{account}"
        rows = accesses_in(cluster.plane.audit_log, user)
        assert [row for row in rows if row.code in _REFUSED] == []
        used = {(row.verb, row.resource) for row in rows}
        if ("get", "pods/portforward") in used:
            used.add(_PORT_FORWARD)
        assert used == await granted(admin, reporter.namespace, account)


async def granted(admin: Admin, where: str, account: str) -> set[Right]:
    """What the roles that are bound to an account let it do, wherever."""
    rights: set[Right] = set()
    for kind in ("clusterrolebindings", "rolebindings"):
        for binding in (await admin.get(f"{_GROUP}/{kind}"))["items"]:
            subjects = binding.get("subjects", ())
            if any(row.get("namespace") == where and row["name"] == account for row in subjects):
                rights |= _rights_of(await admin.get(_role_of(binding)))
    return rights


def _role_of(binding: Document) -> str:
    role = binding["roleRef"]
    if role["kind"] == "ClusterRole":
        return f"{_GROUP}/clusterroles/{role['name']}"
    return f"{_GROUP}/namespaces/{binding['metadata']['namespace']}/roles/{role['name']}"


def _rights_of(role: Document) -> set[Right]:
    return {
        (verb, resource)
        for rule in role["rules"]
        for verb in rule["verbs"]
        for resource in rule["resources"]
    }
