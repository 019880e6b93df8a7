"""The exporter-toolkit's web configuration file: YAML in, a checked `WebConfigDocument` out.

What keeps somebody out is served as the file says, or more strictly (`deviations`), or the file is
refused, as for unknown keys: nobody may believe to be protected. The rule: no message shows a
password hash or a key.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from exporter.config import ConfigError
from exporter.config.convert import Converter
from exporter.config.yaml_document import Document, KeyPath, read_document, read_file
from exporter.web.toolkit.web_file_schema import TlsServer, WebConfigDocument

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
