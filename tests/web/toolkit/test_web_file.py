"""The web configuration file: each mistake with its line, never a secret; its documentation."""

import re
from pathlib import Path

import bcrypt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from exporter.config import ConfigError, load
from exporter.web.toolkit.web_config import WebConfigFile
from exporter.web.toolkit.web_file import HttpServer, RateLimit, TlsServer, WebConfigDocument
from tests.web.certificates import Authority, key_pem, pem, put

ROOT = Path(__file__).parents[3]
HASHED = bcrypt.hashpw(b"open sesame", bcrypt.gensalt(4)).decode()
TLS = "tls_server_config: {cert_file: tls.crt, key_file: tls.key"
MUTUAL = f"{TLS}, client_auth_type: RequireAndVerifyClientCert, client_ca_file: ca.crt}}\n"

NO_ASCII = "cadata should be an ascii string or a bytes-like object"

INVALID = {
    "unknown-key": (
        "tls_config: {}",
        ":1: tls_config: unknown key; did you mean tls_server_config?",
    ),
    "empty": ("", ": is empty; a file that sets nothing says {}"),
    "a-comment-only": ("# soon\n", ": is empty; a file that sets nothing says {}"),
    "key-without-a-value": (
        "tls_server_config:\n  cert_file: tls.crt\n  key_file:",
        ":3: tls_server_config.key_file: has no value",
    ),
    "section-without-a-value": ("basic_auth_users:", ":1: basic_auth_users: has no value"),
    "empty-certificate-path": (
        'tls_server_config: {cert_file: "", key_file: tls.key}',
        ":1: tls_server_config.cert_file: is empty",
    ),
    "empty-key-path": (
        'tls_server_config: {cert_file: tls.crt, key_file: ""}',
        ":1: tls_server_config.key_file: is empty",
    ),
    "empty-text": (
        'tls_server_config: {cert_file: tls.crt, key: ""}',
        ":1: tls_server_config.key: is empty",
    ),
    "text-that-is-no-certificate": (
        "tls_server_config: {cert: x, key_file: tls.key}",
        ":1: tls_server_config.key_file: cannot be used: the certificate or the key is not pem",
    ),
    "no-key": (
        "tls_server_config: {cert_file: tls.crt}",
        ":1: tls_server_config: needs the key key_file, or key",
    ),
    "no-certificate": (
        "tls_server_config: {key_file: tls.key}",
        ":1: tls_server_config: needs the key cert_file, or cert",
    ),
    "folder-as-certificate": (
        "tls_server_config: {cert_file: ., key_file: tls.key}",
        ":1: tls_server_config.cert_file: cannot be read: Is a directory",
    ),
    "certificate-of-no-name": (
        'tls_server_config: {cert_file: "a\\0b", key_file: tls.key}',
        ":1: tls_server_config.cert_file: cannot be read: Invalid argument",
    ),
    "authority-that-is-no-ascii": (
        f"{TLS}, client_auth_type: RequireAndVerifyClientCert, client_ca: é}}\n",
        f":1: tls_server_config.client_ca: cannot be used: {NO_ASCII}",
    ),
    "no-cipher-suite-is-left": (
        f"{TLS}, cipher_suites: [TLS_AES_128_GCM_SHA256], max_version: TLS12}}\n",
        ":1: tls_server_config.cipher_suites: leaves none for max_version, TLS12",
    ),
    "invented-version": (
        f"{TLS},\n  min_version: TLS111}}",
        ":2: tls_server_config.min_version: 'TLS111' is not one of TLS10, TLS11, TLS12, TLS13",
    ),
    "old-versions-only": (
        f"{TLS}, min_version: TLS10, max_version: TLS11}}",
        ":1: tls_server_config.max_version: TLS11 is not served, and nothing below TLS12 is",
    ),
    "invented-curve": (
        f"{TLS}, curve_preferences: [CurveP257]}}",
        (
            ":1: tls_server_config.curve_preferences[0]: 'CurveP257' is not one of CurveP256, "
            "CurveP384, CurveP521, X25519"
        ),
    ),
    "invented-client-policy": (
        f"{TLS}, client_auth_type: x}}",
        (
            ":1: tls_server_config.client_auth_type: 'x' is not one of NoClientCert, "
            "RequestClientCert, RequireClientCert, RequireAnyClientCert, VerifyClientCertIfGiven, "
            "RequireAndVerifyClientCert"
        ),
    ),
    "rate-without-a-number": (
        "rate_limit: {interval: 1s, burst: many}",
        ":1: rate_limit.burst: 'many' is not a whole number",
    ),
    "versions-crossed": (
        f"{TLS}, min_version: TLS13, max_version: TLS12}}",
        ":1: tls_server_config.min_version: TLS13 is above max_version, TLS12",
    ),
    "cipher": (
        f"{TLS}, cipher_suites: [TLS_RSA_WITH_RC4_128_SHA]}}",
        (
            ":1: tls_server_config.cipher_suites[0]: 'TLS_RSA_WITH_RC4_128_SHA' is not a cipher "
            "suite such as TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"
        ),
    ),
    "ca-without-verifying": (
        f"{TLS}, client_ca_file: ca.crt}}",
        (
            ":1: tls_server_config.client_ca_file: needs a client_auth_type that verifies, such "
            "as RequireAndVerifyClientCert"
        ),
    ),
    "missing-certificate": (
        "tls_server_config:\n  cert_file: nowhere.crt\n  key_file: tls.key",
        ":2: tls_server_config.cert_file: cannot be read: No such file or directory",
    ),
    "key-of-another": (
        "tls_server_config: {cert_file: tls.crt, key_file: other.key}",
        ":1: tls_server_config.key_file: cannot be used: key values mismatch",
    ),
    "key-with-passphrase": (
        "tls_server_config: {cert_file: tls.crt, key_file: hidden.key}",
        ":1: tls_server_config.key_file: cannot be used: the key has a passphrase",
    ),
    "ca-is-none": (
        MUTUAL.replace("ca.crt", "tls.key"),
        ":1: tls_server_config.client_ca_file: cannot be used: no certificate or crl found",
    ),
    "header": (
        "http_server_config: {headers: {Server: x}}",
        (
            ":1: http_server_config.headers.Server: cannot be set; allowed: "
            "Content-Security-Policy, Strict-Transport-Security, X-Content-Type-Options, "
            "X-Frame-Options, X-XSS-Protection"
        ),
    ),
    "header-value": (
        "http_server_config: {headers: {X-Frame-Options: maybe}}",
        ":1: http_server_config.headers.X-Frame-Options: 'maybe' is not deny or sameorigin",
    ),
    "header-of-two-lines": (
        'http_server_config: {headers: {X-XSS-Protection: "0\\r\\nSet-Cookie: a"}}',
        ":1: http_server_config.headers.X-XSS-Protection: must be one line of ASCII text",
    ),
    "password-in-clear": (
        "basic_auth_users:\n  alice: secret",
        ":2: basic_auth_users.alice: is not a bcrypt hash; `htpasswd -nBC 10 NAME` prints one",
    ),
    "salt-that-bcrypt-refuses": (
        f"basic_auth_users:\n  alice: $2y$10${'A' * 53}",
        ":2: basic_auth_users.alice: is not a bcrypt hash; `htpasswd -nBC 10 NAME` prints one",
    ),
    "user-with-a-colon": (
        f"basic_auth_users: {{'a:b': '{HASHED}'}}",
        ":1: basic_auth_users.a:b: a name with a colon cannot log in",
    ),
    "users-as-a-secret": (
        f"basic_auth_users: '{HASHED}'",
        ":1: basic_auth_users: must be a mapping of text to text",
    ),
    "user-twice": (
        f"basic_auth_users:\n  alice: '{HASHED}'\n  alice: '{HASHED}'",
        ":3: basic_auth_users.alice: is defined twice; the first is on line 2",
    ),
    "not-yaml": (
        "basic_auth_users: ]",
        ":1: is not YAML: did not find expected node content",
    ),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("door")
    authority = Authority("first")
    authority.issue(folder, "tls", "server")
    authority.issue(folder, "other", "another")
    put(folder / "ca.crt", pem(authority.certificate))
    put(folder / "hidden.key", key_pem(ec.generate_private_key(ec.SECP256R1()), b"passphrase"))
    return folder


@pytest.mark.parametrize("name", INVALID)
def test_a_bad_file_is_told_what_is_wrong_and_where(folder: Path, name: str) -> None:
    text, message = INVALID[name]
    path = folder / "web.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        WebConfigFile(path)
    assert str(caught.value) == f"{path}{message}"
    assert HASHED not in str(caught.value)


def test_documentation_names_every_key() -> None:
    section = (ROOT / "docs" / "configuration.md").read_text().split("## Web configuration file")[1]
    named = re.findall(r"^\| `([a-z0-9_.]+)` \|", section, re.MULTILINE)
    tls = [f"tls_server_config.{name}" for name in TlsServer.__slots__]
    http = [f"http_server_config.{name}" for name in HttpServer.__slots__]
    rate = [f"rate_limit.{name}" for name in RateLimit.__slots__]
    assert named == [*tls, *http, *rate, WebConfigDocument.__slots__[-1]]


@pytest.mark.parametrize(
    "secret",
    [
        key_pem(ec.generate_private_key(ec.SECP256R1())).decode(),
        key_pem(ec.generate_private_key(ec.SECP256R1()), b"passphrase").decode(),
        "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJzeXN0ZW0ifQ.c2lnbmF0dXJl",
        "0123456789abcdef",
        f"alice:{HASHED}",
        "a\x00\x01\x02b",
    ],
    ids=["key", "key with a passphrase", "token", "short token", "htpasswd", "binary"],
)
def test_a_file_that_is_a_secret_is_refused_without_a_word_of_it(
    tmp_path: Path, secret: str
) -> None:
    path = tmp_path / "web.yaml"
    path.write_text(secret)
    for read in (WebConfigFile, lambda path: load(path, {})):
        with pytest.raises(ConfigError) as caught:
            read(path)
        said = str(caught.value)
        lines = [line for line in secret.splitlines() if "-----" not in line]
        assert not [line for line in lines if line and line in said]


@pytest.mark.parametrize("error", [TypeError, KeyError, OverflowError, MemoryError])
def test_whatever_a_file_makes_the_libraries_raise_is_a_problem_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    path = tmp_path / "web.yml"
    path.write_text("basic_auth_users: {}\n")
    file = WebConfigFile(path)

    def fail(_path: Path) -> None:
        raise error

    monkeypatch.setattr("exporter.web.toolkit.web_config.load_web_config", fail)
    with pytest.raises(ConfigError, match=f"cannot be used: {error.__name__}"):
        file.check()
    path.write_text("basic_auth_users: {} \n")
    assert file._current() is file._open
