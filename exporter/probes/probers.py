"""Probing a port in its own protocol.

One prober per protocol or endpoint, in `PROBERS`. `probe_all` runs some concurrently and turns
whatever happens into `Observation`s.
"""

from collections.abc import Mapping
from types import MappingProxyType

from exporter.model import Observation, ProbeKind
from exporter.probes.admin import probe_admin
from exporter.probes.agent import probe_agent
from exporter.probes.attempt import Attempt, Prober
from exporter.probes.connect import probe_blackhole, probe_connect, probe_exposure
from exporter.probes.dns import probe_dns
from exporter.probes.grpc import probe_grpc, probe_grpc_tls
from exporter.probes.istiod import probe_istiod
from exporter.probes.plain_http import probe_any_http, probe_controlz, probe_http, probe_metrics
from exporter.probes.readiness import probe_http_ready, probe_readiness, probe_ztunnel_ready
from exporter.probes.runner import probe_all
from exporter.probes.sockets import probe_sockets
from exporter.probes.stats import probe_stats
from exporter.probes.tls import probe_hbone_hello, probe_hello, probe_server_hello, probe_tls
from exporter.probes.webhook import probe_webhook
from exporter.probes.ztunnel_stats import probe_ztunnel_stats

PROBERS: Mapping[ProbeKind, Prober] = MappingProxyType(
    {
        ProbeKind.ADMIN: probe_admin,
        ProbeKind.AGENT: probe_agent,
        ProbeKind.BLACKHOLE: probe_blackhole,
        ProbeKind.CONTROL: probe_connect,
        ProbeKind.CONTROLZ: probe_controlz,
        ProbeKind.DNS: probe_dns,
        ProbeKind.EXPOSURE: probe_exposure,
        ProbeKind.GRPC: probe_grpc,
        ProbeKind.GRPC_TLS: probe_grpc_tls,
        ProbeKind.HBONE_HELLO: probe_hbone_hello,
        ProbeKind.HELLO: probe_hello,
        ProbeKind.HTTP: probe_http,
        ProbeKind.HTTP_READY: probe_http_ready,
        ProbeKind.ISTIOD: probe_istiod,
        ProbeKind.METRICS: probe_metrics,
        ProbeKind.READINESS: probe_readiness,
        ProbeKind.SERVER_HELLO: probe_server_hello,
        ProbeKind.SOCKETS: probe_sockets,
        ProbeKind.STATS: probe_stats,
        ProbeKind.TCP: probe_connect,
        ProbeKind.TLS: probe_tls,
        ProbeKind.WEBHOOK: probe_webhook,
        ProbeKind.XDS_DEBUG: probe_any_http,
        ProbeKind.ZTUNNEL_ADMIN: probe_any_http,
        ProbeKind.ZTUNNEL_READY: probe_ztunnel_ready,
        ProbeKind.ZTUNNEL_STATS: probe_ztunnel_stats,
    }
)
"""One prober for each kind."""


async def probe(attempt: Attempt) -> Observation:
    """Make one attempt and report how it ended; `probe_all` for many at once."""
    return (await probe_all(((PROBERS[attempt.probe.kind], attempt),)))[0]
