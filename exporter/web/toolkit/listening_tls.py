"""TLS contexts: one made of the files as they are, and one that always uses the newest."""

import os
import ssl
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

from exporter.bounded_file import read_bounded
from exporter.bounds import SECRET_FILE
from exporter.config import ConfigError
from exporter.config.problems import Document
from exporter.parsing import parse_address
from exporter.tls_contexts import server_context, trust
from exporter.web.toolkit.deviations import demanded
from exporter.web.toolkit.web_file import TlsServer, WebConfigDocument, read_web_file

_VERSIONS = {"TLS12": ssl.TLSVersion.TLSv1_2, "TLS13": ssl.TLSVersion.TLSv1_3}


class _NewestContext(ssl.SSLContext):
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
    context = _NewestContext(ssl.PROTOCOL_TLS_SERVER)  # noqa: TID251 - it verifies nobody itself
    context.newest = newest
    return context


def load_web_config(path: Path) -> tuple[WebConfigDocument, Document, ssl.SSLContext | None]:
    """The file, its YAML, and the context that serves its TLS if it has any.

    Raises ConfigError.
    """
    file, document = read_web_file(path)
    tls = file.tls_server_config
    return file, document, None if tls is None else _context_of_files(tls, document)


def _context_of_files(tls: TlsServer, document: Document) -> ssl.SSLContext:
    """A context of the files as they are now; raises ConfigError."""
    for key in ("cert_file", "key_file", "client_ca_file"):
        if path := getattr(tls, key):
            _demand_readable(Path(path), key, document)
    context = server_context()
    context.minimum_version = _VERSIONS.get(tls.min_version, ssl.TLSVersion.TLSv1_2)
    context.maximum_version = _VERSIONS[tls.max_version]
    context.set_alpn_protocols(["http/1.1"])
    _choose_ciphers(context, tls)
    key = "key_file" if tls.key_file else "key"
    with _path(tls.cert_file, tls.cert) as cert, _path(tls.key_file, tls.key) as key_file:
        _load(lambda: context.load_cert_chain(cert, key_file, _refuse), key, document)
    context.verify_mode = demanded(tls)
    if context.verify_mode is not ssl.CERT_NONE:
        _trust_clients(context, tls, document)
    return context


def _choose_ciphers(context: ssl.SSLContext, tls: TlsServer) -> None:
    """The suites of TLS 1.2; a list without one leaves TLS 1.3 alone."""
    if chosen := [name for name in tls.cipher_suites if name]:
        context.set_ciphers(":".join(chosen))
    elif tls.cipher_suites:
        context.minimum_version = ssl.TLSVersion.TLSv1_3


def _trust_clients(context: ssl.SSLContext, tls: TlsServer, document: Document) -> None:
    key = "client_ca" if tls.client_ca and not tls.client_ca_file else "client_ca_file"
    authorities = tls.client_ca if key == "client_ca" else tls.client_ca_file
    if key == "client_ca":
        _load(lambda: context.load_verify_locations(cadata=authorities), key, document)
    else:
        _load(lambda: trust(context, authorities or None), key, document)
    if tls.client_allowed_sans is not None:
        allowed = frozenset(tls.client_allowed_sans)
        context.sslobject_class = type("NamedPeer", (_NamedPeer,), {"allowed": allowed})


class _NamedPeer(ssl.SSLObject):
    """A connection whose client has to have one of the names `allowed`, or it ends."""

    allowed: frozenset[str] = frozenset()

    def do_handshake(self) -> None:
        """Complete the handshake, then check the names in the client's certificate."""
        super().do_handshake()
        if self.allowed.isdisjoint(names_of(self.getpeercert() or {})):
            raise ssl.SSLCertVerificationError("the client's certificate has no allowed name")


def names_of(certificate: Mapping[str, Any]) -> Iterator[str]:
    """The subject alternative names that exporter-toolkit compares, spelled as Go does.

    Args:
        certificate: what `SSLObject.getpeercert` returns.
    """
    for kind, name in certificate.get("subjectAltName", ()):
        if kind in ("DNS", "email", "URI"):
            yield name
        elif kind == "IP Address":
            address = parse_address(name)
            yield str(address or name)


@contextmanager
def _path(file: str, text: str) -> Iterator[str]:
    """A path for OpenSSL: the file, or the text in memory where the system can hold it there."""
    if file:
        yield file
    elif sys.platform == "linux":
        with os.fdopen(os.memfd_create("pem"), "wb", buffering=0) as held:
            held.write(text.encode())
            yield f"/proc/self/fd/{held.fileno()}"
    else:
        with NamedTemporaryFile() as held:
            held.write(text.encode())
            held.flush()
            yield held.name


def _demand_readable(path: Path, key: str, document: Document) -> None:
    try:
        read_bounded(path, SECRET_FILE)
    except OSError as error:
        message = f"cannot be read: {error.strerror}"
        raise ConfigError(document.problem(("tls_server_config", key), message)) from error


def _load(load: Callable[[], None], key: str, document: Document) -> None:
    try:
        load()
    except (OSError, ValueError, TypeError) as error:
        reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or error
        if isinstance(error, ssl.SSLError) and not error.reason:
            reason = "the certificate or the key is not PEM"
        message = f"cannot be used: {str(reason).replace('_', ' ').lower()}"
        raise ConfigError(document.problem(("tls_server_config", key), message)) from error


def _refuse() -> str:
    """OpenSSL would ask the terminal for a key's passphrase, and wait."""
    raise ValueError("the key has a passphrase")
