"""The rights of an install: the chart's own RBAC, on the real API server."""

import asyncio
from collections.abc import Mapping
from typing import Any

from tests.charts.render import of_kind, rbac
from tests.real.kubernetes.client import Admin, Document

USED = [("list", "pods"), ("watch", "pods"), ("watch", "nodes"), ("watch", "namespaces")]


async def install(admin: Admin, namespace: str, values: Mapping[str, Any] | None = None) -> str:
    """Apply the chart's RBAC and wait until it holds here. Returns the user that the account is."""
    documents = rbac(values or {}, namespace)
    await admin.apply(*documents)
    (account,) = of_kind(documents, "ServiceAccount")
    user = f"system:serviceaccount:{namespace}:{account['metadata']['name']}"
    async with asyncio.timeout(10):
        for verb, resource in USED:
            while not await admin.may(user, verb, resource, namespace):  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(0.02)
    return user


async def token_of(admin: Admin, user: str, seconds: int = 600) -> str:
    """A token of the user that `install` returned."""
    _, _, namespace, name = user.split(":")
    return await admin.service_account_token(namespace, name, seconds)


def granted(documents: list[Document]) -> set[tuple[str, str]]:
    """What the roles among the documents allow: (resource, verb)."""
    return {
        (resource, verb)
        for role in of_kind(documents, "ClusterRole", "Role")
        for rule in role["rules"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
