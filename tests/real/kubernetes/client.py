"""What a cluster's people and controllers would do: documents in, documents out, as an admin."""

import ssl
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Self

import aiohttp

from tests.real.kubernetes.kubelet import PROTOCOL
from tests.real.kubernetes.tokens import Signer

Document = dict[str, Any]

_MERGE = "application/merge-patch+json"
_GROUPS = {"v1": "/api/v1"}
_AT_ONCE = {"gracePeriodSeconds": "0"}
_LEAST_SECONDS = 600


class RefusedError(Exception):
    """The API server refused: `status` of HTTP."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"{status}: {text}")
        self.status = status


class Admin:
    """A client with every right. Use as a context manager."""

    def __init__(self, url: str, context: ssl.SSLContext, signer: Signer) -> None:
        self._url = url
        self._context = context
        self._signer = signer
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            self._url, connector=aiohttp.TCPConnector(ssl=self._context, limit=64)
        )
        return self

    async def __aexit__(self, *_exception: object) -> None:
        if self._session:
            await self._session.close()

    async def get(self, path: str, **query: str) -> Document:
        """One document, or a list."""
        return await self._ask("GET", path, query=query)

    async def text(self, path: str, **query: str) -> str:
        """What a path serves that is no document, such as a pod's page through the API server."""
        assert self._session, "used outside of its context"
        async with self._session.get(path, params=query) as response:
            text = await response.text()
            if response.status >= 400:
                raise RefusedError(response.status, text)
            return text

    async def create(self, document: Document) -> Document:
        """Create it, and then its status where the document has one."""
        created = await self._ask("POST", list_path(document), document)
        if "status" in document:
            return await self.patch_status(created, document["status"])
        return created

    async def try_out(self, document: Document) -> Document:
        """What would come of creating it, with no unknown field allowed; nothing is created."""
        query = {"dryRun": "All", "fieldValidation": "Strict"}
        return await self._ask("POST", list_path(document), document, query=query)

    async def apply(self, *documents: Document) -> None:
        """Make them so, whether they are there or not; their status is not touched."""
        for document in documents:
            try:
                await self._ask("POST", list_path(document), document)
            except RefusedError as error:
                if error.status != 409:
                    raise
                await self._ask("PATCH", path_of(document), document, kind=_MERGE)

    async def patch(self, document: Document, change: Document) -> Document:
        """Merge a change into a document that is there."""
        return await self._ask("PATCH", path_of(document), change, kind=_MERGE)

    async def patch_status(self, document: Document, status: Document) -> Document:
        """Merge a change into its status, as a kubelet does."""
        path = f"{path_of(document)}/status"
        return await self._ask("PATCH", path, {"status": status}, kind=_MERGE)

    async def delete(self, document: Document, **query: str) -> None:
        """Delete it at once, or with `gracePeriodSeconds`; a pod on a node then waits for ever."""
        await self._ask("DELETE", path_of(document), query={**_AT_ONCE, **query})

    async def delete_all(self, path: str, **query: str) -> None:
        """Delete what a list holds, at once."""
        await self._ask("DELETE", path, query={**_AT_ONCE, **query})

    async def evict(self, pod: Document) -> None:
        """Evict a pod, as `kubectl drain` does."""
        metadata = {name: pod["metadata"][name] for name in ("namespace", "name")}
        eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": metadata}
        await self._ask("POST", f"{path_of(pod)}/eviction", eviction)

    async def service_account_token(
        self, namespace: str, name: str, seconds: int = _LEAST_SECONDS
    ) -> str:
        """A token of an account that is made where there is none.

        By TokenRequest, which gives ten minutes at least; shorter ones are signed here.
        """
        account = {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"namespace": namespace, "name": name},
        }
        await self.apply(account)
        if seconds < _LEAST_SECONDS:
            return self._signer.sign(await self.get(path_of(account)), seconds)
        request = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"expirationSeconds": seconds},
        }
        answer = await self._ask("POST", f"{path_of(account)}/token", request)
        return str(answer["status"]["token"])

    async def may(self, user: str, verb: str, resource: str, namespace: str) -> bool:
        """Whether a user has a right in a namespace by now; roles need a moment."""
        attributes = {"verb": verb, "resource": resource, "namespace": namespace}
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": {"user": user, "resourceAttributes": attributes},
        }
        path = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
        return bool((await self._ask("POST", path, review))["status"]["allowed"])

    def forward(
        self, pod: Document, *ports: int
    ) -> AbstractAsyncContextManager[aiohttp.ClientWebSocketResponse]:
        """An open port-forward to a pod; its frames start with the channel's number."""
        assert self._session, "used outside of its context"
        query = {"ports": ",".join(map(str, ports))}
        path = f"{path_of(pod)}/portforward"
        return self._session.ws_connect(path, params=query, protocols=[PROTOCOL])

    async def _ask(
        self,
        method: str,
        path: str,
        body: Document | None = None,
        *,
        kind: str = "application/json",
        query: Mapping[str, str] | None = None,
    ) -> Document:
        assert self._session, "used outside of its context"
        headers = {"Content-Type": kind} if body is not None else None
        async with self._session.request(
            method, path, json=body, headers=headers, params=query
        ) as response:
            answer: Document = await response.json()
            if response.status >= 400:
                raise RefusedError(response.status, str(answer.get("message")))
            return answer


def list_path(document: Document) -> str:
    """The path of the list that a document belongs to."""
    version, namespace = document["apiVersion"], document["metadata"].get("namespace")
    group = _GROUPS.get(version, f"/apis/{version}")
    scope = f"/namespaces/{namespace}" if namespace else ""
    return f"{group}{scope}/{plural(document['kind'])}"


def path_of(document: Document) -> str:
    """The path of a document."""
    return f"{list_path(document)}/{document['metadata']['name']}"


def plural(kind: str) -> str:
    """A resource's name by its kind."""
    word = kind.lower()
    is_changed = word.endswith("y") and word[-2] not in "aeiou"
    return f"{word[:-1]}ies" if is_changed else f"{word}s"
