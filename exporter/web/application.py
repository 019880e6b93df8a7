"""What the exporter serves over HTTP: metrics, /probe, the JSON API, a page, health.

In: a `WebContext` of data and callables, handed in by `app`. Out: an aiohttp application. The
rule: nothing here polls or judges by itself, and every answer carries the security headers.
"""

from aiohttp import web

from exporter.report.target_views import TargetViews
from exporter.web.api import ROUTES as API
from exporter.web.context import CONTEXT, WebContext
from exporter.web.errors import errors_as_json
from exporter.web.lifecycle_routes import ROUTES as HEALTH
from exporter.web.limits import limit_requests
from exporter.web.metrics import serve_metrics
from exporter.web.origin import refuse_other_origins
from exporter.web.probe import LIMITS
from exporter.web.probe import ROUTES as PROBE
from exporter.web.probe_limits import ProbeLimits
from exporter.web.security_headers import secure
from exporter.web.static_pages import ROUTES as PAGES
from exporter.web.target_filters import VIEWS


def create_app(context: WebContext) -> web.Application:
    """The application that answers from this context."""
    app = web.Application(middlewares=[errors_as_json, refuse_other_origins, limit_requests()])
    app[CONTEXT] = context
    app[VIEWS] = TargetViews()
    app[LIMITS] = ProbeLimits()
    app.on_response_prepare.append(secure)
    app.add_routes([*API, *HEALTH, *PAGES, *PROBE])
    app.router.add_get(context.session.config.web.telemetry_path, serve_metrics)
    return app
