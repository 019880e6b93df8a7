"""Asking a port in its own protocol.

One prober per protocol or endpoint, in `PROBERS`. `probe_all` runs some side by side and turns
whatever happens into `Observation`s.
"""

from collections.abc import Mapping
from types import MappingProxyType

from exporter.model import Observation
from exporter.probes.admin import probe_admin
from exporter.probes.agent import probe_agent
from exporter.probes.attempt import Attempt
from exporter.probes.connect import probe_blackhole, probe_connect, probe_exposure
from exporter.probes.dns import probe_dns
from exporter.probes.grpc import probe_grpc, probe_grpc_tls
from exporter.probes.istiod import probe_istiod
from exporter.probes.plain_http import probe_any_http, probe_controlz, probe_http, probe_metrics
from exporter.probes.readiness import probe_http_ready, probe_readiness, probe_ztunnel_ready
from exporter.probes.runner import Prober, probe_all
from exporter.probes.sockets import probe_sockets
from exporter.probes.stats import probe_stats
from exporter.probes.tls import probe_hello, probe_tls
from exporter.probes.webhook import probe_webhook

PROBERS: Mapping[str, Prober] = MappingProxyType(
    {
        "admin": probe_admin,
        "agent": probe_agent,
        "blackhole": probe_blackhole,
        "connect": probe_connect,
        "controlz": probe_controlz,
        "dns": probe_dns,
        "exposure": probe_exposure,
        "grpc": probe_grpc,
        "grpc_tls": probe_grpc_tls,
        "hello": probe_hello,
        "http": probe_http,
        "http_ready": probe_http_ready,
        "istiod": probe_istiod,
        "metrics": probe_metrics,
        "readiness": probe_readiness,
        "sockets": probe_sockets,
        "stats": probe_stats,
        "tcp": probe_connect,
        "tls": probe_tls,
        "webhook": probe_webhook,
        "xds_debug": probe_any_http,
        "ztunnel_admin": probe_any_http,
        "ztunnel_ready": probe_ztunnel_ready,
    }
)
"""By the names that the catalogue and the configuration use."""

ENDED_BY_CLOSING = frozenset({"blackhole", "connect", "tcp"})
"""Probes to which the closing of a connection is an answer."""


async def probe(name: str, visit: Attempt) -> Observation:
    """Make one attempt and say how it ended; `probe_all` for many at once."""
    return (await probe_all(((PROBERS[name], visit),)))[0]
