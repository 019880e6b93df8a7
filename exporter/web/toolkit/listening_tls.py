"""TLS contexts: one made of the files as they are, and one that always uses the newest."""

import ssl
from collections.abc import Callable
from pathlib import Path

from exporter.config import ConfigError
from exporter.config.yaml_document import Document
from exporter.tls_contexts import server_context
from exporter.web.toolkit.web_file import TlsServer, WebConfigDocument, read_web_file

_VERSIONS = {"TLS12": ssl.TLSVersion.TLSv1_2, "TLS13": ssl.TLSVersion.TLSv1_3}
_VERIFYING = {
    "NoClientCert": ssl.CERT_NONE,
    "VerifyClientCertIfGiven": ssl.CERT_OPTIONAL,
    "RequireAndVerifyClientCert": ssl.CERT_REQUIRED,
}


class NewestContext(ssl.SSLContext):
    """Hands each new connection to the context that `newest` returns at that moment.

    Event loops hold on to the context that they were given and call `wrap_bio` for every
    connection. Exchanging the context in an SNI callback instead would exchange the certificate
    but neither the versions nor whether a client's certificate is asked for.
    """

    newest: Callable[[], ssl.SSLContext]

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,  # noqa: FBT001, FBT002 - as the method that it overrides
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        """The TLS of one new connection."""
        return self.newest().wrap_bio(incoming, outgoing, server_side, server_hostname, session)


def newest_context(newest: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
    """A context to serve with for as long as the process lives."""
    context = NewestContext(ssl.PROTOCOL_TLS_SERVER)  # noqa: TID251 - it verifies nobody itself
    context.newest = newest
    return context


def load_web_config(path: Path) -> tuple[WebConfigDocument, ssl.SSLContext | None]:
    """The file, and the context that serves its TLS if it has any; raises ConfigError."""
    file, document = read_web_file(path)
    tls = file.tls_server_config
    return file, None if tls is None else context_of_files(tls, document)


def context_of_files(tls: TlsServer, document: Document) -> ssl.SSLContext:
    """A context of the files as they are now; raises ConfigError."""
    for key in ("cert_file", "key_file", "client_ca_file"):
        if path := getattr(tls, key):
            _demand_readable(Path(path), key, document)
    context = server_context()
    context.minimum_version = _VERSIONS[tls.min_version]
    context.maximum_version = _VERSIONS[tls.max_version]
    context.set_alpn_protocols(["http/1.1"])
    if tls.cipher_suites:
        context.set_ciphers(":".join(tls.cipher_suites))
    _load(
        lambda: context.load_cert_chain(tls.cert_file, tls.key_file, _refuse), "key_file", document
    )
    if tls.client_ca_file:
        _load(lambda: context.load_verify_locations(tls.client_ca_file), "client_ca_file", document)
        context.verify_mode = _VERIFYING[tls.client_auth_type]
    return context


def _demand_readable(path: Path, key: str, document: Document) -> None:
    try:
        path.read_bytes()
    except OSError as error:
        message = f"cannot be read: {error.strerror}"
        raise ConfigError(document.problem(("tls_server_config", key), message)) from error


def _load(load: Callable[[], None], key: str, document: Document) -> None:
    try:
        load()
    except (ssl.SSLError, ValueError) as error:
        reason = getattr(error, "reason", None) or error.args[-1]
        message = f"cannot be used: {str(reason).replace('_', ' ').lower()}"
        raise ConfigError(document.problem(("tls_server_config", key), message)) from error


def _refuse() -> str:
    """OpenSSL would ask the terminal for a key's passphrase, and wait."""
    raise ValueError("the key has a passphrase")
