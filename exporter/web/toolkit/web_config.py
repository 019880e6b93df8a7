"""TLS, users and headers by an exporter-toolkit web configuration file.

In: the file's path. Out: a TLS context to listen with, and a guard before every path of an
application, health included. The rule: the file and its certificates are checked for every
connection and request, and read again when one has changed; a bad one changes nothing, and so does
one that protects less.
"""

import logging
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from exporter.config import ConfigError, Problem
from exporter.config.yaml_document import FileStamp, stamp_of
from exporter.web.toolkit.deviations import deviations, given_up
from exporter.web.toolkit.listening_tls import load_web_config, newest_context
from exporter.web.toolkit.passwords import PasswordChecker, TooManyChecksError
from exporter.web.toolkit.web_file import TlsServer, WebConfigDocument

log = logging.getLogger(__name__)

_CHALLENGE = {"WWW-Authenticate": 'Basic realm="istio-port-exporter", charset="UTF-8"'}


@dataclass(frozen=True, slots=True)
class _Open:
    """What was last read well. `notes`: what is served otherwise than it is written."""

    file: WebConfigDocument
    context: ssl.SSLContext | None
    notes: tuple[str, ...]


class WebConfigFile:
    """Who may come in, and how. What protects is given up by a restart only."""

    def __init__(self, path: Path) -> None:
        """Read the file and its certificates; raises ConfigError."""
        self.path = path
        self._stamps: dict[Path, FileStamp] = {}
        self._open = self._read(None)
        self._note()
        self._passwords = PasswordChecker()

    def check(self) -> None:
        """Read the file as a change of it would be; raises ConfigError. Nothing is taken over."""
        _load(self.path, self._open)

    def context(self) -> ssl.SSLContext | None:
        """What to listen with; None for plain HTTP."""
        return None if self._open.context is None else newest_context(self._newest)

    def guard(self, app: web.Application) -> None:
        """Put users and headers before everything that the application serves.

        Its first middleware stays first: it gives refusals the form of its other errors.
        """

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

        app.middlewares.insert(1, admit)
        app.on_response_prepare.append(decorate)
        app.on_cleanup.append(close)

    async def _demand_user(self, request: web.Request) -> None:
        users = self._current().file.basic_auth_users
        if not users:
            return
        try:
            header = request.headers.get("Authorization", "")
            admitted = await self._passwords.verify(users, header, request.remote or "")
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
        if any(stamp_of(path) != stamp for path, stamp in self._stamps.items()):
            try:
                self._open = self._read(self._open)
                log.info("web configuration read again file=%s", self.path)
                self._note()
            except ConfigError as error:
                problems = "; ".join(map(str, error.problems))
                log.error("web configuration stays as it was problem=%r", problems)  # noqa: TRY400 - the problem is the user's, not a traceback
        return self._open

    def _note(self) -> None:
        if notes := self._open.notes:
            log.warning("web configuration differs file=%s notes=%r", self.path, "; ".join(notes))

    def _read(self, before: _Open | None) -> _Open:
        """Stamps are taken before reading: what changes meanwhile is read again."""
        self._stamps = {path: stamp_of(path) for path in (self.path, *self._stamps)}
        found = _load(self.path, before)
        paths = (self.path, *_files_of(found.file.tls_server_config))
        self._stamps = {path: self._stamps.get(path, stamp_of(path)) for path in paths}
        return found


def _load(path: Path, before: _Open | None) -> _Open:
    """What the file and its certificates say; raises ConfigError, also where less is protected.

    Whatever is wrong with a file ends no request and not the process.
    """
    try:
        file, document, context = load_web_config(path)
    except ConfigError:
        raise
    except Exception as error:
        message = f"cannot be used: {type(error).__name__}"
        raise ConfigError(Problem(str(path), 0, "", message)) from error
    if before and (lost := list(given_up(before.file, file))):
        raise ConfigError(*(document.problem(key, message) for key, message in lost))
    return _Open(file, context, tuple(deviations(file, document.value)))


def _files_of(tls: TlsServer | None) -> tuple[Path, ...]:
    if tls is None:
        return ()
    return tuple(Path(name) for name in (tls.cert_file, tls.key_file, tls.client_ca_file) if name)
