"""What the exporter serves over HTTP: metrics, /probe, the JSON API, a page, its own health.

In: a `WebContext` of data and callables, handed in by `app`. Out: an aiohttp application. The
rule: nothing here polls or judges by itself, and every answer carries the security headers.
"""

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler

from exporter.web.api import ROUTES as API
from exporter.web.context import CONTEXT, WebContext
from exporter.web.guarded_reports import REPORTS, GuardedReports
from exporter.web.limits import limit_requests, refuse_other_origins
from exporter.web.metrics import serve_metrics
from exporter.web.probe import LIMITS
from exporter.web.probe import ROUTES as PROBE
from exporter.web.probe_limits import ProbeLimits
from exporter.web.responses import SECURITY_HEADERS
from exporter.web.static_pages import ROUTES as PAGES


async def is_healthy(request: web.Request) -> web.Response:
    """200 while the poll loop makes progress, else 503."""
    if request.app[CONTEXT].session.is_healthy:
        return web.Response(text="Healthy.\n")
    return web.Response(status=503, text="The poll loop makes no progress.\n")


async def is_ready(request: web.Request) -> web.Response:
    """200 once discovery is synced and every target was polled, else 503."""
    if request.app[CONTEXT].session.is_ready:
        return web.Response(text="Ready.\n")
    return web.Response(status=503, text="The first pass over the targets is not done.\n")


async def reload(request: web.Request) -> web.Response:
    """Read the configuration again; 500 with the reasons when the old one was kept."""
    read_again = request.app[CONTEXT].reload
    if read_again is None:
        text = "Reloading over HTTP is switched off (web.enable_reload); SIGHUP reloads too.\n"
        return web.Response(status=403, text=text)
    wrong = await read_again()
    if wrong is None:
        return web.Response(text="Reloaded.\n")
    return web.Response(status=500, text=f"The old configuration stays:\n{wrong}\n")


LIFECYCLE = (
    web.get("/-/healthy", is_healthy),
    web.get("/-/ready", is_ready),
    web.post("/-/reload", reload),
    web.put("/-/reload", reload),
)


async def secure(_request: web.Request, response: web.StreamResponse) -> None:
    """Add the headers to an answer that is about to be sent, and keep it out of stores."""
    response.headers.update(SECURITY_HEADERS)
    response.headers.setdefault("Cache-Control", "no-store")


_API_PREFIX = "/api/"
_KEPT = ("Allow", "Retry-After", "WWW-Authenticate")


@web.middleware
async def errors_as_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn an HTTP error under /api into `{"error": ...}`; others pass as they are."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        if not request.path.startswith(_API_PREFIX):
            raise
        kept = {name: error.headers[name] for name in _KEPT if name in error.headers}
        answer = web.Response(
            body=msgspec.json.encode({"error": _sentence(request, error)}),
            status=error.status,
            headers=kept,
            content_type="application/json",
        )
        if error.keep_alive is False:
            answer.force_close()
        return answer


def _sentence(request: web.Request, error: web.HTTPException) -> str:
    """The error's own text, or a sentence of ours where no route has the path or the method."""
    if isinstance(error, web.HTTPMethodNotAllowed):
        return f"Only {' and '.join(sorted(error.allowed_methods))} are allowed here."
    if request.match_info.http_exception is error:
        return f"{request.path} is not part of this API."
    return (error.text or error.reason).rstrip()


def create_app(context: WebContext) -> web.Application:
    """The application that answers from this context."""
    app = web.Application(middlewares=[errors_as_json, refuse_other_origins, limit_requests()])
    app[CONTEXT] = context
    app[REPORTS] = GuardedReports(context.self_metrics.refused_object)
    app[LIMITS] = ProbeLimits()
    app.on_response_prepare.append(secure)
    app.add_routes([*API, *LIFECYCLE, *PAGES, *PROBE])
    app.router.add_get(context.session.config.web.telemetry_path, serve_metrics)
    return app
