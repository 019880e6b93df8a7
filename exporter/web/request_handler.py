"""What aiohttp would answer by itself: to what is no HTTP, and where an answer could not be made.

Its own answers quote the request and name its version; ours are a sentence, with the headers of
the application, those of the web configuration file among them.
"""

from http import HTTPStatus

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

_SENTENCES = {
    HTTPStatus.BAD_REQUEST: "This is no HTTP/1.1 request, or too large a one.\n",
    HTTPStatus.GATEWAY_TIMEOUT: "The answer took too long.\n",
}
_FAULT = "The exporter could not answer; its log says why.\n"


class _Refusal(web.Response):
    """An answer beside all routes, so that it has to run the application's hooks itself."""

    def __init__(self, app: web.Application, status: int) -> None:
        super().__init__(status=status, text=_SENTENCES.get(HTTPStatus(status), _FAULT))
        self._app = app
        self.force_close()

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Send the headers, with those that every answer has."""
        if isinstance(request, web.Request):
            await self._app.on_response_prepare.send(request, self)
        return await super().prepare(request)


class PlainErrorHandler(web.RequestHandler):
    """The requests of one connection. `app`: whose headers an answer gets."""

    app: web.Application

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = HTTPStatus.INTERNAL_SERVER_ERROR,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Log as aiohttp does, and answer in our words; the connection is closed."""
        super().handle_error(request, status, exc, message)
        return _Refusal(self.app, status)
