"""Asking a port in its own protocol.

One prober per protocol or endpoint, in `PROBERS`. `probe` runs one and turns whatever happens
into an `Observation`: it has the only broad `except`, so no target can raise beyond it.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType

from exporter.model import Observation, Outcome
from exporter.probes.admin import probe_admin
from exporter.probes.agent import probe_agent
from exporter.probes.connect import probe_blackhole, probe_connect, probe_exposure
from exporter.probes.dns import probe_dns
from exporter.probes.grpc import probe_grpc, probe_grpc_tls
from exporter.probes.istiod import probe_istiod
from exporter.probes.readiness import probe_http_ready, probe_readiness, probe_ztunnel_ready
from exporter.probes.sockets import probe_sockets
from exporter.probes.stats import probe_stats
from exporter.probes.tls import probe_hello, probe_tls
from exporter.probes.visit import EXPECTED, Answer, MeshTrust, ProbeOptions, Visit, failure
from exporter.probes.web import probe_any_http, probe_controlz, probe_http, probe_metrics
from exporter.probes.webhook import probe_webhook

__all__ = [
    "ENDED_BY_CLOSING",
    "PROBERS",
    "Answer",
    "MeshTrust",
    "ProbeOptions",
    "Prober",
    "Visit",
    "probe",
]

log = logging.getLogger(__name__)

Prober = Callable[[Visit], Awaitable[Answer]]

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


async def probe(name: str, visit: Visit) -> Observation:
    """Make one attempt and say how it ended. Never raises but for cancellation.

    Args:
        name: a key of `PROBERS`.
        visit: what to ask; used up by this.

    An HTTP probe's seconds count from its first request, so that a lost SYN is not taken for a
    slow answer; all others count from the start.
    """
    started = time.monotonic()
    try:
        async with asyncio.timeout(visit.timeout) as visit.deadline:
            answer = await PROBERS[name](visit)
    except Exception as error:  # noqa: BLE001 - the one place where failures become outcomes
        answer = _failed(error, visit)
    finally:
        visit.close()
    seconds = (visit.settled or time.monotonic()) - (visit.asked or started)
    return Observation(
        visit.port.number,
        visit.dialer.view,
        answer.outcome,
        seconds,
        answer.detail,
        visit.facts if answer.facts is None else answer.facts,
        visit.dialer.address,
        None if answer.outcome is Outcome.NO_ACCESS else visit.connected,
    )


def _failed(error: Exception, visit: Visit) -> Answer:
    """The outcome of a failure; one that no target can cause is a bug of ours and is logged."""
    if not isinstance(error, EXPECTED):
        log.error("probe failed port=%d", visit.port.number, exc_info=error)
    return failure(error, visit)
