"""The exporter-toolkit's web configuration file: YAML in, a checked `WebConfigDocument` out.

What cannot be served as the file means it is refused, unknown keys included: nobody may believe
to be protected. The rule: no message shows a password hash or what stands in a key file.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta

from exporter.config import ConfigError
from exporter.config.convert import Converter
from exporter.config.value_types import FilePath
from exporter.config.yaml_document import Document, KeyPath, read_document, read_file

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


def read_cipher(value: object) -> str:
    """OpenSSL's name of a cipher suite that Go names."""
    if isinstance(value, str) and value in CIPHERS:
        return CIPHERS[value]
    example = next(iter(CIPHERS))
    raise ValueError(f"{value!r} is not a cipher suite of TLS 1.2 such as {example}")


def read_texts(value: object) -> Mapping[str, str]:
    """A mapping of text to text; its message shows no value, for that may be a secret."""
    if value is None:
        return {}
    if isinstance(value, dict) and all(isinstance(item, str) for item in value.values()):
        return value
    raise ValueError("must be a mapping of text to text")


Cipher = Annotated[
    str, Meta(description="a cipher suite of TLS 1.2 by Go's name", extra={"read": read_cipher})
]
Texts = Annotated[
    Mapping[str, str], Meta(description="a mapping of text to text", extra={"read": read_texts})
]


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsServer:
    """How TLS is served. Certificates that are asked for and not verified are not offered."""

    cert_file: FilePath
    key_file: FilePath
    client_auth_type: Literal[
        "NoClientCert", "VerifyClientCertIfGiven", "RequireAndVerifyClientCert"
    ] = "NoClientCert"
    client_ca_file: FilePath = ""
    min_version: Literal["TLS12", "TLS13"] = "TLS12"
    max_version: Literal["TLS12", "TLS13"] = "TLS13"
    cipher_suites: tuple[Cipher, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpServer:
    """Headers of every answer, laid over the exporter's own."""

    headers: Texts = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class WebConfigDocument:
    """The whole file. No `tls_server_config`: plain HTTP; no users: everyone may ask."""

    tls_server_config: TlsServer | None = None
    http_server_config: HttpServer = HttpServer()
    basic_auth_users: Texts = field(default_factory=dict)


def read_web_file(path: Path) -> tuple[WebConfigDocument, Document]:
    """The file, and the document that knows its lines; raises ConfigError with all problems."""
    document = read_document(read_file(path), str(path))
    converter = Converter(document, path.parent)
    file: WebConfigDocument = converter.section(WebConfigDocument, document.value, ())
    problems = converter.problems or [
        document.problem(key, message) for key, message in _broken(file)
    ]
    if problems:
        raise ConfigError(*sorted(problems, key=lambda problem: problem.line))
    return file, document


def cost_of(hashed: str) -> int:
    """The cost of a bcrypt hash: the binary logarithm of its rounds."""
    return int(hashed.split("$")[2])


def _broken(file: WebConfigDocument) -> Iterator[tuple[KeyPath, str]]:
    if file.tls_server_config:
        yield from _broken_tls(file.tls_server_config)
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
    if tls.min_version > tls.max_version:
        message = f"{tls.min_version} is above max_version, {tls.max_version}"
        yield ("tls_server_config", "min_version"), message
    verifies = tls.client_auth_type != "NoClientCert"
    if verifies and not tls.client_ca_file:
        message = f"{tls.client_auth_type} needs a client_ca_file to verify by"
        yield ("tls_server_config", "client_auth_type"), message
    if tls.client_ca_file and not verifies:
        message = "needs a client_auth_type that verifies, such as RequireAndVerifyClientCert"
        yield ("tls_server_config", "client_ca_file"), message


def _broken_header(name: str, value: str) -> str:
    if name not in HEADERS:
        return f"cannot be set; allowed: {', '.join(HEADERS)}"
    if HEADERS[name] and value not in HEADERS[name]:
        return f"{value!r} is not {' or '.join(HEADERS[name])}"
    if not (value.isascii() and value.isprintable()):
        return "must be one line of ASCII text"
    return ""
