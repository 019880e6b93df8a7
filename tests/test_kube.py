"""Credentials and requests against a TLS API server of our own; canaries for its secrets."""

import asyncio
import base64
import logging
import ssl
import stat
import sys
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from exporter.kube import Api, find_credentials, load_kubeconfig, load_service_account
from exporter.model import (
    ForbiddenError,
    GoneError,
    KubernetesError,
    TooManyRequestsError,
    UnauthorizedError,
    UnreachableError,
)

CANARY = "canary-7f3a91c0"


class Authority:
    """A CA that signs for the API server and for its users."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name("ca")
        self.root = folder / "ca.crt"
        certificate = self._builder(self._name, self._key, is_ca=True)
        self.root.write_bytes(_pem(certificate.sign(self._key, hashes.SHA256())))

    def issue(self, name: str) -> tuple[Path, Path]:
        """Certificate and key of a server on 127.0.0.1, or of a user."""
        key = ec.generate_private_key(ec.SECP256R1())
        builder = self._builder(_name(name), key, is_ca=False)
        names = [x509.IPAddress(ip_address("127.0.0.1")), x509.DNSName("kubernetes")]
        usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        certificate, private = self.folder / f"{name}.crt", self.folder / f"{name}.key"
        certificate.write_bytes(_pem(builder.sign(self._key, hashes.SHA256())))
        private.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return certificate, private

    def _builder(
        self, name: x509.Name, key: ec.EllipticCurvePrivateKey, *, is_ca: bool
    ) -> x509.CertificateBuilder:
        now, hour = datetime.now(UTC), timedelta(hours=1)
        public, issuer = key.public_key(), self._key.public_key()
        return (
            x509.CertificateBuilder(self._name, name, public, x509.random_serial_number())
            .not_valid_before(now - hour)
            .not_valid_after(now + hour)
            .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer), critical=False
            )
        )


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


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


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
async def server(authority: Authority) -> AsyncIterator[Server]:
    standin = Server()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(authority.root))
    context.load_cert_chain(*authority.issue("server"))
    context.verify_mode = ssl.CERT_OPTIONAL
    application = web.Application()
    application.router.add_get("/{path:.*}", standin.answer)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    standin.port = runner.addresses[0][1]
    try:
        yield standin
    finally:
        await runner.cleanup()


@pytest.fixture(autouse=True)
def _no_secret_is_logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    caplog.set_level(logging.DEBUG)
    yield
    assert CANARY not in caplog.text


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


async def test_a_service_account_reads_documents(authority: Authority, server: Server) -> None:
    environ = service_account(authority, server)
    async with Api(lambda: load_service_account(authority.folder, environ)) as api:
        body = await api.get("/api/v1/pods", {"limit": "5", "labelSelector": "a=b,c"})
    assert body == b'{"path": "/api/v1/pods?limit=5&labelSelector=a%3Db,c"}'


async def test_a_rotated_token_is_taken_once_the_old_one_is_refused(
    authority: Authority, server: Server
) -> None:
    environ = service_account(authority, server)
    async with Api(lambda: load_service_account(authority.folder, environ)) as api:
        await api.get("/api", {})
        server.tokens = {"rotated"}
        (authority.folder / "token").write_text("rotated")
        with pytest.raises(UnauthorizedError):
            await api.get("/api", {})
        await api.get("/api", {})
    assert server.users == [CANARY, "rotated"]


async def test_a_rotated_token_is_taken_before_the_old_one_ends(
    authority: Authority, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("exporter.kube._TOKEN_SECONDS", 0.05)
    environ = service_account(authority, server)
    server.tokens = {CANARY, "rotated"}
    async with Api(lambda: load_service_account(authority.folder, environ)) as api:
        await api.get("/api", {})
        (authority.folder / "token").write_text("rotated")
        await asyncio.sleep(0.06)
        await api.get("/api", {})
    assert server.users == [CANARY, "rotated"]


async def test_a_kubeconfig_with_a_token(authority: Authority, server: Server) -> None:
    path = kubeconfig(authority, server, token=CANARY)
    async with Api(lambda: load_kubeconfig(path)) as api:
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
    async with Api(lambda: load_kubeconfig(path)) as api:
        await api.get("/api", {})
    assert server.users == ["alice"]


async def test_a_kubeconfig_with_an_exec_plugin(authority: Authority, server: Server) -> None:
    said = {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential"}
    body = f"import json; print(json.dumps({said | {'status': {'token': CANARY}}}))"
    path = kubeconfig(authority, server, exec=plugin(authority.folder, body))
    async with Api(lambda: load_kubeconfig(path)) as api:
        await api.get("/api", {})
    assert server.users == [CANARY]


async def test_a_plugin_that_fails_is_said_without_what_it_wrote(
    authority: Authority, server: Server
) -> None:
    body = f"sys.stderr.write('{CANARY}'); sys.exit(1)"
    path = kubeconfig(authority, server, exec=plugin(authority.folder, body))
    with pytest.raises(UnreachableError, match="its exec plugin gave no credentials") as raised:
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
async def test_a_broken_kubeconfig_is_said_in_one_line_without_its_secrets(
    tmp_path: Path, text: str | None
) -> None:
    path = tmp_path / "config"
    if text is not None:
        path.write_text(text)
    with pytest.raises(UnreachableError, match=r"cannot be used: .") as raised:
        await load_kubeconfig(str(path))
    assert str(path) in str(raised.value)
    assert_keeps_secrets(raised.value)


async def test_a_context_that_is_not_there_is_named(authority: Authority, server: Server) -> None:
    path = kubeconfig(authority, server, token=CANARY)
    with pytest.raises(UnreachableError, match="Expected object with name nowhere"):
        await load_kubeconfig(path, "nowhere")


async def test_an_empty_service_account_is_said_in_one_line(
    authority: Authority, server: Server
) -> None:
    environ = service_account(authority, server)
    (authority.folder / "token").write_text("")
    with pytest.raises(UnreachableError, match="Token file exists but empty"):
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


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, UnauthorizedError),
        (403, ForbiddenError),
        (404, KubernetesError),
        (410, GoneError),
        (429, TooManyRequestsError),
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
    async with Api(lambda: load_kubeconfig(path)) as api:
        with pytest.raises(kind) as raised:
            await api.get("/api", {})
    assert type(raised.value) is kind
    assert raised.value.status == status
    assert len(str(raised.value)) <= 201
    assert "\n" not in str(raised.value)
    assert_keeps_secrets(raised.value)


@pytest.mark.parametrize(
    ("header", "seconds"), [("7", 7.0), ("soon", None), ("-1", None), ("", None)]
)
async def test_retry_after_is_read_where_it_is_a_number(
    authority: Authority, server: Server, header: str, seconds: float | None
) -> None:
    server.refusal = web.Response(status=429, headers={"Retry-After": header})
    path = kubeconfig(authority, server, token=CANARY)
    async with Api(lambda: load_kubeconfig(path)) as api:
        with pytest.raises(TooManyRequestsError) as raised:
            await api.get("/api", {})
    assert raised.value.retry_after == seconds


async def test_a_server_that_another_authority_vouches_for_is_not_spoken_to(
    server: Server, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    other = Authority(tmp_path / "other")
    path = kubeconfig(other, server, token=CANARY)
    async with Api(lambda: load_kubeconfig(path)) as api:
        with pytest.raises(UnreachableError, match=r"(?i)certificate.verify.failed") as raised:
            await api.get("/api", {})
    assert server.users == []
    assert_keeps_secrets(raised.value)


async def test_lines_come_whole_however_they_were_cut(authority: Authority, server: Server) -> None:
    server.chunks = [b"on", b"e\ntwo\nth", b"ree\n", b"\n", b"x" * 300_000, b"\nunfinished"]
    path = kubeconfig(authority, server, token=CANARY)
    async with (
        Api(lambda: load_kubeconfig(path)) as api,
        api.stream("/stream", {}) as lines,
    ):
        assert [line async for line in lines] == [b"one", b"two", b"three", b"x" * 300_000]


async def test_a_server_that_never_answers_is_unreachable(
    authority: Authority, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("exporter.kube._ANSWER_SECONDS", 0.2)
    path = kubeconfig(authority, server, token=CANARY)
    async with Api(lambda: load_kubeconfig(path)) as api:
        with pytest.raises(UnreachableError, match="TimeoutError"):
            await api.get("/silent", {})


def assert_keeps_secrets(error: BaseException) -> None:
    """No canary in the error, nor in what a traceback would show with it."""
    shown: BaseException | None = error
    while shown is not None:
        assert CANARY not in f"{shown} {shown!r}"
        shown = shown.__cause__ or (None if shown.__suppress_context__ else shown.__context__)
