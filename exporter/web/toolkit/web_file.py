"""The exporter-toolkit's web configuration file: YAML in, a checked `WebConfigDocument` out.

What keeps somebody out is served as the file says, or more strictly (`deviations`), or the file is
refused, as for unknown keys: nobody may believe to be protected. The rule: no message shows a
password hash or a key. A fleet's exporters share such a file, so the toolkit's every key is here.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta

from exporter.config import ConfigError
from exporter.config.convert import Converter
from exporter.config.problems import Document, KeyPath
from exporter.config.value_types import FilePath
from exporter.config.yaml_document import read_document, read_file

CIPHERS = {
    f"TLS_ECDHE_{signed}_WITH_{go}": f"ECDHE-{signed}-{openssl}"
    for signed in ("ECDSA", "RSA")
    for go, openssl in (
        ("AES_128_GCM_SHA256", "AES128-GCM-SHA256"),
        ("AES_256_GCM_SHA384", "AES256-GCM-SHA384"),
        ("CHACHA20_POLY1305_SHA256", "CHACHA20-POLY1305"),
        ("AES_128_CBC_SHA", "AES128-SHA"),
        ("AES_256_CBC_SHA", "AES256-SHA"),
    )
}
"""The cipher suites of TLS 1.2 that Go does not call insecure, by its names, in OpenSSL's."""

CIPHERS_OF_TLS13 = frozenset(
    {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"}
)
"""Allowed in a list, where they choose nothing: so it is in Go, too."""


def _read_cipher(value: object) -> str:
    """OpenSSL's name of a cipher suite that Go names; empty for one of TLS 1.3."""
    if isinstance(value, str) and value in CIPHERS_OF_TLS13:
        return ""
    if isinstance(value, str) and value in CIPHERS:
        return CIPHERS[value]
    example = next(iter(CIPHERS))
    raise ValueError(f"{value!r} is not a cipher suite such as {example}")


def _read_texts(value: object) -> Mapping[str, str]:
    """A mapping of text to text; its message shows no value, for that may be a secret.

    A number is taken as its text, as Go's YAML does: `X-XSS-Protection: 1`.
    """
    if isinstance(value, dict) and all(isinstance(item, str | int) for item in value.values()):
        return {name: str(item) for name, item in value.items()}
    raise ValueError("must be a mapping of text to text")


_Cipher = Annotated[
    str, Meta(description="a cipher suite of TLS 1.2 by Go's name", extra={"read": _read_cipher})
]
Texts = Annotated[
    Mapping[str, str], Meta(description="a mapping of text to text", extra={"read": _read_texts})
]


_TlsVersion = Literal["TLS10", "TLS11", "TLS12", "TLS13"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsServer:
    """How TLS is served. PEM text stands in the file, or in one that the file names."""

    cert_file: FilePath = ""
    cert: str = ""
    key_file: FilePath = ""
    key: str = ""
    client_auth_type: Literal[
        "NoClientCert",
        "RequestClientCert",
        "RequireClientCert",
        "RequireAnyClientCert",
        "VerifyClientCertIfGiven",
        "RequireAndVerifyClientCert",
    ] = "NoClientCert"
    client_ca_file: FilePath = ""
    client_ca: str = ""
    client_allowed_sans: tuple[str, ...] | None = None
    min_version: _TlsVersion = "TLS12"
    max_version: _TlsVersion = "TLS13"
    cipher_suites: tuple[_Cipher, ...] = ()
    curve_preferences: tuple[Literal["CurveP256", "CurveP384", "CurveP521", "X25519"], ...] = ()
    prefer_server_cipher_suites: bool = True

    @property
    def has_client_ca(self) -> bool:
        """Whether clients are verified by roots of their own, and not by the system's."""
        return bool(self.client_ca_file or self.client_ca)


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpServer:
    """`headers`: of every answer, laid over the exporter's own."""

    headers: Texts = field(default_factory=dict)
    http2: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimit:
    """The toolkit's limit for all requests together; the exporter's own limits hold instead."""

    interval: str | int = 0
    burst: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class WebConfigDocument:
    """The whole file. No `tls_server_config`: plain HTTP; no users: everyone may ask."""

    tls_server_config: TlsServer | None = None
    http_server_config: HttpServer = HttpServer()
    rate_limit: RateLimit = RateLimit()
    basic_auth_users: Texts = field(default_factory=dict)


HEADERS: Mapping[str, tuple[str, ...]] = {
    "Content-Security-Policy": (),
    "Strict-Transport-Security": (),
    "X-Content-Type-Options": ("nosniff",),
    "X-Frame-Options": ("deny", "sameorigin"),
    "X-XSS-Protection": (),
}
"""The headers that a file may set, with their values where those are few."""

_BCRYPT = re.compile(
    r"\$2[aby]\$(0[4-9]|[12][0-9]|3[01])\$[./A-Za-z0-9]{21}[.Oeu][./A-Za-z0-9]{31}"
)


def read_web_file(path: Path) -> tuple[WebConfigDocument, Document]:
    """The file, and the document that knows its lines; raises ConfigError with all problems."""
    document = read_document(read_file(path), str(path))
    if unfinished := list(_unfinished(document.value, ())):
        raise ConfigError(*(document.problem(key, message) for key, message in unfinished))
    converter = Converter(document, path.parent)
    file: WebConfigDocument = converter.section(WebConfigDocument, document.value, ())
    problems = converter.problems or [
        document.problem(key, message) for key, message in _broken(file)
    ]
    if problems:
        raise ConfigError(*sorted(problems, key=lambda problem: problem.line))
    return file, document


def _unfinished(value: object, path: KeyPath) -> Iterator[tuple[KeyPath, str]]:
    """Keys without a value, and a file without keys: both are what a write leaves midway."""
    if value is None:
        message = "has no value" if path else "is empty; a file that sets nothing says {}"
        yield path, message
    elif value == "" and path[:2] != ("http_server_config", "headers"):
        yield path, "is empty"
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from _unfinished(item, (*path, name))


def cost_of(hashed: str) -> int:
    """The cost of a bcrypt hash: the binary logarithm of its rounds."""
    return int(hashed.split("$")[2])


def _broken(file: WebConfigDocument) -> Iterator[tuple[KeyPath, str]]:
    if file.tls_server_config:
        for path, message in _broken_tls(file.tls_server_config):
            yield ("tls_server_config", *path), message
    for name, value in file.http_server_config.headers.items():
        if message := _broken_header(name, value):
            yield ("http_server_config", "headers", name), message
    for user, hashed in file.basic_auth_users.items():
        if not _BCRYPT.fullmatch(hashed):
            message = "is not a bcrypt hash; `htpasswd -nBC 10 NAME` prints one"
            yield ("basic_auth_users", user), message
        if ":" in user:
            yield ("basic_auth_users", user), "a name with a colon cannot log in"


def _broken_tls(tls: TlsServer) -> Iterator[tuple[KeyPath, str]]:
    for name in ("cert", "key"):
        if not (getattr(tls, name) or getattr(tls, f"{name}_file")):
            yield (), f"needs the key {name}_file, or {name}"
    if tls.min_version > tls.max_version:
        yield ("min_version",), f"{tls.min_version} is above max_version, {tls.max_version}"
    if tls.max_version < "TLS12":
        yield ("max_version",), f"{tls.max_version} is not served, and nothing below TLS12 is"
    if tls.cipher_suites and not any(tls.cipher_suites) and tls.max_version < "TLS13":
        yield ("cipher_suites",), f"leaves none for max_version, {tls.max_version}"
    if tls.has_client_ca and tls.client_auth_type == "NoClientCert":
        key = "client_ca_file" if tls.client_ca_file else "client_ca"
        yield (key,), "needs a client_auth_type that verifies, such as RequireAndVerifyClientCert"


def _broken_header(name: str, value: str) -> str:
    if name not in HEADERS:
        return f"cannot be set; allowed: {', '.join(HEADERS)}"
    if value and HEADERS[name] and value not in HEADERS[name]:
        return f"{value!r} is not {' or '.join(HEADERS[name])}"
    if value and not (value.isascii() and value.isprintable()):
        return "must be one line of ASCII text"
    return ""
