"""Every object of the cluster, of whatever kind: what an uninstall leaves."""

import asyncio
from collections.abc import Iterator

from tests.real.kubernetes.client import Admin, Document

_COMES_AND_GOES = frozenset({"componentstatuses", "endpoints", "events", "leases"})
"""Kinds of which nothing is a chart's, or that say what happened."""
_IN_EVERY_NAMESPACE = ("default", "kube-root-ca.crt", "istio-ca-root-cert", "istio-ca-crl")


async def objects(admin: Admin) -> set[str]:
    """Resource, namespace and name of each, but for what every namespace gets."""
    groups = (await admin.get("/apis"))["groups"]
    versions = ["/api/v1", *(f"/apis/{row['preferredVersion']['groupVersion']}" for row in groups)]
    found = await asyncio.gather(*(admin.get(path) for path in versions))
    paths = [
        path
        for version, document in zip(versions, found, strict=True)
        for path in _lists(version, document)
    ]
    lists = await asyncio.gather(*(admin.get(path) for path in paths))
    return {
        f"{path} {row['metadata'].get('namespace', '')} {row['metadata']['name']}"
        for path, document in zip(paths, lists, strict=True)
        for row in document["items"]
        if row["metadata"]["name"] not in _IN_EVERY_NAMESPACE
    }


def _lists(version: str, document: Document) -> Iterator[str]:
    """The paths of the lists of a group."""
    for resource in document["resources"]:
        name = resource["name"]
        if "list" in resource["verbs"] and name not in _COMES_AND_GOES:
            yield f"{version}/{name}"
