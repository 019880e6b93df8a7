"""The wire of a port-forward, against a server of our own behind TLS."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web

from exporter.kube.api_errors import ForbiddenError, KubernetesError
from exporter.kube.client import KubernetesClient
from exporter.kube.credentials import load_kubeconfig
from exporter.tls_contexts import server_context
from tests.kube.server import CANARY
from tests.real.kubernetes.authority import Authority
from tests.real.kubernetes.kubelet import acceptable

Talk = Callable[[web.Request], Awaitable[web.StreamResponse]]
PATH = "/api/v1/namespaces/{namespace}/pods/{pod}/portforward"
PROTOCOL = "v4.channel.k8s.io"


@asynccontextmanager
async def serving(authority: Authority, talk: Talk) -> AsyncIterator[KubernetesClient]:
    context = server_context()
    context.load_cert_chain(*authority.issue("server"))
    application = web.Application(middlewares=[acceptable])
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


async def test_the_kubelet_refuses_an_accept_header_with_406(authority: Authority) -> None:
    async def talk(request: web.Request) -> web.StreamResponse:
        return web.Response(text=request.headers["Accept"])

    async with serving(authority, talk) as api:
        with pytest.raises(KubernetesError, match="406: Not Acceptable"):
            await api.get(PATH.format(namespace="shop", pod="cart"), {})


Say = Callable[[web.WebSocketResponse], Awaitable[None]]


def leaving(say: Say) -> Talk:
    """Say something, and drop the connection at once, as the kubelet's x/net/websocket does."""

    async def talk(request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(protocols=(PROTOCOL,))
        await socket.prepare(request)
        await socket.receive_bytes()
        await say(socket)
        assert request.transport
        request.transport.abort()
        return socket

    return talk


def closing(code: int | None, *, pinged: bool = False) -> Say:
    """A last message and a CLOSE frame of this code; None for one without a code."""

    async def say(socket: web.WebSocketResponse) -> None:
        await socket.send_bytes(b"\0last")
        if pinged:
            await socket.ping()
        content = b"" if code is None else code.to_bytes(2, "big")
        await socket.send_frame(content, aiohttp.WSMsgType.CLOSE)

    return say


async def no_words(socket: web.WebSocketResponse) -> None:
    await socket.send_bytes(b"\0last")


async def heard(api: KubernetesClient, pause: float) -> list[bytes]:
    """What comes until the wire ends, by a reader that is still writing when it does."""
    received = []
    async with api.forward("shop", "cart", (15001,)) as wire:
        await wire.send(b"\0go")
        await asyncio.sleep(pause)
        await wire.send(b"\0too late")
        while (message := await wire.receive()) is not None:
            received.append(message)
            await wire.send(b"\0too late")
    return received


PAUSES = (0.0, 0.0, 0.001, 0.01) * 10
"""The drop is noticed before the words are read, after, or meanwhile."""


@pytest.mark.parametrize("pinged", [False, True])
async def test_a_drop_after_the_goodbye_is_an_ordinary_end(
    authority: Authority, *, pinged: bool
) -> None:
    async with serving(authority, leaving(closing(1000, pinged=pinged))) as api:
        assert [await heard(api, pause) for pause in PAUSES] == [[b"\0last"]] * len(PAUSES)


ABRUPT = {
    "going away": closing(1001),
    "internal error": closing(1011),
    "a proxy's restart": closing(1012),
    "a code of its own": closing(4000),
    "no code": closing(None),
    "no words": no_words,
}


@pytest.mark.parametrize("say", ABRUPT.values(), ids=ABRUPT)
async def test_a_drop_after_anything_else_is_none(authority: Authority, say: Say) -> None:
    async with serving(authority, leaving(say)) as api:
        for pause in PAUSES:
            with pytest.raises(KubernetesError, match="connection was lost"):
                await heard(api, pause)


@pytest.mark.parametrize("end", ["close", "abort"])
async def test_a_server_that_ends_without_a_word_broke_off(authority: Authority, end: str) -> None:
    async def talk(request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(protocols=(PROTOCOL,))
        await socket.prepare(request)
        getattr(request.transport, end)()
        return socket

    async with serving(authority, talk) as api, api.forward("shop", "cart", (15000,)) as wire:
        with pytest.raises(KubernetesError, match="connection was lost"):
            await wire.receive()


REFUSALS: dict[int, tuple[type[KubernetesError], str]] = {
    401: (KubernetesError, "refused the credentials"),
    403: (ForbiddenError, "needs the verbs get and create"),
    404: (KubernetesError, "the pod is gone"),
    500: (KubernetesError, "responded with HTTP 500"),
    200: (KubernetesError, "responded with HTTP 200"),
}


@pytest.mark.parametrize("status", REFUSALS)
async def test_a_refused_handshake_is_an_error_of_its_status(
    authority: Authority, status: int
) -> None:
    async def talk(_request: web.Request) -> web.StreamResponse:
        return web.Response(status=status, text=CANARY)

    kind, words = REFUSALS[status]
    async with serving(authority, talk) as api:
        with pytest.raises(kind, match=words) as raised:
            async with api.forward("shop", "cart", (15000,)):
                pass
    assert raised.value.status == status
    assert CANARY not in str(raised.value)


async def test_a_server_without_the_channel_protocol_is_refused(authority: Authority) -> None:
    async def talk(request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        return socket

    async with serving(authority, talk) as api:
        with pytest.raises(KubernetesError, match=r"does not support v4\.channel\.k8s\.io"):
            async with api.forward("shop", "cart", (15000,)):
                pass


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308, 300, 201, 404])
@pytest.mark.parametrize(
    "path", ["/elsewhere", "{origin}/elsewhere", "//169.254.169.254/", "?a", ""]
)
async def test_an_answer_that_names_another_place_is_not_followed(
    authority: Authority, status: int, path: str
) -> None:
    asked: list[str] = []

    async def talk(request: web.Request) -> web.StreamResponse:
        asked.append(request.path_qs)
        place = path.format(origin=request.url.origin())
        return web.Response(status=status, headers={"Location": place})

    async with serving(authority, talk) as api:
        with pytest.raises(KubernetesError, match=r"no port-forward: .*(HTTP \d+|gone)"):
            async with api.forward("shop", "cart", (15000,)):
                pass
    assert len(asked) == 1
