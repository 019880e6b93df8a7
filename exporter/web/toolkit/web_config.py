"""The front door: TLS, users and headers by an exporter-toolkit web configuration file.

In: the file's path. Out: a TLS context to listen with, and a guard before every path of an
application, health included. The rule: the file and its certificates are looked at for every
connection and request, and read again when one has changed; a bad one changes nothing.
"""

import logging
import os
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from exporter.config import ConfigError, Problem
from exporter.web.toolkit.listening_tls import context_of_files, newest_context
from exporter.web.toolkit.passwords import PasswordChecker, TooManyChecksError
from exporter.web.toolkit.web_file import TlsServer, WebConfigDocument, read_web_file

log = logging.getLogger(__name__)

_CHALLENGE = {"WWW-Authenticate": 'Basic realm="istio-port-exporter", charset="UTF-8"'}

Stamp = tuple[int, int, int] | None


@dataclass(frozen=True, slots=True)
class _Open:
    """What was last read well."""

    file: WebConfigDocument
    context: ssl.SSLContext | None


class WebConfigFile:
    """Who may come in, and how. Whether TLS is served at all is settled at the start."""

    def __init__(self, path: Path) -> None:
        """Read the file and its certificates; raises ConfigError."""
        self._path = path
        self._stamps: dict[Path, Stamp] = {}
        self._open = self._read()
        self._passwords = PasswordChecker()

    def context(self) -> ssl.SSLContext | None:
        """What to listen with; None for plain HTTP."""
        return None if self._open.context is None else newest_context(self._newest)

    def guard(self, app: web.Application) -> None:
        """Put users and headers before everything that the application serves."""

        @web.middleware
        async def admit(
            request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
        ) -> web.StreamResponse:
            await self._demand_user(request)
            return await handler(request)

        async def decorate(_request: web.Request, response: web.StreamResponse) -> None:
            given = self._open.file.http_server_config.headers
            response.headers.update({name: value for name, value in given.items() if value})

        async def close(_app: web.Application) -> None:
            self._passwords.close()

        app.middlewares.insert(0, admit)
        app.on_response_prepare.append(decorate)
        app.on_cleanup.append(close)

    async def _demand_user(self, request: web.Request) -> None:
        users = self._current().file.basic_auth_users
        if not users:
            return
        try:
            admitted = await self._passwords.verify(users, request.headers.get("Authorization", ""))
        except TooManyChecksError:
            sentence = "Too many passwords are being checked.\n"
            raise web.HTTPServiceUnavailable(text=sentence, headers={"Retry-After": "1"}) from None
        if not admitted:
            raise web.HTTPUnauthorized(text="Name and password, please.\n", headers=_CHALLENGE)

    def _newest(self) -> ssl.SSLContext:
        context = self._current().context
        if context is None:
            raise ssl.SSLError("TLS was switched off")  # _read does not let that happen
        return context

    def _current(self) -> _Open:
        """What the files hold now, or held when they were last good."""
        if any(_stamp(path) != stamp for path, stamp in self._stamps.items()):
            try:
                self._open = self._read(self._open)
                log.info("web configuration read again file=%s", self._path)
            except ConfigError as error:
                for problem in error.problems:
                    log.error("web configuration stays as it was problem=%r", str(problem))  # noqa: TRY400 - the problem is the user's, not a traceback
        return self._open

    def _read(self, before: _Open | None = None) -> _Open:
        """Stamps are taken before reading: what changes meanwhile is read again."""
        self._stamps = {path: _stamp(path) for path in (self._path, *self._stamps)}
        file, document = read_web_file(self._path)
        tls = file.tls_server_config
        if before is not None and (tls is None) != (before.context is None):
            sentence = "TLS cannot be switched on or off without a restart"
            raise ConfigError(Problem(str(self._path), 0, "tls_server_config", sentence))
        paths = (self._path, *_files_of(tls))
        self._stamps = {path: self._stamps.get(path, _stamp(path)) for path in paths}
        return _Open(file, None if tls is None else context_of_files(tls, document))


def _files_of(tls: TlsServer | None) -> tuple[Path, ...]:
    if tls is None:
        return ()
    return tuple(Path(name) for name in (tls.cert_file, tls.key_file, tls.client_ca_file) if name)


def _stamp(path: Path) -> Stamp:
    """What changes when a file does, also where it is a link that was turned elsewhere."""
    try:
        found = os.stat(path)  # noqa: PTH116 - a hot path: half the cost of Path.stat
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size
