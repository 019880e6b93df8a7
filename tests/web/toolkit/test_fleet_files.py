"""Files that a fleet's exporters share: each key is taken, and whom it keeps out stays out.

The kinds are those of exporter-toolkit's own test files.
"""

import asyncio
import ssl
from pathlib import Path
from typing import Any

import bcrypt
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from exporter.tls_contexts import client_context
from exporter.web.toolkit.listening_tls import names_of
from exporter.web.toolkit.web_config import WebConfigFile
from exporter.web.toolkit.web_file import CIPHERS, CIPHERS_OF_TLS13
from tests.web.certificates import Authority, pem, put

HASHED = bcrypt.hashpw(b"open sesame", bcrypt.gensalt(4)).decode()
FILES = "cert_file: tls.crt, key_file: tls.key"
OURS = f"{FILES}, client_ca_file: ca.crt, client_auth_type"
SUITES = ", ".join([*CIPHERS, *CIPHERS_OF_TLS13])
EVERYBODY = {"", "ours", "other"}
SYSTEM = "verified by the system's roots"

TAKEN = {
    # file: what is said of it, who connects (nobody's, ours, a stranger's certificate)
    "headers": ("http_server_config: {headers: {X-XSS-Protection: 1}}", "", None),
    "users": (f"basic_auth_users: {{a: {HASHED}, b: {HASHED}}}", "", None),
    "http2 off": ("http_server_config: {http2: false}", "", None),
    "rate": ("rate_limit: {interval: 1s, burst: 1}", "without effect: rate_limit", None),
    "tls": (f"tls_server_config: {{{FILES}}}", "", EVERYBODY),
    "http2": (
        f"{{tls_server_config: {{{FILES}}}, http_server_config: {{http2: true}}}}",
        "without effect: http2",
        EVERYBODY,
    ),
    "curves": (
        f"tls_server_config: {{{FILES}, curve_preferences: [CurveP521, X25519]}}",
        "without effect: curve_preferences",
        EVERYBODY,
    ),
    "order": (
        f"tls_server_config: {{{FILES}, prefer_server_cipher_suites: false}}",
        "without effect: prefer_server_cipher_suites",
        EVERYBODY,
    ),
    "all suites": (f"tls_server_config: {{{FILES}, cipher_suites: [{SUITES}]}}", "", EVERYBODY),
    "suites of 1.3": (
        f"tls_server_config: {{{FILES}, cipher_suites: [TLS_AES_128_GCM_SHA256]}}",
        "",
        EVERYBODY,
    ),
    "old minimum": (
        f"tls_server_config: {{{FILES}, min_version: TLS10}}",
        "min_version",
        EVERYBODY,
    ),
    "demanded": (f"tls_server_config: {{{OURS}: RequireAndVerifyClientCert}}", "", {"ours"}),
    "any": (
        f"tls_server_config: {{{OURS}: RequireAnyClientCert}}",
        "served as RequireAndVerifyClientCert",
        {"ours"},
    ),
    "any, by its old name": (
        f"tls_server_config: {{{OURS}: RequireClientCert}}",
        "served as RequireAndVerifyClientCert",
        {"ours"},
    ),
    "asked": (f"tls_server_config: {{{OURS}: VerifyClientCertIfGiven}}", "", {"", "ours"}),
    "asked and not verified": (
        f"tls_server_config: {{{OURS}: RequestClientCert}}",
        "served as VerifyClientCertIfGiven",
        {"", "ours"},
    ),
    "any, without roots": (
        f"tls_server_config: {{{FILES}, client_auth_type: RequireAnyClientCert}}",
        SYSTEM,
        set(),
    ),
    "demanded, without roots": (
        f"tls_server_config: {{{FILES}, client_auth_type: RequireAndVerifyClientCert}}",
        SYSTEM,
        set(),
    ),
    "asked, without roots": (
        f"tls_server_config: {{{FILES}, client_auth_type: VerifyClientCertIfGiven}}",
        SYSTEM,
        {""},
    ),
    "a name that ours has": (
        (
            f"tls_server_config: {{{OURS}: RequireAndVerifyClientCert,"
            " client_allowed_sans: [a.example, 127.0.0.1]}"
        ),
        "",
        {"ours"},
    ),
    "a name that ours has not": (
        (
            f"tls_server_config: {{{OURS}: RequireAndVerifyClientCert,"
            " client_allowed_sans: [a.example, 127.0.0.2]}"
        ),
        "",
        set(),
    ),
    "no name at all": (
        f"tls_server_config: {{{OURS}: RequireAndVerifyClientCert, client_allowed_sans: []}}",
        "",
        set(),
    ),
    "a name where a certificate is optional": (
        f"tls_server_config: {{{OURS}: VerifyClientCertIfGiven, client_allowed_sans: [127.0.0.1]}}",
        "served as RequireAndVerifyClientCert",
        {"ours"},
    ),
    "a name where none is asked for": (
        f"tls_server_config: {{{FILES}, client_allowed_sans: [127.0.0.1]}}",
        "served as RequireAndVerifyClientCert",
        set(),
    ),
    "text": (
        (
            "tls_server_config: {cert: CERT, key: KEY, client_ca: CA,"
            " client_auth_type: RequireAndVerifyClientCert}"
        ),
        "",
        {"ours"},
    ),
    "file and text": (
        f"tls_server_config: {{{FILES}, cert: CERT, key: KEY}}",
        "key_file is used, and key is not",
        EVERYBODY,
    ),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fleet")
    authority = Authority("first")
    for name in ("tls", "ours"):
        authority.issue(folder, name, name)
    Authority("second").issue(folder, "other", "other")
    put(folder / "ca.crt", pem(authority.certificate))
    return folder


def written(folder: Path, text: str) -> Path:
    for word, file in {"CERT": "tls.crt", "KEY": "tls.key", "CA": "ca.crt"}.items():
        quoted = (folder / file).read_text().replace("\n", "\\n")
        text = text.replace(f": {word}", f': "{quoted}"')
    put(folder / "web.yaml", text.encode())
    return folder / "web.yaml"


async def connects(port: int, folder: Path, client: str) -> bool:
    """Whether a client gets an answer, with this certificate if any."""
    context = client_context()
    context.load_verify_locations(folder / "ca.crt")
    if client:
        context.load_cert_chain(folder / f"{client}.crt", folder / f"{client}.key")
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        answer = await reader.read()
        writer.close()
    except OSError:
        return False
    return answer.startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("name", TAKEN)
async def test_a_file_is_taken_and_lets_nobody_in_whom_it_keeps_out(
    folder: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    text, said, admitted = TAKEN[name]
    door = WebConfigFile(written(folder, text))
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == bool(said)
    assert said in "".join(lines)
    context = door.context()
    assert (context is None) == (admitted is None)
    app = web.Application()
    app.router.add_get("/", page)
    if context:
        server = TestServer(app, scheme="https")
        await server.start_server(ssl=context)
        clients = ("", "ours", "other")
        came = {one for one in clients if await connects(server.port or 0, folder, one)}
        await server.close()
        assert came == admitted


async def page(_request: web.Request) -> web.Response:
    return web.Response(text="the page")


WHOLE = f"""# who may look
basic_auth_users:
  prom: '{HASHED}'
tls_server_config:
  cert_file: tls.crt
  key_file: tls.key
  client_auth_type: RequireAndVerifyClientCert
  client_ca_file: ca.crt
  client_allowed_sans:
    - 127.0.0.1
  cipher_suites: [TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256]
  min_version: TLS13
http_server_config:
  headers:
    X-Frame-Options: deny
    Strict-Transport-Security: max-age=9
"""


def turned(text: str) -> str:
    """The file with its sections in the other order."""
    first, mark, rest = text.partition("tls_server_config")
    second, end, third = rest.partition("http_server_config")
    return end + third + mark + second + first


@pytest.mark.parametrize("whole", [WHOLE, turned(WHOLE)], ids=["users first", "TLS first"])
def test_a_half_written_file_gives_nothing_up_wherever_it_ends(folder: Path, whole: str) -> None:
    path = written(folder, whole)
    door = WebConfigFile(path)
    for length in range(len(whole)):
        path.write_text(whole[:length])
        current = door._current()
        tls: Any = current.file.tls_server_config
        assert dict(current.file.basic_auth_users) == {"prom": HASHED}
        assert current.context is not None
        assert current.context.verify_mode is ssl.CERT_REQUIRED
        assert tls.client_ca_file
        assert all("127.0.0.1".startswith(name) for name in tls.client_allowed_sans)
        assert (tls.min_version, len(tls.cipher_suites)) == ("TLS13", 1)
        assert len(current.file.http_server_config.headers) == 2


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (
            f"tls_server_config: {{{FILES}, min_version: TLS13}}",
            f"tls_server_config: {{{FILES}}}",
        ),
        (
            f"tls_server_config: {{{FILES}}}",
            f"tls_server_config: {{{FILES}, max_version: TLS12}}",
        ),
        (
            f"tls_server_config: {{{FILES}, cipher_suites: [TLS_AES_128_GCM_SHA256]}}",
            f"tls_server_config: {{{FILES}}}",
        ),
        (
            "http_server_config: {headers: {X-Frame-Options: deny, X-XSS-Protection: a}}",
            "http_server_config: {headers: {X-Frame-Options: deny}}",
        ),
        (f"basic_auth_users: {{a: {HASHED}}}", "{}"),
        (f"basic_auth_users: {{a: {HASHED}}}", "basic_auth_users: {}"),
        (f"tls_server_config: {{{FILES}}}", "{}"),
        ("{}", f"tls_server_config: {{{FILES}}}"),
        (
            f"tls_server_config: {{{OURS}: RequireAndVerifyClientCert}}",
            f"tls_server_config: {{{OURS}: VerifyClientCertIfGiven}}",
        ),
        (
            f"tls_server_config: {{{OURS}: VerifyClientCertIfGiven}}",
            f"tls_server_config: {{{FILES}}}",
        ),
        (
            f"tls_server_config: {{{OURS}: RequireAndVerifyClientCert}}",
            f"tls_server_config: {{{FILES}, client_auth_type: RequireAndVerifyClientCert}}",
        ),
        (
            f"tls_server_config: {{{OURS}: RequireAndVerifyClientCert, client_allowed_sans: [a]}}",
            f"tls_server_config: {{{OURS}: RequireAndVerifyClientCert}}",
        ),
    ],
    ids=[
        "an older version",
        "an older version at most",
        "any cipher suite",
        "a header less",
        "users without the key",
        "no users",
        "TLS ends",
        "TLS begins",
        "certificates asked for only",
        "certificates asked for no more",
        "certificates of anybody",
        "any name",
    ],
)
def test_what_protects_less_takes_a_restart_and_is_said_once(
    folder: Path, before: str, after: str, caplog: pytest.LogCaptureFixture
) -> None:
    door = WebConfigFile(written(folder, before))
    open_before = door._current()
    written(folder, after)
    assert [door._current() is open_before for _ in range(3)] == [True] * 3
    said = [r.getMessage() for r in caplog.records if "stays as it was" in r.getMessage()]
    assert len(said) == 1
    assert "restart" in said[0]


@pytest.mark.parametrize(
    ("entry", "name"),
    [
        (("DNS", "a.example"), "a.example"),
        (("email", "a@example"), "a@example"),
        (("URI", "spiffe://a/b"), "spiffe://a/b"),
        (("IP Address", "10.0.0.1"), "10.0.0.1"),
        (("IP Address", "2001:DB8:0:0:0:0:0:1"), "2001:db8::1"),
        (("DirName", "x"), None),
    ],
)
def test_names_are_spelled_as_go_spells_them(entry: tuple[str, str], name: str | None) -> None:
    assert list(names_of({"subjectAltName": (entry,)})) == ([name] if name else [])
