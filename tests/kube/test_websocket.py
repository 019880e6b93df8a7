"""The wire of a port-forward, against a server of our own behind TLS."""

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from exporter.kube.client import KubernetesClient
from exporter.kube.credentials import load_kubeconfig
from exporter.kube.errors import (
    ForbiddenError,
    KubernetesError,
    UnauthorizedError,
    UnreachableError,
)
from tests.kube.server import CANARY
from tests.kubernetes.authority import Authority

Talk = Callable[[web.Request], Awaitable[web.StreamResponse]]
PATH = "/api/v1/namespaces/{namespace}/pods/{pod}/portforward"
PROTOCOL = "v4.channel.k8s.io"


@asynccontextmanager
async def serving(authority: Authority, talk: Talk) -> AsyncIterator[KubernetesClient]:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*authority.issue("server"))
    application = web.Application()
    application.router.add_get(PATH, talk)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    url = f"https://127.0.0.1:{runner.addresses[0][1]}"
    config = authority.folder / "config"
    config.write_text(KUBECONFIG.format(url=url, root=authority.root, token=CANARY))
    try:
        async with KubernetesClient(lambda: load_kubeconfig(str(config))) as api:
            yield api
    finally:
        await runner.cleanup()


KUBECONFIG = """
apiVersion: v1
kind: Config
current-context: here
clusters: [{{name: here, cluster: {{server: "{url}", certificate-authority: "{root}"}}}}]
users: [{{name: me, user: {{token: "{token}"}}}}]
contexts: [{{name: here, context: {{cluster: here, user: me}}}}]
"""


async def test_messages_go_both_ways_under_our_credentials(authority: Authority) -> None:
    asked: list[web.Request] = []

    async def talk(request: web.Request) -> web.StreamResponse:
        asked.append(request)
        socket = web.WebSocketResponse(protocols=(PROTOCOL,))
        await socket.prepare(request)
        await socket.send_bytes(await socket.receive_bytes())
        await socket.close()
        return socket

    async with serving(authority, talk) as api, api.forward("shop", "cart", (15000, 15053)) as wire:
        await wire.send(b"\0hello")
        assert await wire.receive() == b"\0hello"
        assert await wire.receive() is None
    (request,) = asked
    assert request.query.getall("ports") == ["15000", "15053"]
    assert request.match_info["pod"] == "cart"
    assert request.headers["Authorization"] == f"Bearer {CANARY}"


async def test_a_wire_that_is_cut_is_not_one_that_was_closed(authority: Authority) -> None:
    async def talk(request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(protocols=(PROTOCOL,))
        await socket.prepare(request)
        assert request.transport
        request.transport.abort()
        return socket

    async with serving(authority, talk) as api, api.forward("shop", "cart", (15000,)) as wire:
        with pytest.raises(UnreachableError, match="broke off"):
            await wire.receive()


REFUSALS: dict[int, tuple[type[KubernetesError], str]] = {
    401: (UnauthorizedError, "does not know us"),
    403: (ForbiddenError, "needs the verbs get and create"),
    404: (KubernetesError, "the pod is gone"),
    500: (KubernetesError, "answered with HTTP 500"),
    200: (KubernetesError, "answered with HTTP 200"),
}


@pytest.mark.parametrize("status", REFUSALS)
async def test_a_refusal_is_told_by_its_status(authority: Authority, status: int) -> None:
    async def talk(_request: web.Request) -> web.StreamResponse:
        return web.Response(status=status, text=CANARY)

    kind, words = REFUSALS[status]
    async with serving(authority, talk) as api:
        with pytest.raises(kind, match=words) as raised:
            async with api.forward("shop", "cart", (15000,)):
                pass
    assert raised.value.status == status
    assert CANARY not in str(raised.value)


async def test_a_server_that_speaks_no_channels_is_refused(authority: Authority) -> None:
    async def talk(request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        return socket

    async with serving(authority, talk) as api:
        with pytest.raises(KubernetesError, match=r"nobody there speaks v4\.channel\.k8s\.io"):
            async with api.forward("shop", "cart", (15000,)):
                pass
