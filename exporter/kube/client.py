"""Requests to the Kubernetes API: one document, or a stream of lines.

Out: bytes as the API server sent them, or a `KubernetesError`, whose text never holds a secret.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from typing import Self

import aiohttp
import msgspec

from exporter import __version__
from exporter.bounds import WATCH_LINE
from exporter.kube.api_errors import KubernetesError, TooLargeError, reason_of
from exporter.kube.connector import connector
from exporter.kube.credentials import Credentials, LoadCredentials
from exporter.kube.watch_events import lines_of
from exporter.kube.websocket import (
    ACCEPT_ANY,
    MAX_MESSAGE,
    PROTOCOL,
    DroppableWebSocket,
    PortForwardWebSocket,
    refusal,
    stay_here,
)
from exporter.parsing import parse_number

_CONNECT_SECONDS = 10.0
_RESPONSE_SECONDS = 30.0
_DOCUMENT_SECONDS = 60.0
_TEXT_BYTES = 4096
_TEXT_SECONDS = 5.0
_MAX_TEXT = 600
"""An error quotes a webhook's whole address before the reason."""

_SUCCESS = (200, 201)
_LOADING_SECONDS = 60.0
"""An exec plugin may wait for a person, or for ever; nobody waits longer for it than this."""


class _Status(msgspec.Struct, frozen=True):
    """The API server's error document."""

    message: str = ""


class KubernetesClient:
    """One API server. Use as a context manager, which closes its connections."""

    def __init__(self, load: LoadCredentials) -> None:
        self._load = load
        self._credentials: Credentials | None = None
        self._loading: asyncio.Task[Credentials] | None = None
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        """Open a session; this sends nothing yet."""
        self._session = aiohttp.ClientSession(
            connector=connector(),
            ws_response_class=DroppableWebSocket,
            middlewares=(stay_here,),
            cookie_jar=aiohttp.DummyCookieJar(),  # they would pile up in each request
            headers={
                "Accept": "application/json",
                "User-Agent": f"istio-port-exporter/{__version__}",
            },
        )
        return self

    async def __aexit__(self, *_exception: object) -> None:
        """Close every connection."""
        if self._loading:
            self._loading.cancel()
        if self._session:
            await self._session.close()

    async def namespace(self) -> str | None:
        """The namespace that a kubeconfig's context names, if any; None for a pod's own account.

        Raises KubernetesError.
        """
        return (await self._current()).namespace

    async def get(self, path: str, query: Mapping[str, str], most: int = WATCH_LINE) -> bytes:
        """One whole document of so many bytes at most. Raises KubernetesError."""
        async with self._open(path, query, _DOCUMENT_SECONDS) as response:
            return await _read(response, most)

    async def dry_run(self, path: str, document: bytes) -> bytes:
        """The object that a creation would make; creates nothing. Raises KubernetesError.

        The only request that is no GET, so `dryRun=All` is fixed here.
        """
        query = {"dryRun": "All"}
        async with self._open(path, query, _DOCUMENT_SECONDS, document) as response:
            return await _read(response, WATCH_LINE)

    @asynccontextmanager
    async def stream(
        self, path: str, query: Mapping[str, str]
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """The lines of a streaming response, once it has started. Raises KubernetesError.

        No timeout ends a silent stream: the reader knows how long silence may last.
        """
        async with (
            self._open(path, query, None) as response,
            aclosing(lines_of(response.content.iter_any())) as lines,
        ):
            yield lines

    @asynccontextmanager
    async def forward(
        self, namespace: str, pod: str, ports: Sequence[int]
    ) -> AsyncIterator[PortForwardWebSocket]:
        """Streams to ports of a pod, one each, in this order; closed on leaving.

        Raises KubernetesError.
        """
        assert self._session, "used outside of its context"  # noqa: S101
        credentials = await self._current()
        if self._session.closed:
            raise KubernetesError(0, "no port-forward: the client was closed meanwhile")
        try:
            async with asyncio.timeout(_RESPONSE_SECONDS):
                socket = await self._session.ws_connect(
                    f"{credentials.host}/api/v1/namespaces/{namespace}/pods/{pod}/portforward",
                    params=[("ports", str(port)) for port in ports],
                    protocols=(PROTOCOL,),
                    autoclose=False,
                    autoping=False,
                    headers={**_authorization(credentials), **ACCEPT_ANY},
                    ssl=credentials.tls or True,
                    server_hostname=credentials.server_name,
                    proxy=credentials.proxy,
                    max_msg_size=MAX_MESSAGE,
                )
        except aiohttp.WSServerHandshakeError as error:
            self._discard(credentials, error.status)
            raise refusal(error.status) from None
        except Exception as error:  # noqa: BLE001 - one request costs nobody anything else
            raise _unreachable(credentials, error) from None
        assert isinstance(socket, DroppableWebSocket)  # noqa: S101 - the session makes no other
        stream = PortForwardWebSocket(socket)
        try:
            if socket.protocol != PROTOCOL:
                raise KubernetesError(0, f"no port-forward: the server does not support {PROTOCOL}")
            yield stream
        finally:
            await stream.close()

    @asynccontextmanager
    async def _open(
        self, path: str, query: Mapping[str, str], seconds: float | None, document: bytes = b""
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        credentials = await self._current()
        headers = _authorization(credentials)
        if document:
            headers["Content-Type"] = "application/json"
        try:
            assert self._session, "used outside of its context"  # noqa: S101
            async with asyncio.timeout(_RESPONSE_SECONDS):
                response = await self._session.request(
                    "POST" if document else "GET",
                    credentials.host + path,
                    data=document or None,
                    params=query,
                    headers=headers,
                    ssl=credentials.tls or True,
                    server_hostname=credentials.server_name,
                    proxy=credentials.proxy,
                    allow_redirects=False,
                    timeout=aiohttp.ClientTimeout(total=seconds, sock_connect=_CONNECT_SECONDS),
                )
        except Exception as error:  # noqa: BLE001 - as for an address that cannot be sent to
            raise _unreachable(credentials, error) from None
        try:
            if response.status not in _SUCCESS:
                raise await self._refusal(response, credentials)
            yield response
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise _unreachable(credentials, error) from None
        finally:
            response.close()

    async def _current(self) -> Credentials:
        """The credentials, loaded again when they expired or were refused.

        Whoever asks waits for the same load, which goes on where nobody waits any longer: a plugin
        that hangs is started once. Raises KubernetesError.
        """
        current = self._credentials
        if current is not None and time.monotonic() < current.expires:
            return current
        if self._loading is None:
            self._loading = asyncio.create_task(self._loaded())
            self._loading.add_done_callback(self._end_loading)
        try:
            async with asyncio.timeout(_LOADING_SECONDS):
                return await asyncio.shield(self._loading)
        except TimeoutError:
            text = f"no credentials within {_LOADING_SECONDS:g} s: the kubeconfig's plugin waits"
            raise KubernetesError(0, text) from None

    async def _loaded(self) -> Credentials:
        try:
            found = self._credentials = await self._load()
        except KubernetesError:
            raise
        except Exception as error:  # noqa: BLE001 - no thread, no memory: another try may have them
            text = f"the credentials cannot be loaded: {type(error).__name__}"
            raise KubernetesError(0, text) from None
        return found

    def _end_loading(self, loading: "asyncio.Task[Credentials]") -> None:
        self._loading = None
        if not loading.cancelled():
            loading.exception()  # whoever waits has received it

    def _discard(self, credentials: Credentials, status: int) -> None:
        """Load the credentials again before the next request if these were refused."""
        if status == 401 and self._credentials is credentials:  # noqa: PLR2004
            self._credentials = None

    async def _refusal(
        self, response: aiohttp.ClientResponse, credentials: Credentials
    ) -> KubernetesError:
        """The reason in the response; without one in time it is a refusal all the same."""
        self._discard(credentials, response.status)
        body = b""
        with suppress(TimeoutError):
            async with asyncio.timeout(_TEXT_SECONDS):
                body = await response.content.read(_TEXT_BYTES)
        after = response.headers.get("Retry-After", "")
        seconds = parse_number(after)
        answer = f"{response.status} {response.reason or ''}".rstrip()
        text = _redacted(_message(body), credentials)
        text = text or f"the server {credentials.host} responded {answer}"
        return KubernetesError.of(response.status, text, seconds)


async def _read(response: aiohttp.ClientResponse, most: int) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > most:
            raise TooLargeError(0, f"a document of the API server has more than {most} bytes")
    return bytes(body)


def _authorization(credentials: Credentials) -> dict[str, str]:
    return {"Authorization": credentials.authorization} if credentials.authorization else {}


def _unreachable(credentials: Credentials, error: Exception) -> KubernetesError:
    text = _redacted(reason_of(error), credentials) or type(error).__name__
    host = " ".join(credentials.host.split())
    return KubernetesError(0, f"no response from {host}: {text}")


def _message(body: bytes) -> str:
    """The reason in a refusal; empty where it is a page for people."""
    try:
        return msgspec.json.decode(body, type=_Status).message
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        text = body.decode(errors="replace")
        return "" if text.lstrip().startswith("<") else text


def _redacted(text: str, credentials: Credentials) -> str:
    """One short line, without the token, which a proxy may have echoed."""
    secret = credentials.authorization.partition(" ")[2]
    if secret:
        text = text.replace(secret, "[secret]")
    line = " ".join(text.split())
    return line if len(line) <= _MAX_TEXT else line[:_MAX_TEXT] + "…"
