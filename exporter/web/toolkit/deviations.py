"""How a web configuration file is served: as strictly as it is written, or more.

Pure. In: a checked `WebConfigDocument`. Out: how clients' certificates are demanded, sentences
about keys that act otherwise than in exporter-toolkit, and what a changed file would give up.
"""

import ssl
from collections.abc import Iterator

from exporter.config.problems import KeyPath
from exporter.web.toolkit.web_file import TlsServer, WebConfigDocument

_DEMANDS = {
    "NoClientCert": ssl.CERT_NONE,
    "RequestClientCert": ssl.CERT_OPTIONAL,
    "RequireClientCert": ssl.CERT_REQUIRED,
    "RequireAnyClientCert": ssl.CERT_REQUIRED,
    "VerifyClientCertIfGiven": ssl.CERT_OPTIONAL,
    "RequireAndVerifyClientCert": ssl.CERT_REQUIRED,
}
_NAMES = {
    ssl.CERT_OPTIONAL: "VerifyClientCertIfGiven",
    ssl.CERT_REQUIRED: "RequireAndVerifyClientCert",
}


def demanded(tls: TlsServer) -> ssl.VerifyMode:
    """Whether clients need a certificate. One that is shown is always verified.

    Python cannot ask for a certificate without verifying it, and names in `client_allowed_sans`
    mean something only where everybody has a verified one.
    """
    if tls.client_allowed_sans is not None:
        return ssl.CERT_REQUIRED
    return _DEMANDS[tls.client_auth_type]


def deviations(file: WebConfigDocument, given: object) -> list[str]:
    """A sentence for each key that acts otherwise than in exporter-toolkit.

    Args:
        file: what the file says.
        given: the same as YAML gave it, to know which keys were there.
    """
    sections = given if isinstance(given, dict) else {}
    tls, http = (sections.get(name, {}) for name in ("tls_server_config", "http_server_config"))
    without_effect = [
        name for name in ("curve_preferences", "prefer_server_cipher_suites") if name in tls
    ]
    if "http2" in http and file.http_server_config.http2:
        without_effect.append("http2")
    if "rate_limit" in sections:
        without_effect.append("rate_limit")
    sentences = list(_stricter(file.tls_server_config)) if file.tls_server_config else []
    if without_effect:
        sentences.append(f"without effect: {', '.join(without_effect)}")
    return sentences


def _stricter(tls: TlsServer) -> Iterator[str]:
    mode = demanded(tls)
    meant = _NAMES.get(mode, "NoClientCert")
    if meant != tls.client_auth_type:
        yield f"client_auth_type is served as {meant}, which is stricter"
    if mode != ssl.CERT_NONE and not tls.has_client_ca:
        yield "clients' certificates are verified by the system's roots, for there is no client_ca"
    if tls.min_version < "TLS12":
        yield "min_version is served as TLS12, which is stricter"
    for name in ("cert", "key", "client_ca"):
        if getattr(tls, name) and getattr(tls, f"{name}_file"):
            yield f"{name}_file is used, and {name} is not"


def given_up(before: WebConfigDocument, now: WebConfigDocument) -> Iterator[tuple[KeyPath, str]]:
    """What protects before and no longer now, as in a file that is being written."""
    if before.basic_auth_users and not now.basic_auth_users:
        yield ("basic_auth_users",), "the last user cannot be removed without a restart"
    kept = now.http_server_config.headers
    for name, value in before.http_server_config.headers.items():
        if value and not kept.get(name):
            yield ("http_server_config", "headers"), f"{name} cannot be removed without a restart"
    old, new = before.tls_server_config, now.tls_server_config
    if (old is None) != (new is None):
        yield ("tls_server_config",), "TLS cannot be switched on or off without a restart"
    if old is not None and new is not None:
        yield from _given_up_by_tls(old, new)


def _given_up_by_tls(old: TlsServer, new: TlsServer) -> Iterator[tuple[KeyPath, str]]:
    for key in ("min_version", "max_version"):
        if getattr(new, key) < getattr(old, key):
            message = f"{getattr(new, key)} protects less, which takes a restart"
            yield ("tls_server_config", key), message
    if old.cipher_suites and not new.cipher_suites:
        yield ("tls_server_config", "cipher_suites"), "cannot be removed without a restart"
    if demanded(new) < demanded(old):
        message = f"{new.client_auth_type} demands less, which takes a restart"
        yield ("tls_server_config", "client_auth_type"), message
    if old.has_client_ca and not new.has_client_ca:
        yield ("tls_server_config", "client_ca_file"), "cannot be removed without a restart"
    if old.client_allowed_sans is not None and new.client_allowed_sans is None:
        yield ("tls_server_config", "client_allowed_sans"), "cannot be removed without a restart"
