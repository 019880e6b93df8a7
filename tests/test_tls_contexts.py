"""Whom we trust over TLS: what kubectl does, by every way that verifies, on any Python."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
import yaml

from exporter.kube.credentials import load_kubeconfig
from exporter.probes import mesh_trust
from exporter.tls_contexts import client_context, server_context
from exporter.web.toolkit.web_config import WebConfigFile
from tests.authorities import TRUSTED, UNTRUSTED, Authority, Kind

HELLO = b"hello"


@asynccontextmanager
async def serving(context: ssl.SSLContext) -> AsyncIterator[int]:
    """A server that greets whoever completes a handshake."""

    async def greet(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(HELLO)
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0, ssl=context)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def greeting(port: int, context: ssl.SSLContext, name: str = "127.0.0.1") -> bytes:
    """What the server said; raises OSError where one side refused the other."""
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", port, ssl=context, server_hostname=name
    )
    try:
        return await reader.read()
    finally:
        writer.transport.abort()


async def the_api(file: Path) -> ssl.SSLContext:
    cluster = {"server": "https://127.0.0.1", "certificate-authority": str(file)}
    path = file.with_name("kubeconfig")
    document = {
        "current-context": "here",
        "clusters": [{"name": "local", "cluster": cluster}],
        "users": [{"name": "me", "user": {"token": "any"}}],
        "contexts": [{"name": "here", "context": {"cluster": "local", "user": "me"}}],
    }
    path.write_text(yaml.safe_dump(document))
    context = (await load_kubeconfig(str(path))).tls
    assert context
    return context


async def the_mesh(file: Path) -> ssl.SSLContext:
    context = mesh_trust._mesh_context(str(file), ("h2",))
    assert context
    return context


Trusting = Callable[[Path], Awaitable[ssl.SSLContext]]
CLIENTS: list[Trusting] = [the_api, the_mesh]


@pytest.fixture(params=CLIENTS, ids=lambda client: client.__name__)
def trusting(request: pytest.FixtureRequest) -> Trusting:
    """A context of each kind of client that trusts what is in a file."""
    client: Trusting = request.param
    return client


def presenting(file: Path) -> ssl.SSLContext:
    context = server_context()
    context.load_cert_chain(file)
    return context


@pytest.mark.parametrize("kind", TRUSTED, ids=str)
async def test_whom_kubectl_trusts_we_trust(tmp_path: Path, kind: Kind, trusting: Trusting) -> None:
    authority = Authority(tmp_path / "ca", kind)
    async with serving(presenting(authority.issue())) as port:
        assert await greeting(port, await trusting(authority.file)) == HELLO


@pytest.mark.parametrize("kind", TRUSTED, ids=str)
async def test_an_intermediate_alone_is_an_anchor(
    tmp_path: Path, kind: Kind, trusting: Trusting
) -> None:
    between = Authority(tmp_path / "between", kind, by=Authority(tmp_path / "root", kind))
    async with serving(presenting(between.issue())) as port:
        assert await greeting(port, await trusting(between.file)) == HELLO


@pytest.mark.parametrize("kind", UNTRUSTED, ids=str)
async def test_who_may_not_sign_is_not_trusted(
    tmp_path: Path, kind: Kind, trusting: Trusting
) -> None:
    authority = Authority(tmp_path / "ca", kind)
    async with serving(presenting(authority.issue())) as port:
        with pytest.raises(ssl.SSLCertVerificationError):
            await greeting(port, await trusting(authority.file))


@pytest.mark.parametrize("kind", TRUSTED, ids=str)
async def test_another_authority_of_the_same_name_is_not_trusted(
    tmp_path: Path, kind: Kind, trusting: Trusting
) -> None:
    (tmp_path / "ours").mkdir()
    ours, theirs = Authority(tmp_path / "ours" / "ca", kind), Authority(tmp_path / "ca", kind)
    async with serving(presenting(theirs.issue())) as port:
        with pytest.raises(ssl.SSLCertVerificationError):
            await greeting(port, await trusting(ours.file))


@pytest.mark.parametrize("kind", TRUSTED, ids=str)
async def test_an_ended_certificate_is_not_trusted(
    tmp_path: Path, kind: Kind, trusting: Trusting
) -> None:
    authority = Authority(tmp_path / "ca", kind)
    async with serving(presenting(authority.issue(days=-1))) as port:
        with pytest.raises(ssl.SSLCertVerificationError, match="expired"):
            await greeting(port, await trusting(authority.file))


@pytest.mark.parametrize("kind", TRUSTED, ids=str)
@pytest.mark.parametrize("name", ["127.0.0.2", "kubernetes"])
async def test_another_name_is_not_the_api_servers(tmp_path: Path, kind: Kind, name: str) -> None:
    authority = Authority(tmp_path / "ca", kind)
    async with serving(presenting(authority.issue())) as port:
        with pytest.raises(ssl.SSLCertVerificationError, match="mismatch"):
            await greeting(port, await the_api(authority.file), name)


def door(folder: Path, authority: Authority) -> ssl.SSLContext:
    """What the exporter serves with where clients have to present a certificate."""
    ours = authority.issue()
    text = (
        f"tls_server_config: {{cert_file: {ours}, key_file: {ours}, "
        f"client_auth_type: RequireAndVerifyClientCert, client_ca_file: {authority.file}}}"
    )
    (folder / "web.yaml").write_text(text)
    context = WebConfigFile(folder / "web.yaml").context()
    assert context
    return context


def client_with(authority: Authority, certificate: Path) -> ssl.SSLContext:
    context = client_context()
    context.load_verify_locations(authority.file)
    context.load_cert_chain(certificate)
    return context


@pytest.mark.parametrize("kind", TRUSTED, ids=str)
async def test_a_client_of_any_such_authority_is_let_in(tmp_path: Path, kind: Kind) -> None:
    authority = Authority(tmp_path / "ca", kind)
    async with serving(door(tmp_path, authority)) as port:
        assert await greeting(port, client_with(authority, authority.issue())) == HELLO


@pytest.mark.parametrize("kind", TRUSTED, ids=str)
async def test_a_client_of_another_authority_is_not_let_in(tmp_path: Path, kind: Kind) -> None:
    authority = Authority(tmp_path / "ca", kind)
    stranger = Authority(tmp_path / "stranger", kind)
    async with serving(door(tmp_path, authority)) as port:
        said = b""
        with suppress(OSError):
            said = await greeting(port, client_with(authority, stranger.issue()))
    assert said == b""
