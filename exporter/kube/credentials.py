"""Credentials for the API server: a kubeconfig, or the service account of our own pod.

In: files and the environment. Out: `Credentials`, loaded again when they expire. The rule: no
secret leaves this module, so the errors of the credential library, which quote whole users, are
never passed on or chained. The only module that imports `kubernetes`.
"""

import asyncio
import importlib
import logging
import os
import re
import ssl
import time
from base64 import b64encode
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from cryptography import x509

from exporter.bounded_file import read_bounded
from exporter.bounds import FILE, SECRET_FILE
from exporter.kube.api_errors import KubernetesError
from exporter.tls_contexts import client_context, trust

_SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")

_KUBECONFIG = Path("~/.kube/config")
_TOKEN_SECONDS = 60.0
"""How long a service account's token is used until its file, which is rotated, is read again."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """The API server's address and how to authenticate to it. Never shown."""

    host: str
    authorization: str = field(default="", repr=False)
    tls: ssl.SSLContext | None = field(default=None, repr=False)
    server_name: str | None = None
    proxy: str | None = field(default=None, repr=False)
    namespace: str | None = ""
    """The context's, empty where it sets none; None for a pod's own account."""
    expires: float = float("inf")
    """When to load them again, on the monotonic clock."""


LoadCredentials = Callable[[], Awaitable[Credentials]]


def find_credentials(
    environ: Mapping[str, str] = os.environ, *, kubeconfig: str = "", context: str | None = None
) -> LoadCredentials | None:
    """A loader of the first that exists: KUBECONFIG, the pod's service account, ~/.kube/config.

    `kubeconfig` outranks all of these; a `context` is one of a kubeconfig. None without any.
    """
    if paths := kubeconfig or environ.get("KUBECONFIG"):
        return lambda: load_kubeconfig(paths, context)
    is_in_pod = environ.get("KUBERNETES_SERVICE_HOST") and (_SERVICE_ACCOUNT / "token").is_file()
    if is_in_pod and not context:
        return lambda: load_service_account(_SERVICE_ACCOUNT, environ)
    default = _KUBECONFIG.expanduser()
    return (lambda: load_kubeconfig(str(default), context)) if default.is_file() else None


async def load_service_account(
    folder: Path = _SERVICE_ACCOUNT, environ: Mapping[str, str] = os.environ
) -> Credentials:
    """The credentials of our own pod. Raises KubernetesError."""
    library = await _library("incluster_config")
    client = await _library("client")
    configuration = client.Configuration()
    token, authority = (str(folder / name) for name in ("token", "ca.crt"))
    try:
        loader = library.InClusterConfigLoader(token, authority, environ=environ)
        loader.load_and_set(configuration)
        found = _credentials(configuration, time.monotonic() + _TOKEN_SECONDS)
        return replace(found, namespace=None)
    except Exception as error:  # noqa: BLE001 - of a malformed file the library raises anything
        message = f"the service account in {folder} cannot be used: {_reason(error)}"
        raise KubernetesError(0, message) from None


async def load_kubeconfig(paths: str, context: str | None = None) -> Credentials:
    """The credentials of a kubeconfig, or of several joined by ":". Raises KubernetesError.

    The library parses YAML in Python, 4 ms a kB, and OpenSSL reads the system's roots for 30: both
    in a thread.
    """
    library = await _library("kube_config")
    client = await _library("client")
    configuration = client.Configuration()
    try:
        _require_file(paths)
        merged = (await asyncio.to_thread(library.KubeConfigMerger, paths)).config
        _require_context(merged, context)
        loader = library.KubeConfigLoader(merged, context, config_base_path=None)
        _require_token_file(loader)
        await loader.load_and_set(configuration)
        _require_plugin_answer(loader, configuration)
        _require_valid_certificate(configuration)
        found = await asyncio.to_thread(_credentials, configuration, _expiry(loader))
        namespace = loader.current_context["context"].get("namespace")
        return replace(found, namespace=str(namespace or ""))
    except Exception as error:  # noqa: BLE001 - of a malformed file the library raises anything
        message = f"the kubeconfig {paths} cannot be used: {_reason(error)}"
        raise KubernetesError(0, message) from None


async def _library(name: str) -> Any:  # noqa: ANN401 - untyped modules
    """A module of the credential library; it takes long to import, so not on the event loop."""
    path = "kubernetes.aio.client" if name == "client" else f"kubernetes.aio.config.{name}"
    module = await asyncio.to_thread(importlib.import_module, path)
    # It logs an exec plugin's output, which may be a secret; our own error reports the failure.
    logging.getLogger("kubernetes.aio.config.kube_config").disabled = True
    return module


def _require_file(paths: str) -> None:
    """As with kubectl one of several may be missing; the library reads that as empty."""
    named = [Path(path) for path in paths.split(os.pathsep) if path]
    there = [path for path in named if path.exists()]
    if not there:
        raise _ReportedError("it does not exist" if len(named) == 1 else "none of them exists")
    for path in there:
        if not read_bounded(path, FILE).strip() and len(there) == 1:
            raise _ReportedError("it is empty")


def _require_context(merged: Any, context: str | None) -> None:  # noqa: ANN401
    """Name the contexts that there are: which one was meant is then seen at once."""
    if context is None:
        return
    names = [one["name"] for one in merged.safe_get("contexts")]
    if names and context not in names:
        raise _ReportedError(f"it has no context {context}, but {', '.join(names)}")


def _require_token_file(loader: Any) -> None:  # noqa: ANN401
    """Read the token first: the library waits for a pipe, and reads a device to no end."""
    user = loader._user  # noqa: SLF001 - there is no public attribute
    values = user.value if user else {}
    if "token" in values or "tokenFile" not in values:
        return
    folder = loader._get_base_path(user.path)  # noqa: SLF001
    try:
        read_bounded(Path(folder, values["tokenFile"]), SECRET_FILE)
    except OSError as error:
        raise _ReportedError(f"its tokenFile cannot be read: {error.strerror}") from None


def _require_plugin_answer(loader: Any, configuration: Any) -> None:  # noqa: ANN401
    """The library goes on without credentials when an exec plugin fails; we do not."""
    user = loader._user  # noqa: SLF001 - there is no public attribute
    has_plugin = bool(user) and "exec" in user
    if has_plugin and not configuration.api_key and not configuration.cert_file:
        raise _ReportedError(
            "its exec plugin gave no credentials; run the plugin by hand to see why"
        )


class _ReportedError(ValueError):
    """A fault that this module found itself, whose text quotes no secret."""


def _require_valid_certificate(configuration: Any) -> None:  # noqa: ANN401
    """Report an expired client certificate: the API server only treats it as anonymous."""
    if configuration.cert_file:
        parsed = x509.load_pem_x509_certificate(read_bounded(configuration.cert_file, SECRET_FILE))
        expiry = parsed.not_valid_after_utc
        if expiry <= datetime.now(UTC):
            raise _ReportedError(
                f"its client certificate expired at {expiry:%Y-%m-%d %H:%M} UTC: renew it"
            )


def _expiry(loader: Any) -> float:  # noqa: ANN401
    """When an exec plugin's credentials expire, on the monotonic clock."""
    ends: datetime | None = getattr(loader, "exec_plugin_expiry", None)
    if ends is None:
        return float("inf")
    return time.monotonic() + (ends - datetime.now(UTC)).total_seconds() - _TOKEN_SECONDS


_NAMELESS = re.compile(r"Invalid kube-config file\. Expected object with name")


def _reason(error: Exception) -> str:
    """An error of the credential library without what it quotes from the file."""
    if isinstance(error, OSError):
        return error.strerror or "it cannot be read"
    if isinstance(error, _ReportedError):
        return str(error)
    if type(error).__name__ == "ConfigException":
        return _NAMELESS.sub("it has no context, cluster or user", str(error).partition(" in ")[0])
    mark = getattr(error, "problem_mark", None)
    return f"line {mark.line + 1} is not YAML" if mark else "it is malformed"


_KEYS = {"tls_server_name": "tls-server-name", "proxy": "proxy-url"}


def _credentials(configuration: Any, expires: float) -> Credentials:  # noqa: ANN401
    for key in ("tls_server_name", "proxy"):
        if not isinstance(getattr(configuration, key), str | None):
            raise _ReportedError(f"{_KEYS[key]} is no text")
    token = configuration.api_key.get("BearerToken", "").strip()
    kind, _, secret = token.partition(" ")
    host, basic = _without_user(configuration.host.rstrip("/"))
    if not host.lower().startswith(("https://", "http://")):
        raise _ReportedError("its server does not begin with https:// or http://")
    return Credentials(
        host=host,
        authorization=f"{kind.capitalize()} {secret.strip()}" if token else basic,
        tls=_tls(configuration) if host.startswith("https") else None,
        server_name=configuration.tls_server_name,
        proxy=configuration.proxy,
        expires=expires,
    )


def _without_user(address: str) -> tuple[str, str]:
    """A server's address, and the basic authentication of the user that stands in it.

    Another token outranks that user, as in Go's client, which kubectl is built on.
    """
    parts = urlsplit(address)
    user, at, host = parts.netloc.rpartition("@")
    if not at:
        return address, ""
    name, _, password = user.partition(":")
    text = f"{unquote(name)}:{unquote(password)}".encode()
    return parts._replace(netloc=host).geturl(), f"Basic {b64encode(text).decode()}"


def _tls(configuration: Any) -> ssl.SSLContext:  # noqa: ANN401
    context = client_context()
    trust(context, configuration.ssl_ca_cert)
    if configuration.cert_file:
        context.load_cert_chain(configuration.cert_file, configuration.key_file)
    if not configuration.verify_ssl:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
