"""What an install may do, as a real API server's authorizer reports it: this much and no more."""

import asyncio
from dataclasses import dataclass

import pytest

from tests.charts.render import Document, of_kind, rbac
from tests.real.kubernetes.client import Admin
from tests.real.kubernetes.pods import namespace

pytestmark = pytest.mark.kubernetes

ELSEWHERE = "elsewhere"
READ = ("list", "watch")
KINDS = ("nodes", "namespaces", "secrets", "configmaps")
ASKED = (
    *(f"{verb} pods" for verb in ("get", *READ, "create", "update", "patch", "delete")),
    *(f"{verb} {kind}" for kind in KINDS for verb in ("get", *READ)),
    *(f"{verb} pods/portforward" for verb in ("get", "create")),
    *("create pods/exec", "get pods/log", "get nodes/proxy", "create serviceaccounts/token"),
    *("create tokenreviews", "impersonate users", "bind clusterroles"),
)
"""What an exporter could want, and what a thief of its token would."""
PODS = {f"{verb} pods" for verb in READ}
SEEN = {f"{verb} {kind}" for kind in ("nodes", "namespaces") for verb in READ}
FORWARD = {"get pods/portforward", "create pods/portforward"}


@dataclass(frozen=True, slots=True)
class Case:
    """An install, and what it may do in the first namespace and in another."""

    values: Document
    here: set[str]
    other_shards: set[str]
    account: str = "ipe-istio-port-exporter"


CASES = {
    "default": Case({}, PODS | SEEN, PODS | SEEN),
    "port-forward": Case(
        {"portForward": {"enabled": True}}, PODS | SEEN | FORWARD, PODS | SEEN | FORWARD
    ),
    "chosen": Case(
        {"namespaces": ["{here}"], "portForward": {"enabled": True}}, PODS | SEEN | FORWARD, SEEN
    ),
    "chosen-alone": Case({"namespaces": ["{here}"], "rbac": {"clusterScoped": False}}, PODS, set()),
    "dry-run": Case(
        {"istiod": {"webhookDryRun": {"enabled": True, "namespace": "{here}"}}},
        PODS | SEEN | {"create pods"},
        PODS | SEEN,
    ),
    "daemonset": Case(
        {
            "mode": "daemonset",
            "istiod": {"webhookDryRun": {"enabled": True, "namespace": "{here}"}},
        },
        PODS | SEEN,
        PODS | SEEN,
    ),
    "beside-a-daemonset": Case(
        {
            "mode": "daemonset",
            "istiod": {"webhookDryRun": {"enabled": True, "namespace": "{here}"}},
        },
        PODS | SEEN | {"create pods"},
        PODS | SEEN,
        account="ipe-istio-port-exporter-istiod",
    ),
}


def filled(values: object, here: str) -> object:
    """The values with the name of the test's own namespace."""
    if isinstance(values, dict):
        return {key: filled(value, here) for key, value in values.items()}
    if isinstance(values, list):
        return [filled(value, here) for value in values]
    return here if values == "{here}" else values


async def may(admin: Admin, user: str, deed: str, where: str) -> bool:
    """Whether the authorizer lets somebody do something in a namespace."""
    verb, _, thing = deed.partition(" ")
    resource, _, part = thing.partition("/")
    requested = {"verb": verb, "resource": resource, "subresource": part, "namespace": where}
    groups = {"tokenreviews": "authentication.k8s.io", "clusterroles": "rbac.authorization.k8s.io"}
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "metadata": {},
        "spec": {
            "user": user,
            "resourceAttributes": {**requested, "group": groups.get(resource, "")},
        },
    }
    return bool((await admin.create(review))["status"]["allowed"])


async def deeds(admin: Admin, user: str, where: str) -> set[str]:
    """All that somebody may do there."""
    return {deed for deed in ASKED if await may(admin, user, deed, where)}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
async def test_an_install_may_do_this_and_no_more(admin: Admin, corner: str, case: Case) -> None:
    await admin.apply(namespace(ELSEWHERE))
    values = filled(case.values, corner)
    assert isinstance(values, dict)
    documents = rbac(values, corner)
    await admin.apply(*documents)
    user = f"system:serviceaccount:{corner}:{case.account}"
    try:
        async with asyncio.timeout(20):  # the authorizer watches the roles that were just made
            while await deeds(admin, user, corner) < case.here:  # noqa: ASYNC110 - nobody is told
                await asyncio.sleep(0.05)

        assert await deeds(admin, user, corner) == case.here
        assert await deeds(admin, user, ELSEWHERE) == case.other_shards
    finally:
        for binding in of_kind(documents, "ClusterRoleBinding", "ClusterRole"):
            await admin.delete(binding)
