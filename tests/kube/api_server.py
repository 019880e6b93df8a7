"""A stand-in for kube-apiserver over real HTTP: lists, watches and their failures."""

import asyncio
import contextlib
import itertools
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web


class Cluster:
    """A cluster's objects, the requests that it got, and the failures to come."""

    def __init__(self) -> None:
        self.version = 100
        self.objects: dict[str, dict[str, dict[str, Any]]] = {}
        self.history: dict[str, list[tuple[int, bytes]]] = {}
        self.watches: dict[str, list[asyncio.Queue[bytes | None]]] = {}
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.refusals: list[tuple[int, dict[str, str], str] | None] = []
        self.refused_paths: dict[str, int] = {}
        self.gone_before = 0
        self.chunk = 0
        self.address = ""
        self._continues: dict[str, tuple[list[dict[str, Any]], int]] = {}
        self._tokens = itertools.count()

    def put(self, path: str, document: dict[str, Any]) -> None:
        """Create or replace an object and tell the watches of its list."""
        rows = self.objects.setdefault(path, {})
        name = _name(document)
        self._tell(path, "MODIFIED" if name in rows else "ADDED", document)
        rows[name] = document

    def delete(self, path: str, document: dict[str, Any]) -> None:
        self.objects[path].pop(_name(document))
        self._tell(path, "DELETED", document)

    def forget(self, path: str, document: dict[str, Any]) -> None:
        """Delete an object without a word to the watches, as in an outage."""
        self.objects[path].pop(_name(document))
        self.version += 1

    def bookmark(self, path: str, version: int) -> None:
        self.send(path, _line("BOOKMARK", {"metadata": {"resourceVersion": str(version)}}))

    def expire(self, path: str) -> None:
        """End the watches as after a compaction."""
        self.gone_before = self.version + 1
        self.version += 2
        status = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}
        self.send(path, _line("ERROR", status))

    def end_watches(self, path: str) -> None:
        for queue in self.watches.get(path, []):
            queue.put_nowait(None)

    def send(self, path: str, data: bytes) -> None:
        for queue in self.watches.get(path, []):
            queue.put_nowait(data)

    def queries(self, path: str, *, watch: bool) -> list[dict[str, str]]:
        """The queries of the lists or watches of a path so far."""
        return [q for p, q in self.requests if p == path and ("watch" in q) is watch]

    def _tell(self, path: str, kind: str, document: dict[str, Any]) -> None:
        self.version += 1
        document["metadata"]["resourceVersion"] = str(self.version)
        line = _line(kind, document)
        self.history.setdefault(path, []).append((self.version, line))
        self.send(path, line)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        query = dict(request.query)
        self.requests.append((request.path, query))
        if request.path in self.refused_paths:
            return _status(self.refused_paths[request.path], "forbidden")
        refusal = self.refusals.pop(0) if self.refusals else None
        if refusal:
            status, headers, text = refusal
            said = text.replace("{authorization}", request.headers.get("Authorization", ""))
            return _status(status, said, headers)
        if "watch" in query:
            return await self._watch(request, query)
        return self._list(request.path, query)

    def _list(self, path: str, query: dict[str, str]) -> web.Response:
        if "continue" in query:
            rows, version = self._continues.pop(query["continue"])
        else:
            rows, version = list(self.objects.get(path, {}).values()), self.version
        limit = int(query["limit"])
        metadata = {"resourceVersion": str(version)}
        if rows[limit:]:
            token = f"token-{next(self._tokens)}"
            self._continues[token] = (rows[limit:], version)
            metadata["continue"] = token
        return web.json_response({"metadata": metadata, "items": rows[:limit]})

    async def _watch(self, request: web.Request, query: dict[str, str]) -> web.StreamResponse:
        if int(query["resourceVersion"]) < self.gone_before:
            return _status(410, "too old resource version")
        response = web.StreamResponse()
        await response.prepare(request)
        queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        for version, line in self.history.get(request.path, []):
            if version > int(query["resourceVersion"]):
                queue.put_nowait(line)
        queues = self.watches.setdefault(request.path, [])
        queues.append(queue)
        try:
            while (data := await queue.get()) is not None:
                await self._write(response, data)
        finally:
            queues.remove(queue)
        if request.transport:
            request.transport.abort()
        return response

    async def _write(self, response: web.StreamResponse, data: bytes) -> None:
        size = self.chunk or len(data)
        for start in range(0, len(data), size):
            await response.write(data[start : start + size])
            await asyncio.sleep(0)


def _name(document: dict[str, Any]) -> str:
    metadata = document["metadata"]
    return f"{metadata.get('namespace', '')}/{metadata['name']}"


def _line(kind: str, document: dict[str, Any]) -> bytes:
    return json.dumps({"type": kind, "object": document}).encode() + b"\n"


def _status(code: int, message: str, headers: dict[str, str] | None = None) -> web.Response:
    body = {"kind": "Status", "code": code, "message": message}
    return web.json_response(body, status=code, headers=headers)


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    """A cluster behind http://`address`."""
    async with serving() as standin:
        yield standin


@contextlib.asynccontextmanager
async def serving() -> AsyncIterator[Cluster]:
    """The same where there is no fixture."""
    standin = Cluster()
    application = web.Application()
    application.router.add_get("/{path:.*}", standin.answer)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0]
    standin.address = f"http://{host}:{port}"
    try:
        yield standin
    finally:
        await runner.cleanup()
