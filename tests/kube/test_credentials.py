"""Who we are, from service accounts and kubeconfigs; canaries for its secrets."""

import asyncio
import base64
import json
import os
import time
from pathlib import Path

import pytest
import yaml
from aiohttp import web

from exporter.bounds import SECRET_FILE
from exporter.kube.api_errors import KubernetesError
from exporter.kube.client import KubernetesClient
from exporter.kube.credentials import find_credentials, load_kubeconfig, load_service_account
from tests.cpu_time import LIMIT, compared
from tests.kube.server import (
    CANARY,
    Server,
    assert_keeps_secrets,
    kubeconfig,
    plugin,
    service_account,
)
from tests.real.kubernetes.authority import Authority


async def test_a_service_account_reads_documents(authority: Authority, server: Server) -> None:
    environ = service_account(authority, server)
    async with KubernetesClient(lambda: load_service_account(authority.folder, environ)) as api:
        body = await api.get("/api/v1/pods", {"limit": "5", "labelSelector": "a=b,c"})
    assert body == b'{"path": "/api/v1/pods?limit=5&labelSelector=a%3Db,c"}'


async def test_a_rotated_token_is_taken_once_the_old_one_is_refused(
    authority: Authority, server: Server
) -> None:
    environ = service_account(authority, server)
    async with KubernetesClient(lambda: load_service_account(authority.folder, environ)) as api:
        await api.get("/api", {})
        server.tokens = {"rotated"}
        (authority.folder / "token").write_text("rotated")
        with pytest.raises(KubernetesError):
            await api.get("/api", {})
        await api.get("/api", {})
    assert server.users == [CANARY, "rotated"]


async def test_a_rotated_token_is_taken_before_the_old_one_ends(
    authority: Authority, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("exporter.kube.credentials._TOKEN_SECONDS", 0.05)
    environ = service_account(authority, server)
    server.tokens = {CANARY, "rotated"}
    async with KubernetesClient(lambda: load_service_account(authority.folder, environ)) as api:
        await api.get("/api", {})
        (authority.folder / "token").write_text("rotated")
        await asyncio.sleep(0.06)
        await api.get("/api", {})
    assert server.users == [CANARY, "rotated"]


async def test_a_kubeconfig_with_a_token(authority: Authority, server: Server) -> None:
    path = kubeconfig(authority, server, token=CANARY)
    async with KubernetesClient(lambda: load_kubeconfig(path)) as api:
        await api.get("/api", {})
    assert server.users == [CANARY]


@pytest.mark.parametrize("inline", [True, False], ids=["data", "files"])
async def test_a_kubeconfig_with_a_client_certificate(
    authority: Authority, server: Server, *, inline: bool
) -> None:
    user: dict[str, str] = {}
    fields = ("client-certificate", "client-key")
    for field, file in zip(fields, authority.issue("alice"), strict=True):
        data = base64.b64encode(file.read_bytes()).decode()
        user |= {f"{field}-data": data} if inline else {field: str(file)}
    path = kubeconfig(authority, server, **user)
    async with KubernetesClient(lambda: load_kubeconfig(path)) as api:
        await api.get("/api", {})
    assert server.users == ["alice"]


async def test_a_kubeconfig_with_an_exec_plugin(authority: Authority, server: Server) -> None:
    said = {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential"}
    body = f"import json; print(json.dumps({said | {'status': {'token': CANARY}}}))"
    path = kubeconfig(authority, server, exec=plugin(authority.folder, body))
    async with KubernetesClient(lambda: load_kubeconfig(path)) as api:
        await api.get("/api", {})
    assert server.users == [CANARY]


async def test_a_failing_plugin_is_reported_without_its_output(
    authority: Authority, server: Server
) -> None:
    body = f"sys.stderr.write('{CANARY}'); sys.exit(1)"
    path = kubeconfig(authority, server, exec=plugin(authority.folder, body))
    with pytest.raises(KubernetesError, match="its exec plugin gave no credentials") as raised:
        await load_kubeconfig(path)
    assert_keeps_secrets(raised.value)


BROKEN = {
    "no file": None,
    "empty": "",
    "not YAML": f"users: [{{token: {CANARY}\n",
    "text": CANARY,
    "no context": f"users: [{{name: me, user: {{token: {CANARY}}}}}]\n",
    "user without a name": (
        "current-context: here\nclusters: [{name: c, cluster: {server: 'https://x'}}]\n"
        "contexts: [{name: here, context: {cluster: c, user: me}}]\n"
        f"users: [{{user: {{token: {CANARY}}}}}]\n"
    ),
    "a plugin without a command": (
        "current-context: here\nclusters: [{name: c, cluster: {server: 'https://x'}}]\n"
        "contexts: [{name: here, context: {cluster: c, user: me}}]\n"
        f"users: [{{name: me, user: {{exec: {{apiVersion: v1, args: [{CANARY}]}}}}}}]\n"
    ),
    "a certificate that is none": (
        "current-context: here\n"
        "clusters: [{name: c, cluster: {server: 'https://x'}}]\n"
        "contexts: [{name: here, context: {cluster: c, user: me}}]\n"
        f"users: [{{name: me, user: {{client-certificate-data: {CANARY}}}}}]\n"
    ),
}


@pytest.mark.parametrize("text", BROKEN.values(), ids=BROKEN)
async def test_a_malformed_kubeconfig_is_reported_in_one_line_without_its_secrets(
    tmp_path: Path, text: str | None
) -> None:
    path = tmp_path / "config"
    if text is not None:
        path.write_text(text)
    with pytest.raises(KubernetesError, match=r"cannot be used: .") as raised:
        await load_kubeconfig(str(path))
    assert str(path) in str(raised.value)
    assert_keeps_secrets(raised.value)


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ("nowhere", "it does not exist"),
        ("nowhere:elsewhere", "none of them exists"),
        (".", "Is a directory"),
        ("empty", "it is empty"),
        ("nowhere:empty", "it is empty"),
    ],
)
async def test_a_kubeconfig_that_is_missing_is_called_so(
    tmp_path: Path, files: str, reason: str
) -> None:
    (tmp_path / "empty").write_text("\n")
    paths = ":".join(str(tmp_path / file) for file in files.split(":"))
    with pytest.raises(KubernetesError, match=f"cannot be used: {reason}$"):
        await load_kubeconfig(paths)


async def test_a_server_without_a_scheme_is_reported_as_one(tmp_path: Path) -> None:
    path = tmp_path / "config"
    document = {
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": f"me:{CANARY}@127.0.0.1:6443"}}],
        "users": [{"name": "u", "user": {"token": CANARY}}],
    }
    path.write_text(json.dumps(document))
    with pytest.raises(KubernetesError, match="begin with https:// or http://") as raised:
        await load_kubeconfig(str(path))
    assert CANARY not in str(raised.value)


async def test_a_context_that_is_not_there_is_named(authority: Authority, server: Server) -> None:
    path = kubeconfig(authority, server, token=CANARY)
    with pytest.raises(KubernetesError, match=r"it has no context nowhere, but [^ ]+$"):
        await load_kubeconfig(path, "nowhere")


async def test_an_empty_service_account_is_reported_in_one_line(
    authority: Authority, server: Server
) -> None:
    environ = service_account(authority, server)
    (authority.folder / "token").write_text("")
    with pytest.raises(KubernetesError, match="Token file exists but empty"):
        await load_service_account(authority.folder, environ)


def test_credentials_are_found_where_there_are_some(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert find_credentials({}) is None
    assert find_credentials({"KUBERNETES_SERVICE_HOST": "10.0.0.1"}) is None
    assert find_credentials({"KUBECONFIG": "/some/config"}) is not None
    (tmp_path / ".kube").mkdir()
    (tmp_path / ".kube/config").touch()
    assert find_credentials({}) is not None


def _add_users(path: str, count: int) -> None:
    document = yaml.safe_load(Path(path).read_text())
    document["users"] += [{"name": f"u{n}", "user": {"token": f"t{n}"}} for n in range(count)]
    Path(path).write_text(yaml.safe_dump(document))


def _edit(path: str, before: str, after: str) -> None:
    text = Path(path).read_text()
    Path(path).write_text(text.replace(before, after))


async def test_a_user_in_the_servers_address_authenticates_where_there_is_no_token(
    authority: Authority, server: Server
) -> None:
    text = f"me:{CANARY}%40"
    basic = "Basic " + base64.b64encode(f"me:{CANARY}@".encode()).decode()
    server.tokens |= {basic}
    for user, expected in (({}, basic), ({"token": CANARY}, CANARY)):
        path = kubeconfig(authority, server, **user)
        _edit(path, "https://", f"https://{text}@")
        async with KubernetesClient(lambda path=path: load_kubeconfig(path)) as api:
            await api.get("/api", {})
            server.refusal = web.Response(status=500)
            with pytest.raises(KubernetesError) as raised:
                await api.get("/api", {})
        assert server.users[-1] == expected
        assert_keeps_secrets(raised.value)


@pytest.mark.parametrize(
    "address",
    ["https://me:SECRET@", "https://[", "https://h:99999", "http://h h", "ftp://h", "https://%ff"],
)
async def test_an_address_that_is_none_is_an_error_of_one_line(
    authority: Authority, server: Server, address: str
) -> None:
    path = kubeconfig(authority, server, token=CANARY)
    _edit(path, server.url, address.replace("SECRET", CANARY))
    async with KubernetesClient(lambda: load_kubeconfig(path)) as api:
        with pytest.raises(KubernetesError) as raised:
            await api.get("/api", {})
    assert "\n" not in str(raised.value)
    assert_keeps_secrets(raised.value)


async def test_a_kubeconfig_of_many_clusters_does_not_hold_the_event_loop(
    authority: Authority, server: Server
) -> None:
    path = kubeconfig(authority, server, token=CANARY)
    _add_users(path, 500)
    await load_kubeconfig(path)  # the library is imported
    began = time.thread_time()
    found = await load_kubeconfig(path)
    assert compared(time.thread_time() - began) < LIMIT
    assert CANARY in found.authorization


@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "nothing", "large", "a number"])
async def test_a_token_file_that_cannot_be_read_is_an_error_at_once(
    authority: Authority, server: Server, tmp_path: Path, kind: str
) -> None:
    """The library would wait for a pipe's writer on the event loop, and read a device for ever."""
    path = tmp_path / "token"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "large":
        path.write_bytes(b"a" * (SECRET_FILE + 1))
    named = 7 if kind == "a number" else str(path)
    config = kubeconfig(authority, server, tokenFile=named)
    with pytest.raises(KubernetesError, match=r"tokenFile cannot be read|malformed") as raised:
        await load_kubeconfig(config)
    assert_keeps_secrets(raised.value)


async def test_a_token_file_is_relative_to_its_kubeconfig(
    authority: Authority, server: Server
) -> None:
    config = kubeconfig(authority, server, tokenFile="token")
    (authority.folder / "token").write_text(CANARY)
    assert (await load_kubeconfig(config)).authorization == f"Bearer {CANARY}"
