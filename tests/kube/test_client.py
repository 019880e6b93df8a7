"""Requests and how they are refused; lines of a stream."""

from pathlib import Path

import pytest
from aiohttp import web

from exporter.kube.api_errors import (
    ForbiddenError,
    GoneError,
    KubernetesError,
)
from exporter.kube.client import KubernetesClient
from exporter.kube.credentials import load_kubeconfig
from tests.kube.server import CANARY, Server, assert_keeps_secrets, kubeconfig
from tests.real.kubernetes.authority import Authority


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, KubernetesError),
        (403, ForbiddenError),
        (404, KubernetesError),
        (410, GoneError),
        (429, KubernetesError),
        (500, KubernetesError),
        (302, KubernetesError),
    ],
)
async def test_a_refusal_is_an_error_of_its_class_without_the_token(
    authority: Authority, server: Server, status: int, kind: type[KubernetesError]
) -> None:
    message = f"you sent Bearer {CANARY}\n and this: " + "x" * 10_000
    server.refusal = web.json_response({"message": message}, status=status)
    path = kubeconfig(authority, server, token=CANARY)
    async with KubernetesClient(lambda: load_kubeconfig(path)) as api:
        with pytest.raises(kind) as raised:
            await api.get("/api", {})
    assert type(raised.value) is kind
    assert raised.value.status == status
    assert len(str(raised.value)) <= 601
    assert "\n" not in str(raised.value)
    assert_keeps_secrets(raised.value)


async def test_a_page_for_people_is_replaced_by_the_server_and_its_status(
    authority: Authority, server: Server
) -> None:
    server.refusal = web.Response(status=404, text="<html>nothing here</html>")
    path = kubeconfig(authority, server, token=CANARY)
    async with KubernetesClient(lambda: load_kubeconfig(path)) as api:
        with pytest.raises(
            KubernetesError, match=r"^the server https://\S+ responded 404 Not Found$"
        ):
            await api.get("/api", {})


@pytest.mark.parametrize(
    ("header", "seconds"), [("7", 7.0), ("soon", None), ("-1", None), ("", None)]
)
async def test_retry_after_is_read_where_it_is_a_number(
    authority: Authority, server: Server, header: str, seconds: float | None
) -> None:
    server.refusal = web.Response(status=429, headers={"Retry-After": header})
    path = kubeconfig(authority, server, token=CANARY)
    async with KubernetesClient(lambda: load_kubeconfig(path)) as api:
        with pytest.raises(KubernetesError) as raised:
            await api.get("/api", {})
    assert raised.value.retry_after == seconds


async def test_a_server_of_another_authority_gets_no_request(
    server: Server, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    other = Authority(tmp_path / "other")
    path = kubeconfig(other, server, token=CANARY)
    async with KubernetesClient(lambda: load_kubeconfig(path)) as api:
        with pytest.raises(KubernetesError, match=r"its certificate is not trusted") as raised:
            await api.get("/api", {})
    assert server.users == []
    assert_keeps_secrets(raised.value)


async def test_lines_are_whole_in_chunks_of_any_size(authority: Authority, server: Server) -> None:
    server.chunks = [b"on", b"e\ntwo\nth", b"ree\n", b"\n", b"x" * 300_000, b"\nunfinished"]
    path = kubeconfig(authority, server, token=CANARY)
    async with (
        KubernetesClient(lambda: load_kubeconfig(path)) as api,
        api.stream("/stream", {}) as lines,
    ):
        assert [line async for line in lines] == [b"one", b"two", b"three", b"x" * 300_000]


async def test_a_server_that_never_responds_is_unreachable(
    authority: Authority, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("exporter.kube.client._RESPONSE_SECONDS", 0.2)
    path = kubeconfig(authority, server, token=CANARY)
    async with KubernetesClient(lambda: load_kubeconfig(path)) as api:
        with pytest.raises(KubernetesError, match="TimeoutError"):
            await api.get("/silent", {})
