"""Every request that may ever be sent to a target, in one table: paths, and one gRPC method.

HTTP requests are GETs: their client takes a `Path` and nothing else. The fixed ones are below; two
kinds are made at run time, each by a function that refuses what could change a target: application
probes that the pod's own kubelet sends, and ports that the user configured. The gRPC method is a
POST, as gRPC demands. Never here: /quitquitquit, /drain*, /app-lifecycle/*, /inject, /validate,
/debug/adsz, /debug/cachez, an ADS stream.
"""

import re
from dataclasses import dataclass
from urllib.parse import quote

from exporter import __version__
from exporter.bounds import (
    ADMIN_PAGE,
    LISTENERS_PAGE,
    METRICS_PAGE,
    STATS_PAGE,
    STATUS_PAGE,
    SYNCZ_PAGE,
    WORD_PAGE,
    Bound,
)
from exporter.catalogue.changing_paths import may_be_sent


@dataclass(frozen=True, slots=True)
class Path:
    """A request path with the request's start, ready to be sent but for the Host.

    `most` bytes of its answer are read. Of a page whose start is enough they are not `kept`.
    """

    text: str
    head: bytes
    most: Bound
    kept: bool = True


def _path(text: str, most: Bound, *headers: str, kept: bool = True) -> Path:
    lines = [f"GET {text} HTTP/1.1", f"User-Agent: istio-port-exporter/{__version__}", *headers]
    return Path(text, "\r\n".join([*lines, "Host: "]).encode(), most, kept)


_ACCEPT = "Accept: text/plain;version=0.0.4"
"""Prometheus text and no other form: newer agents log a warning where the header is missing."""


def _stats(regex: str) -> str:
    return "/stats/prometheus?usedonly&filter=" + quote(regex, safe="()._*")


_LIVE = "^server.(live|state)$"
_SERVERS = "|^listener_manager.(total_listeners_(active|warming)|lds.update_success)$"
ENVOY_STATS_REGEX = (
    "^(server.(live|state)$|cluster.xds-grpc.*upstream_cx_active$"
    "|listener_manager.(total_listeners|workers_started|listener_create_failure)"
    "|listener_manager.lds.update_(success|rejected|failure)"
    "|cluster_manager.cds.update_(success|rejected|failure)"
    "|istiocustom.istio_build)"
)
_LISTENER_STATES = (
    "/config_dump?resource=dynamic_listeners&mask=name,error_state,warming_state.version_info,"
    "active_state.version_info,draining_state.version_info"
)

HEALTHZ_READY = _path("/healthz/ready", WORD_PAGE)
READY = _path("/ready", WORD_PAGE)
READYZ = _path("/readyz", WORD_PAGE)
METRICS = _path("/metrics", METRICS_PAGE, _ACCEPT, kept=False)
VERSION = _path("/version", WORD_PAGE)
ROOT = _path("/", STATUS_PAGE, kept=False)
CONTROLZ_HOME = _path("/homej/", STATUS_PAGE, kept=False)
SYNCZ = _path("/debug/syncz", SYNCZ_PAGE)
ENVOY_LIVE = _path(_stats(_LIVE), WORD_PAGE, _ACCEPT)
ENVOY_SERVERS = _path(_stats(_LIVE + _SERVERS), WORD_PAGE, _ACCEPT)
ENVOY_STATS = _path(_stats(ENVOY_STATS_REGEX), STATS_PAGE, _ACCEPT)
AGENT_PAGE = _path(
    *(_stats("^none$"), METRICS_PAGE, _ACCEPT, "X-Prometheus-Scrape-Timeout-Seconds: 8"),
    kept=False,
)
LISTENERS = _path("/listeners?format=json", LISTENERS_PAGE)
LISTENER_STATES = _path(_LISTENER_STATES, LISTENERS_PAGE)
CERTS = _path("/certs", ADMIN_PAGE)
SERVER_INFO = _path("/server_info", ADMIN_PAGE)

FIXED = tuple(path for path in tuple(globals().values()) if isinstance(path, Path))
"""Every path that is sent without being configured."""

GRPC_HEALTH_CHECK = "/grpc.health.v1.Health/Check"
"""The one gRPC method: istiod answers it with a status and does nothing."""

_APP_HEALTH = re.compile(r"/app-health/[A-Za-z0-9._-]+/(readyz|livez|startupz)")

_BY_TEXT = {path.text: path for path in FIXED}


class Forbidden(ValueError):  # noqa: N818 - names what the path is
    """A path that must never be sent."""


def application(text: str) -> Path:
    """The agent's path that makes the application's own probe run (/app-health/...).

    Raises:
        Forbidden: the text is no such path.
    """
    if not _APP_HEALTH.fullmatch(text):
        raise Forbidden(f"not an application probe: {text!r}")
    return _path(text, STATUS_PAGE, kept=False)


def metrics(text: str) -> Path:
    """A `configured` path of a page of metrics, which is requested in Prometheus text.

    Raises:
        Forbidden: as `configured`.
    """
    path = configured(text)
    return path if path is METRICS else _path(text, METRICS_PAGE, _ACCEPT, kept=False)


def configured(text: str) -> Path:
    """A path that a port's row or the user's configuration names.

    Raises:
        Forbidden: it is not a plain path, or one that could change a target.
    """
    known = _BY_TEXT.get(text)
    if known is not None and known is not SYNCZ:
        return known
    if not may_be_sent(text):
        raise Forbidden(f"must not be sent: {text!r}")
    return _path(text, STATUS_PAGE, kept=False)
