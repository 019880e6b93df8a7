"""The keys of the exporter-toolkit's web configuration file, as frozen data.

A fleet's exporters share such a file, so the toolkit's every key is here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal

from msgspec import Meta

from exporter.config.value_types import FilePath

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


def read_cipher(value: object) -> str:
    """OpenSSL's name of a cipher suite that Go names; empty for one of TLS 1.3."""
    if isinstance(value, str) and value in CIPHERS_OF_TLS13:
        return ""
    if isinstance(value, str) and value in CIPHERS:
        return CIPHERS[value]
    example = next(iter(CIPHERS))
    raise ValueError(f"{value!r} is not a cipher suite such as {example}")


def read_texts(value: object) -> Mapping[str, str]:
    """A mapping of text to text; its message shows no value, for that may be a secret.

    A number is taken as its text, as Go's YAML does: `X-XSS-Protection: 1`.
    """
    if isinstance(value, dict) and all(isinstance(item, str | int) for item in value.values()):
        return {name: str(item) for name, item in value.items()}
    raise ValueError("must be a mapping of text to text")


Cipher = Annotated[
    str, Meta(description="a cipher suite of TLS 1.2 by Go's name", extra={"read": read_cipher})
]
Texts = Annotated[
    Mapping[str, str], Meta(description="a mapping of text to text", extra={"read": read_texts})
]


TlsVersion = Literal["TLS10", "TLS11", "TLS12", "TLS13"]


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
    min_version: TlsVersion = "TLS12"
    max_version: TlsVersion = "TLS13"
    cipher_suites: tuple[Cipher, ...] = ()
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
