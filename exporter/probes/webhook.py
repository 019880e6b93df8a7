"""istiod's 15017: the webhooks' own readiness over TLS, and the certificate it presents.

Never /inject or /validate: even a GET is counted there as a failed injection or validation.
Up to Istio 1.22 there is no /ready, so the handshake is the proof.
"""

from exporter.catalogue import line_of
from exporter.model import Outcome
from exporter.probes import paths
from exporter.probes.http import HttpClient, HttpLine
from exporter.probes.trust import proven_handshake
from exporter.probes.visit import Answer, Visit

_WITHOUT_READY = (1, 22)


async def probe_webhook(visit: Visit) -> Answer:
    """Complete a handshake, then ask /ready on it."""
    tls = await proven_handshake(visit, ("http/1.1",))
    visit.facts = tls.facts
    line = line_of(visit.target.istio_version)
    if line is not None and line <= _WITHOUT_READY:
        return Answer(Outcome.OK)
    http = tls.carry(HttpLine(visit.options.max_bytes))
    reply = await HttpClient(visit, http).get(paths.READY)
    match reply.status:
        case 200:
            return Answer(Outcome.OK)
        case 503:
            return Answer(Outcome.NOT_READY, "HTTP 503")
        case 401 | 403:
            return Answer(Outcome.FORBIDDEN, f"HTTP {reply.status}")
    return Answer(Outcome.HTTP_ERROR, f"HTTP {reply.status}")
