"""An API server that lies, and a kubeconfig that is odd: each is a failure that is retried."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web

from exporter.bounds import LIST_VALUES, LISTED_OBJECTS, OBJECT_VALUES
from exporter.kube.api_errors import ForbiddenError, KubernetesError, TooLargeError
from exporter.kube.client import KubernetesClient
from exporter.kube.credentials import Credentials, load_kubeconfig
from exporter.kube.watch import Backoff, ResourceWatch
from exporter.kube.watch_events import event_of, page_of
from exporter.kube.watch_options import Resource, WatchCallbacks, WatchOptions
from tests.cpu_time import LIMIT, compared, seconds

PODS = Resource("pods", "/api/v1/pods")
CALLBACKS = WatchCallbacks(
    requested=lambda _verb, _code: None,
    opened=lambda: None,
    failed=lambda _error: None,
    relisted=lambda: None,
)
"""Nobody listens."""


@contextlib.asynccontextmanager
async def api_of(answer: Any, host: str = "127.0.0.1") -> AsyncIterator[KubernetesClient]:
    """A client of a server whose every answer is this handler's."""
    application = web.Application()
    application.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()

    async def load() -> Credentials:
        return Credentials(f"http://{host}:{runner.addresses[0][1]}")

    try:
        async with KubernetesClient(load) as api:
            yield api
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("is_status", [True, False])
async def test_what_a_refusal_says_cannot_write_elsewhere_on_a_terminal(*, is_status: bool) -> None:
    text = "\x1b]0;title\x07\x1b[31mred\x9b31m\u202e\x00\x7f"

    async def answer(_request: web.Request) -> web.Response:
        body = json.dumps({"message": text}) if is_status else text
        return web.Response(status=403, text=body)

    async with api_of(answer) as api:
        with pytest.raises(ForbiddenError) as raised:
            await api.get("/api", {})
    assert str(raised.value).isprintable()
    assert "red" in str(raised.value)


@pytest.mark.parametrize("status", [301, 401, 403, 404, 410, 429, 500, 503])
@pytest.mark.parametrize("is_watch", [True, False])
async def test_a_refusal_whose_text_never_comes_is_one_all_the_same(
    monkeypatch: pytest.MonkeyPatch, *, status: int, is_watch: bool
) -> None:
    monkeypatch.setattr("exporter.kube.client._TEXT_SECONDS", 0.1)

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(status=status, headers={"Retry-After": "7"})
        response.content_length = 100
        await response.prepare(request)
        await asyncio.sleep(30)
        return response

    async def ask(api: KubernetesClient) -> None:
        if not is_watch:
            await api.get("/api", {})
        async with api.stream("/api", {}):
            pass

    async with api_of(answer) as api, asyncio.timeout(5):
        with pytest.raises(KubernetesError, match=str(status)) as raised:
            await ask(api)
    assert (raised.value.status, raised.value.retry_after) == (status, 7)


async def listed(api: KubernetesClient) -> int:
    pages = [page async for page in ResourceWatch(api, PODS, CALLBACKS).pages()]
    return len(pages)


async def test_a_list_of_empty_pages_without_end_fails() -> None:
    async def answer(request: web.Request) -> web.Response:
        following = f"{request.query.get('continue', '')}x"
        return web.json_response({"metadata": {"continue": following}, "items": []})

    async with api_of(answer) as api:
        with pytest.raises(KubernetesError, match="the list of pods does not end"):
            await listed(api)


async def test_a_list_of_more_objects_than_a_cluster_has_fails() -> None:
    items = b",".join([b"1"] * 140_000)

    async def answer(request: web.Request) -> web.Response:
        following = f"{request.query.get('continue', '')}x".encode()
        body = b'{"metadata":{"continue":"%s"},"items":[' % following
        return web.Response(body=body + items + b"]}")

    assert LISTED_OBJECTS < 9 * 140_000
    async with api_of(answer) as api:
        with pytest.raises(KubernetesError, match="the list of pods does not end"):
            await listed(api)


def test_a_page_of_very_many_values_is_refused_before_it_is_taken_apart() -> None:
    page = b'{"items":[' + b"1," * (LIST_VALUES + 1) + b"1]}"

    def refuse() -> None:
        with pytest.raises(TooLargeError):
            page_of(page)

    assert seconds(refuse) < LIMIT


POD_OF_COMMAS = b'{"metadata":{"name":"a"},"spec":[{"value":"%s"}]}' % (b"," * 1_400_000)
POD_OF_TEXTS = b'{"metadata":{"name":"b"},"spec":{"args":[%s""]}}' % (b'"",' * 780_000)
"""As much of these as etcd stores of an object: any tenant may make such pods."""


@pytest.mark.parametrize("odd", [POD_OF_COMMAS, POD_OF_TEXTS], ids=["commas", "texts"])
async def test_a_pod_of_very_many_values_costs_no_list_and_no_watch(odd: bytes) -> None:
    pods = [b'{"metadata":{"name":"c"}}', odd, b'{"metadata":{"name":"d"}}']

    async def answer(request: web.Request) -> web.Response:
        at, size = int(request.query.get("continue", "0")), int(request.query["limit"])
        left = str(at + size) if at + size < len(pods) else ""
        items = b",".join(pods[at : at + size])
        return web.Response(
            body=b'{"metadata":{"continue":"%s"},"items":[%s]}' % (left.encode(), items)
        )

    async with api_of(answer) as api:
        pages = [page async for page in ResourceWatch(api, PODS, CALLBACKS).pages()]
    assert [bytes(item) for page in pages for item in page.items] == pods
    event = event_of(b'{"type":"ADDED","object":%s}' % odd)
    assert event is not None
    assert bytes(event.document) == odd


async def test_one_object_of_more_values_than_can_be_stored_fails() -> None:
    odd = b'{"x":[%s1]}' % (b"1," * (OBJECT_VALUES + 1))

    async def answer(_request: web.Request) -> web.Response:
        return web.Response(body=b'{"items":[%s]}' % odd)

    async with api_of(answer) as api:
        with pytest.raises(TooLargeError):
            await listed(api)
    with pytest.raises(TooLargeError):
        event_of(b'{"type":"ADDED","object":%s}' % odd)


@pytest.mark.parametrize(
    "line",
    [b'{"type":"BOOKMARK","object":{}}\n', b'{"type":"X","object":1}\n', b"\n", b" \n"],
)
async def test_lines_that_are_no_events_leave_others_their_turn(line: bytes) -> None:
    flood = line * (2**20 // len(line))

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(flood)

    async def watch() -> None:
        async with contextlib.aclosing(
            ResourceWatch(api, PODS, CALLBACKS).stream("1", Backoff(WatchOptions()))
        ) as events:
            async for _ in events:
                pass

    async with api_of(answer) as api:
        task = asyncio.create_task(watch())
        held = []
        until = time.monotonic() + 0.5
        while time.monotonic() < until:
            began = time.thread_time()
            await asyncio.sleep(0)
            held.append(time.thread_time() - began)
        task.cancel()
        await asyncio.wait({task})
    assert compared(max(held)) < LIMIT


ODD = {
    "a proxy that is a number": ({"proxy-url": 5}, {}),
    "a proxy that is a list": ({"proxy-url": ["http://a"]}, {}),
    "a name that is a number": ({"tls-server-name": 5}, {}),
    "a socket in the file system": ({"server": "unix:///run/api"}, {}),
    "a server that is a number": ({"server": 5}, {}),
    "no server": ({"server": ""}, {}),
    "a server with a port beyond all": ({"server": "https://127.0.0.1:99999"}, {}),
    "a server with a line's end": ({"server": "https://a\nb"}, {}),
    "a token with a line's end": ({}, {"token": "canary\nX: y"}),
    "a token that is a list": ({}, {"token": ["canary"]}),
    "a name that is no text": ({}, {"username": 5, "password": 6}),
    "a plugin that is a number": ({}, {"exec": 5}),
    "a certificate that is none": ({}, {"client-certificate-data": "eA=="}),
}


@pytest.mark.parametrize(("cluster", "user"), ODD.values(), ids=ODD)
async def test_an_odd_kubeconfig_is_an_error_of_one_line(
    tmp_path: Path, cluster: dict[str, Any], user: dict[str, Any]
) -> None:
    context = {"cluster": "c", "user": "u"}
    document = {
        "current-context": "x",
        "contexts": [{"name": "x", "context": context}],
        "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:9"} | cluster}],
        "users": [{"name": "u", "user": user}],
    }
    path = tmp_path / "config"
    path.write_text(yaml.safe_dump(document))
    async with KubernetesClient(lambda: load_kubeconfig(str(path))) as api:
        with pytest.raises(KubernetesError) as raised:
            await api.get("/api", {})
    assert "canary" not in str(raised.value)
    assert len(str(raised.value).splitlines()) == 1


async def test_a_plugin_that_never_ends_is_started_once_for_all_who_ask() -> None:
    loads = []

    async def load() -> Credentials:
        loads.append(1)
        await asyncio.Event().wait()
        raise AssertionError

    async with KubernetesClient(load) as api:
        for _ in range(3):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(api.get("/api", {}), 0.01)
    assert loads == [1]


async def test_whatever_loading_raises_is_a_failure_that_is_retried() -> None:
    faults = [MemoryError(), RuntimeError("can't start new thread"), TypeError()]

    async def load() -> Credentials:
        raise faults.pop()

    async with KubernetesClient(load) as api:
        for _ in range(3):
            with pytest.raises(KubernetesError, match="the credentials cannot be loaded"):
                await api.get("/api", {})


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_what_a_server_would_have_kept_is_never_sent(host: str) -> None:
    """Cookies of every answer would pile up in memory, and in each request until it is refused."""
    sent: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        sent.append(request.headers.get("Cookie", ""))
        response = web.Response(text="{}", status=200 if len(sent) % 2 else 500)
        for number in range(20):
            name = f"c{len(sent)}-{number}"
            response.headers.add("Set-Cookie", f"{name}=a; Path=/; Max-Age={10**number}")
        return response

    async with api_of(answer, host) as api:
        for _ in range(6):
            with contextlib.suppress(KubernetesError):
                await api.get("/api", {})
            with contextlib.suppress(KubernetesError):
                async with api.forward("shop", "cart", (15000,)):
                    pass
    assert sent == [""] * 12


@pytest.mark.parametrize("count", [0, 1, 3])
@pytest.mark.parametrize("first", ["same", "other"])
async def test_a_list_whose_next_page_is_the_same_one_fails_at_once(count: int, first: str) -> None:
    asked: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        token = request.query.get("continue", "")
        asked.append(token)
        metadata = {"resourceVersion": "1", "continue": "same" if token else first}
        return web.json_response({"metadata": metadata, "items": [{}] * count})

    async with api_of(answer) as api:
        with pytest.raises(KubernetesError, match="does not end"):
            async for _ in ResourceWatch(api, PODS, CALLBACKS).pages():
                pass
    assert len(asked) <= 3
