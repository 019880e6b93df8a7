"""A web configuration over real sockets: TLS, rotation, client certificates, users, headers."""

import asyncio
import os
import shutil
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager, suppress
from pathlib import Path

import aiohttp
import bcrypt
import pytest
from aiohttp import encode_basic_auth, web
from aiohttp.test_utils import TestServer
from cryptography.hazmat.primitives.asymmetric import rsa
from yarl import URL

from exporter.tls_contexts import client_context
from exporter.web.responses import SECURITY_HEADERS
from exporter.web.toolkit import passwords
from exporter.web.toolkit.web_config import WebConfigFile
from exporter.web.toolkit.web_file import CIPHERS
from tests.web.certificates import Authority, pem, put

ROOT = Path(__file__).parents[3]
HASHED = bcrypt.hashpw(b"open sesame", bcrypt.gensalt(4)).decode()
TLS = "tls_server_config: {cert_file: tls.crt, key_file: tls.key"
USERS = f"basic_auth_users: {{alice: '{HASHED}'}}\n"
MUTUAL = f"{TLS}, client_auth_type: RequireAndVerifyClientCert, client_ca_file: ca.crt}}\n"
GOOD = encode_basic_auth("alice", "open sesame")

Serve = Callable[..., Awaitable[str]]


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority("first")


@pytest.fixture
def folder(tmp_path: Path, authority: Authority) -> Path:
    authority.issue(tmp_path, "tls", "before")
    authority.issue(tmp_path, "client", "prometheus")
    put(tmp_path / "ca.crt", pem(authority.certificate))
    return tmp_path


def write(folder: Path, text: str) -> Path:
    path = folder / "web.yaml"
    put(path, text.encode())
    return path


def trusting(folder: Path, client: str = "", **versions: ssl.TLSVersion) -> ssl.SSLContext:
    context = client_context()
    context.load_verify_locations(folder / "ca.crt")
    for name, version in versions.items():
        setattr(context, name, version)
    if client:
        context.load_cert_chain(folder / f"{client}.crt", folder / f"{client}.key")
    return context


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Serve one page behind the door of a file; the answer is the address."""
    async with AsyncExitStack() as stack:

        async def start(path: Path) -> str:
            async def page(_request: web.Request) -> web.Response:
                return web.Response(text="the page")

            async def secure(_request: web.Request, response: web.StreamResponse) -> None:
                response.headers.update(SECURITY_HEADERS)

            app = web.Application()
            app.on_response_prepare.append(secure)
            app.router.add_get("/-/healthy", page)
            door = WebConfigFile(path)
            door.guard(app)
            context = door.context()
            server = TestServer(app, scheme="https" if context else "http")
            await server.start_server(ssl=context)
            stack.push_async_callback(server.close)
            return str(server.make_url("/-/healthy"))

        yield start


class RefusedError(Exception):
    """The connection was not made, or ended without an answer."""


async def ask(url: str, tls: ssl.SSLContext | None = None, auth: str = "") -> tuple[int, str]:
    """Status, and the name in the served certificate; each time by a new connection."""
    asked = URL(url)
    credentials = f"Authorization: {auth}\r\n" if auth else ""
    head = f"GET {asked.path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{credentials}\r\n"
    writer = None
    try:
        reader, writer = await asyncio.open_connection(asked.host, asked.port, ssl=tls)
        shown = writer.get_extra_info("peercert") or {}
        writer.write(head.encode())
        answer = await reader.read()
    except OSError as error:
        raise RefusedError from error
    finally:
        if writer:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()
    if not answer:
        raise RefusedError
    names = dict(pair[0] for pair in shown.get("subject", ()))
    return int(answer.split()[1]), names.get("commonName", "")


async def headers_of(url: str) -> Mapping[str, str]:
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        return answer.headers


async def test_a_file_that_sets_nothing_serves_plain_http_to_everyone(
    folder: Path, serve: Serve
) -> None:
    assert await ask(await serve(write(folder, "{}"))) == (200, "")


async def test_tls_is_served(folder: Path, serve: Serve) -> None:
    url = await serve(write(folder, f"{TLS}}}\n"))
    assert await ask(url, trusting(folder)) == (200, "before")
    with pytest.raises(RefusedError):
        await ask(url.replace("https", "http"))


async def test_a_rotated_certificate_holds_for_new_connections(
    folder: Path, serve: Serve, authority: Authority
) -> None:
    url = await serve(write(folder, f"{TLS}}}\n"))
    context = trusting(folder)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as kept:
        async with kept.get(url) as answer:
            assert answer.status == 200
        authority.issue(folder, "tls", "after")
        assert await ask(url, context) == (200, "after")
        async with kept.get(url) as answer:
            assert answer.status == 200


async def test_tls_is_not_switched_off_while_serving(
    folder: Path, serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    url = await serve(write(folder, f"{TLS}}}\n"))
    write(folder, "{}")
    assert await ask(url, trusting(folder)) == (200, "before")
    assert "TLS cannot be switched on or off without a restart" in caplog.text


async def test_a_certificate_behind_a_turned_link_is_taken(
    folder: Path, serve: Serve, authority: Authority
) -> None:
    """As Kubernetes mounts a secret: files behind a link to a folder that is turned."""
    for name in ("one", "two"):
        (folder / name).mkdir()
        authority.issue(folder / name, "tls", name)
    (folder / "data").symlink_to("one")
    text = "tls_server_config: {cert_file: data/tls.crt, key_file: data/tls.key}"
    url = await serve(write(folder, text))
    assert await ask(url, trusting(folder)) == (200, "one")
    (folder / "turned").symlink_to("two")
    (folder / "turned").replace(folder / "data")
    assert await ask(url, trusting(folder)) == (200, "two")


async def test_half_a_rotation_keeps_the_old_certificate(
    folder: Path, serve: Serve, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    url = await serve(write(folder, f"{TLS}}}\n"))
    old_key = (folder / "tls.key").read_bytes()
    authority.issue(folder, "tls", "after")
    new_key = (folder / "tls.key").read_bytes()
    put(folder / "tls.key", old_key)
    for _ in range(2):
        assert await ask(url, trusting(folder)) == (200, "before")
    complaints = [record.message for record in caplog.records if "stays" in record.message]
    assert len(complaints) == 1
    assert "tls_server_config.key_file: cannot be used: key values mismatch" in complaints[0]
    put(folder / "tls.key", new_key)
    assert await ask(url, trusting(folder)) == (200, "after")


@pytest.mark.parametrize(
    ("setting", "version", "served"),
    [
        pytest.param("", ssl.TLSVersion.TLSv1_2, True, id="1.2-by-default"),
        pytest.param("", ssl.TLSVersion.TLSv1_3, True, id="1.3-by-default"),
        pytest.param(", min_version: TLS13", ssl.TLSVersion.TLSv1_2, False, id="1.2-below-min"),
        pytest.param(", max_version: TLS12", ssl.TLSVersion.TLSv1_3, False, id="1.3-above-max"),
        pytest.param(", max_version: TLS12", ssl.TLSVersion.TLSv1_2, True, id="1.2-at-max"),
    ],
)
async def test_versions_are_those_of_the_file(
    folder: Path, serve: Serve, setting: str, version: ssl.TLSVersion, *, served: bool
) -> None:
    url = await serve(write(folder, f"{TLS}{setting}}}\n"))
    context = trusting(folder, minimum_version=version, maximum_version=version)
    if served:
        assert await ask(url, context) == (200, "before")
    else:
        with pytest.raises(RefusedError):
            await ask(url, context)


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated:DeprecationWarning")
async def test_tls_1_1_is_not_served(folder: Path, serve: Serve) -> None:
    url = await serve(write(folder, f"{TLS}}}\n"))
    context = trusting(folder)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(RefusedError):
        await ask(url, context)


@pytest.mark.parametrize("name", CIPHERS)
async def test_a_cipher_suite_of_the_file_is_the_one_spoken(
    folder: Path, serve: Serve, authority: Authority, name: str
) -> None:
    if "_RSA_" in name:
        authority.issue(folder, "tls", "rsa", rsa.generate_private_key(65537, 2048))
    url = await serve(write(folder, f"{TLS}, max_version: TLS12, cipher_suites: [{name}]}}\n"))
    context = trusting(folder)
    context.set_ciphers("ALL")
    _, writer = await asyncio.open_connection("127.0.0.1", URL(url).port, ssl=context)
    assert writer.get_extra_info("cipher")[0] == CIPHERS[name]
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize(
    ("kind", "client", "admitted"),
    [
        pytest.param("RequireAndVerifyClientCert", "client", True, id="demanded-and-right"),
        pytest.param("RequireAndVerifyClientCert", "", False, id="demanded-and-missing"),
        pytest.param("RequireAndVerifyClientCert", "stranger", False, id="demanded-and-foreign"),
        pytest.param("VerifyClientCertIfGiven", "client", True, id="asked-and-right"),
        pytest.param("VerifyClientCertIfGiven", "", True, id="asked-and-missing"),
        pytest.param("VerifyClientCertIfGiven", "stranger", False, id="asked-and-foreign"),
    ],
)
async def test_client_certificates_are_verified(
    folder: Path, serve: Serve, kind: str, client: str, *, admitted: bool
) -> None:
    Authority("stranger").issue(folder, "stranger", "stranger")
    text = MUTUAL.replace("RequireAndVerifyClientCert", kind)
    url = await serve(write(folder, text))
    if admitted:
        assert (await ask(url, trusting(folder, client)))[0] == 200
    else:
        with pytest.raises(RefusedError):
            await ask(url, trusting(folder, client))


async def test_a_rotated_client_ca_shuts_out_whom_the_old_one_let_in(
    folder: Path, serve: Serve
) -> None:
    shutil.copy(folder / "ca.crt", folder / "clients.crt")
    url = await serve(write(folder, MUTUAL.replace("ca.crt", "clients.crt")))
    context = trusting(folder, "client")
    assert (await ask(url, context))[0] == 200
    put(folder / "clients.crt", pem(Authority("second").certificate))
    with pytest.raises(RefusedError):
        await ask(url, context)


async def test_demanding_a_client_certificate_holds_for_new_connections(
    folder: Path, serve: Serve
) -> None:
    path = write(folder, f"{TLS}}}\n")
    url = await serve(path)
    assert (await ask(url, trusting(folder)))[0] == 200
    write(folder, MUTUAL)
    with pytest.raises(RefusedError):
        await ask(url, trusting(folder))
    assert (await ask(url, trusting(folder, "client")))[0] == 200


@pytest.mark.parametrize(
    ("auth", "status"),
    [
        pytest.param(GOOD, 200, id="right"),
        pytest.param("", 401, id="none"),
        pytest.param(encode_basic_auth("alice", "open"), 401, id="wrong-password"),
        pytest.param(encode_basic_auth("alice", ""), 401, id="empty-password"),
        pytest.param(encode_basic_auth("mallory", "open sesame"), 401, id="unknown-user"),
        pytest.param(encode_basic_auth("alice", "x" * 200), 401, id="longer-than-bcrypt-reads"),
        pytest.param(encode_basic_auth("alice", "\0"), 401, id="a-zero-byte"),
    ],
)
async def test_users_come_in_with_their_password(
    folder: Path, serve: Serve, auth: str, status: int
) -> None:
    url = await serve(write(folder, USERS))
    for _ in range(2):
        assert (await ask(url, auth=auth))[0] == status


@pytest.mark.parametrize("path", ["/-/healthy", "/nowhere", "/metrics"])
async def test_every_path_asks_who_is_there(folder: Path, serve: Serve, path: str) -> None:
    url = (await serve(write(folder, USERS))).replace("/-/healthy", path)
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        assert answer.status == 401
        assert answer.headers["WWW-Authenticate"].startswith("Basic realm=")
        assert answer.headers["X-Frame-Options"] == "DENY"


async def test_users_are_asked_over_tls_too(folder: Path, serve: Serve) -> None:
    url = await serve(write(folder, f"{TLS}}}\n{USERS}"))
    assert (await ask(url, trusting(folder)))[0] == 401
    assert (await ask(url, trusting(folder), auth=GOOD))[0] == 200


async def test_a_changed_password_holds_at_once(folder: Path, serve: Serve) -> None:
    url = await serve(write(folder, USERS))
    assert (await ask(url, auth=GOOD))[0] == 200
    changed = bcrypt.hashpw(b"close", bcrypt.gensalt(4)).decode()
    write(folder, f"basic_auth_users: {{alice: '{changed}'}}\n")
    assert (await ask(url, auth=GOOD))[0] == 401
    assert (await ask(url, auth=encode_basic_auth("alice", "close")))[0] == 200


@pytest.mark.parametrize("broken", ["basic_auth_users: [", "users: {}", f"{TLS}}}\n"])
async def test_a_file_that_breaks_lets_nobody_else_in(
    folder: Path, serve: Serve, broken: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = write(folder, USERS)
    url = await serve(path)
    write(folder, broken)
    assert (await ask(url))[0] == 401
    assert (await ask(url, auth=GOOD))[0] == 200
    path.unlink()
    assert (await ask(url))[0] == 401
    assert len([r for r in caplog.records if "stays as it was" in r.message]) == 2
    assert HASHED not in caplog.text


async def test_who_is_turned_away_is_told_to_come_again(
    folder: Path, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passwords, "MAX_WAITING", 0)
    url = await serve(write(folder, USERS))
    async with (
        aiohttp.ClientSession(headers={"Authorization": GOOD}) as session,
        session.get(url) as answer,
    ):
        assert (answer.status, answer.headers["Retry-After"]) == (503, "1")


async def test_headers_of_the_file_lie_over_our_own(folder: Path, serve: Serve) -> None:
    text = """
http_server_config:
  headers:
    Strict-Transport-Security: max-age=60
    X-Frame-Options: sameorigin
    Content-Security-Policy: ""
"""
    headers = await headers_of(await serve(write(folder, text)))
    assert headers["Strict-Transport-Security"] == "max-age=60"
    assert headers["X-Frame-Options"] == "sameorigin"
    own = SECURITY_HEADERS["Content-Security-Policy"]
    assert headers["Content-Security-Policy"] == own


@contextmanager
def serving(folder: Path, *flags: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The serving process, on its own event loop; and its port."""
    command = [sys.executable, "-m", "exporter", "serve", "--web.listen-address", "127.0.0.1:0"]
    (folder / "exporter.yaml").write_text("discovery: {kubernetes: {enabled: false}}\n")
    command += ["--config.file", str(folder / "exporter.yaml")]
    command += ["--web.config.file", str(folder / "web.yaml"), *flags]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stderr
            line = next(line for line in process.stderr if "listening address=" in line)
            yield process, line.split("listening address=")[1].split()[0]
        finally:
            process.kill()


@pytest.mark.parametrize(
    ("flags", "status"), [([], 403), (["--web.enable-lifecycle"], 200)], ids=["off", "chosen"]
)
async def test_the_process_serves_behind_its_door(
    folder: Path, authority: Authority, flags: list[str], status: int
) -> None:
    write(folder, MUTUAL + USERS)
    context = trusting(folder, "client")
    with serving(folder, *flags) as (process, address):
        url = f"https://{address}/metrics"
        with pytest.raises(RefusedError):
            await ask(url, trusting(folder))
        assert await ask(url, context) == (401, "before")
        assert await ask(url, context, auth=GOOD) == (200, "before")
        authority.issue(folder, "tls", "after")
        assert await ask(url, context, auth=GOOD) == (200, "after")
        connector = aiohttp.TCPConnector(ssl=context)
        async with aiohttp.ClientSession(
            connector=connector, headers={"Authorization": GOOD}
        ) as session:
            reload = f"https://{address}/-/reload"
            async with session.post(reload) as answer:
                assert answer.status == status
            write(folder, "users: {}")
            async with session.post(reload) as answer:
                assert answer.status == (500 if status == 200 else 403)
        process.terminate()
        assert await asyncio.to_thread(process.wait, 10) == 0


def test_nothing_is_served_behind_a_door_that_cannot_be_built(folder: Path) -> None:
    write(folder, "basic_auth_users: {alice: secret}\n")
    command = [sys.executable, "-m", "exporter", "serve", "--web.config.file"]
    ended = subprocess.run(
        [*command, str(folder / "web.yaml")],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        cwd=ROOT,
    )
    assert ended.returncode == 2
    assert f"{folder}/web.yaml:1: basic_auth_users.alice: is not a bcrypt hash" in ended.stderr
    assert "secret" not in ended.stderr
