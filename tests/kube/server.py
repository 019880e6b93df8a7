"""An API server of our own over TLS, the ways to it, and a canary for its secrets."""

import asyncio
import stat
import sys
from pathlib import Path
from typing import Any

import yaml
from aiohttp import web

from tests.real.kubernetes.authority import Authority

CANARY = "canary-7f3a91c0"


class Server:
    """An API server that knows tokens and client certificates, and refuses as it is told."""

    def __init__(self) -> None:
        self.tokens = {CANARY}
        self.users: list[str] = []
        self.refusal: web.Response | None = None
        self.chunks: list[bytes] = []
        self.port = 0

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if self.refusal:
            refusal, self.refusal = self.refusal, None
            return refusal
        authorization = request.headers.get("Authorization", "")
        certificate = request.get_extra_info("peercert")
        token = authorization.removeprefix("Bearer ")
        if token not in self.tokens and not certificate:
            return web.json_response({"message": f"who is {authorization}?"}, status=401)
        self.users.append(token or dict(certificate["subject"][0])["commonName"])
        if request.path == "/silent":
            await asyncio.sleep(30)
        if request.path != "/stream":
            return web.json_response({"path": request.path_qs})
        response = web.StreamResponse()
        await response.prepare(request)
        for chunk in self.chunks:
            await response.write(chunk)
            await asyncio.sleep(0.01)
        return response


def kubeconfig(authority: Authority, server: Server, **user: Any) -> str:
    """A kubeconfig file for this server with one user."""
    cluster = {"server": server.url, "certificate-authority": str(authority.root)}
    document = {
        "current-context": "here",
        "clusters": [{"name": "local", "cluster": cluster}],
        "users": [{"name": "me", "user": user}],
        "contexts": [{"name": "here", "context": {"cluster": "local", "user": "me"}}],
    }
    path = authority.folder / "config"
    path.write_text(yaml.safe_dump(document))
    return str(path)


def service_account(authority: Authority, server: Server) -> dict[str, str]:
    """The environment of a pod whose service account lies in the authority's folder."""
    (authority.folder / "token").write_text(CANARY + "\n")
    return {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": str(server.port)}


def plugin(folder: Path, body: str) -> dict[str, Any]:
    """An exec plugin that runs this Python."""
    path = folder / "plugin"
    path.write_text(f"#!{sys.executable}\nimport sys\n{body}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return {"apiVersion": "client.authentication.k8s.io/v1", "command": str(path)}


def assert_keeps_secrets(error: BaseException) -> None:
    """No canary in the error, nor in what a traceback would show with it."""
    shown: BaseException | None = error
    while shown is not None:
        assert CANARY not in f"{shown} {shown!r}"
        shown = shown.__cause__ or (None if shown.__suppress_context__ else shown.__context__)
