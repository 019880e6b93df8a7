"""The Kubernetes API over HTTP: credentials, one document, a stream of lines.

In: a kubeconfig or the pod's service account. Out: bytes as the API server sent them, or a
`KubernetesError`. The rule: no secret leaves this module, so the errors of the credential
library, which quote whole users, are never passed on or chained. The only module that imports
`kubernetes`.
"""

import asyncio
import importlib
import logging
import os
import ssl
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import aiohttp
import msgspec

from exporter import __version__
from exporter.model import KubernetesError

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")

_KUBECONFIG = Path("~/.kube/config")
_TOKEN_SECONDS = 60.0
"""How long a service account's token is used until its file, which is rotated, is read again."""

_CONNECT_SECONDS = 10.0
_ANSWER_SECONDS = 30.0
_DOCUMENT_SECONDS = 60.0
_TEXT_BYTES = 4096
_TEXT_LENGTH = 200
_MAX_LINE = 16 * 2**20
"""A line of a watch is one object: etcd takes 1.5 MB, and JSON is a few times longer."""

_SPOILT = (OSError, ValueError, KeyError, TypeError, AttributeError)
"""What the credential library raises for malformed files, beside its own and YAML's errors."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """Where the API server is and how to prove to it who we are. Never shown."""

    host: str
    authorization: str = field(default="", repr=False)
    tls: ssl.SSLContext | None = field(default=None, repr=False)
    server_name: str | None = None
    proxy: str | None = field(default=None, repr=False)
    expires: float = float("inf")
    """When they have to be loaded again, on the monotonic clock."""


Load = Callable[[], Awaitable[Credentials]]


def find_credentials(environ: Mapping[str, str] = os.environ) -> Load | None:
    """How to load what there is: KUBECONFIG, the pod's service account, ~/.kube/config; or None."""
    if paths := environ.get("KUBECONFIG"):
        return lambda: load_kubeconfig(paths)
    if environ.get("KUBERNETES_SERVICE_HOST") and (SERVICE_ACCOUNT / "token").is_file():
        return lambda: load_service_account(SERVICE_ACCOUNT, environ)
    default = _KUBECONFIG.expanduser()
    return (lambda: load_kubeconfig(str(default))) if default.is_file() else None


async def load_service_account(
    folder: Path = SERVICE_ACCOUNT, environ: Mapping[str, str] = os.environ
) -> Credentials:
    """The credentials of the pod that we run in. Raises KubernetesError."""
    library = await _library("incluster_config")
    client = await _library("client")
    configuration = client.Configuration()
    token, authority = (str(folder / name) for name in ("token", "ca.crt"))
    try:
        loader = library.InClusterConfigLoader(token, authority, environ=environ)
        loader.load_and_set(configuration)
        return _credentials(configuration, time.monotonic() + _TOKEN_SECONDS)
    except (library.ConfigException, *_SPOILT) as error:
        message = f"the service account in {folder} cannot be used: {_reason(error)}"
        raise KubernetesError.of(0, message) from None


async def load_kubeconfig(paths: str, context: str | None = None) -> Credentials:
    """The credentials of a kubeconfig, or of several joined by ":". Raises KubernetesError."""
    library = await _library("kube_config")
    client = await _library("client")
    configuration = client.Configuration()
    try:
        loader = await library.load_kube_config(paths, context, configuration, persist_config=False)
        _require_plugin_answer(loader, configuration)
        return _credentials(configuration, _expiry(loader))
    except (library.ConfigException, library.yaml.YAMLError, *_SPOILT) as error:
        message = f"the kubeconfig {paths} cannot be used: {_reason(error)}"
        raise KubernetesError.of(0, message) from None


async def _library(name: str) -> Any:  # noqa: ANN401 - untyped modules
    """A module of the credential library; it takes long to import, so not on the event loop."""
    path = "kubernetes.aio.client" if name == "client" else f"kubernetes.aio.config.{name}"
    module = await asyncio.to_thread(importlib.import_module, path)
    # It logs what an exec plugin wrote, which may be a secret; we say ourselves that it failed.
    logging.getLogger("kubernetes.aio.config.kube_config").disabled = True
    return module


def _require_plugin_answer(loader: Any, configuration: Any) -> None:  # noqa: ANN401
    """The library goes on without credentials when an exec plugin fails; we do not."""
    user = loader._user  # noqa: SLF001 - the only place that tells
    has_plugin = bool(user) and "exec" in user
    if has_plugin and not configuration.api_key and not configuration.cert_file:
        raise ValueError("its exec plugin gave no credentials; run the plugin by hand to see why")


def _expiry(loader: Any) -> float:  # noqa: ANN401
    """When an exec plugin's answer ends, on the monotonic clock."""
    ends: datetime | None = getattr(loader, "exec_plugin_expiry", None)
    if ends is None:
        return float("inf")
    return time.monotonic() + (ends - datetime.now(UTC)).total_seconds() - _TOKEN_SECONDS


def _reason(error: Exception) -> str:
    """An error of the credential library without what it quotes from the file."""
    if isinstance(error, OSError):
        return error.strerror or "it cannot be read"
    if type(error).__name__ == "ConfigException" or str(error).startswith("its exec plugin"):
        return str(error).partition(" in ")[0]
    mark = getattr(error, "problem_mark", None)
    return f"line {mark.line + 1} is not YAML" if mark else "it is malformed"


def _credentials(configuration: Any, expires: float) -> Credentials:  # noqa: ANN401
    token = configuration.api_key.get("BearerToken", "").strip()
    kind, _, secret = token.partition(" ")
    host = configuration.host.rstrip("/")
    return Credentials(
        host=host,
        authorization=f"{kind.capitalize()} {secret.strip()}" if token else "",
        tls=_tls(configuration) if host.startswith("https") else None,
        server_name=configuration.tls_server_name,
        proxy=configuration.proxy,
        expires=expires,
    )


def _tls(configuration: Any) -> ssl.SSLContext:  # noqa: ANN401
    context = ssl.create_default_context(cafile=configuration.ssl_ca_cert)
    if configuration.cert_file:
        context.load_cert_chain(configuration.cert_file, configuration.key_file)
    if not configuration.verify_ssl:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


class _Status(msgspec.Struct, frozen=True):
    """What the API server says of a refusal."""

    message: str = ""


class Api:
    """One API server. Use as a context manager, which closes its connections."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._credentials: Credentials | None = None
        self._loading = asyncio.Lock()
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        """Open a session; nothing is asked yet."""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            headers={
                "Accept": "application/json",
                "User-Agent": f"istio-port-exporter/{__version__}",
            },
        )
        return self

    async def __aexit__(self, *_exception: object) -> None:
        """Close every connection."""
        if self._session:
            await self._session.close()

    async def get(self, path: str, query: Mapping[str, str]) -> bytes:
        """One whole document. Raises KubernetesError."""
        async with self._open(path, query, _DOCUMENT_SECONDS) as response:
            return await response.read()

    @asynccontextmanager
    async def stream(
        self, path: str, query: Mapping[str, str]
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """The lines of an answer that goes on; entered once it began. Raises KubernetesError.

        Nothing here ends a stream that is silent: the reader knows how long silence may be.
        """
        async with (
            self._open(path, query, None) as response,
            aclosing(_lines(response.content.iter_any())) as lines,
        ):
            yield lines

    @asynccontextmanager
    async def _open(
        self, path: str, query: Mapping[str, str], seconds: float | None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        credentials = await self._current()
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                response = await self._request(credentials, path, query, seconds)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise _unreachable(credentials, error) from None
        try:
            if response.status != 200:  # noqa: PLR2004
                raise await self._refusal(response, credentials)
            yield response
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise _unreachable(credentials, error) from None
        finally:
            response.close()

    async def _request(
        self,
        credentials: Credentials,
        path: str,
        query: Mapping[str, str],
        seconds: float | None,
    ) -> aiohttp.ClientResponse:
        assert self._session, "used outside of its context"  # noqa: S101
        authorization = {"Authorization": credentials.authorization}
        return await self._session.get(
            credentials.host + path,
            params=query,
            headers=authorization if credentials.authorization else None,
            ssl=credentials.tls or True,
            server_hostname=credentials.server_name,
            proxy=credentials.proxy,
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(total=seconds, sock_connect=_CONNECT_SECONDS),
        )

    async def _current(self) -> Credentials:
        """The credentials, loaded again when they ended or were refused."""
        async with self._loading:
            found = self._credentials
            if found is None or time.monotonic() >= found.expires:
                found = self._credentials = await self._load()
            return found

    async def _refusal(
        self, response: aiohttp.ClientResponse, credentials: Credentials
    ) -> KubernetesError:
        if response.status == 401 and self._credentials is credentials:  # noqa: PLR2004
            self._credentials = None
        body = await response.content.read(_TEXT_BYTES)
        after = response.headers.get("Retry-After", "")
        seconds = float(after) if after.isascii() and after.isdigit() else None
        text = _cut(_message(body), credentials) or response.reason or "no reason given"
        return KubernetesError.of(response.status, text, seconds)


def _unreachable(credentials: Credentials, error: Exception) -> KubernetesError:
    text = _cut(str(error), credentials) or type(error).__name__
    return KubernetesError.of(0, f"no answer from {credentials.host}: {text}")


def _message(body: bytes) -> str:
    try:
        return msgspec.json.decode(body, type=_Status).message
    except (msgspec.DecodeError, UnicodeDecodeError):
        return body.decode(errors="replace")


def _cut(text: str, credentials: Credentials) -> str:
    """One short line, without the token that something on the way may have echoed."""
    secret = credentials.authorization.partition(" ")[2]
    if secret:
        text = text.replace(secret, "[secret]")
    line = " ".join(text.split())
    return line if len(line) <= _TEXT_LENGTH else line[:_TEXT_LENGTH] + "…"


async def _lines(chunks: AsyncIterator[bytes]) -> AsyncGenerator[bytes]:
    """Whole lines, however they were cut. aiohttp's own reader refuses lines of a big pod."""
    rest = bytearray()
    async for chunk in chunks:
        searched = len(rest)
        rest += chunk
        end = rest.rfind(b"\n", searched)
        if end >= 0:
            for line in bytes(rest[:end]).split(b"\n"):
                if line.strip():
                    yield line
            del rest[: end + 1]
        if len(rest) > _MAX_LINE:
            raise KubernetesError.of(0, f"a line of the watch is longer than {_MAX_LINE} bytes")
