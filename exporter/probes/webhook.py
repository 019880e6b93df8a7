"""istiod's 15017: the webhooks' own readiness over TLS, and the certificate it presents.

Never /inject or /validate: even a GET is counted there as a failed injection or validation.
Up to Istio 1.22 there is no /ready, so the handshake is the proof; it is as well where the version
is not known and /ready is not found.
"""

from exporter.catalogue import line_of
from exporter.model import Outcome
from exporter.probes import paths
from exporter.probes.attempt import Attempt, ProbeResult
from exporter.probes.http import HttpClient, HttpProtocol
from exporter.probes.mesh_trust import other_name, proven_handshake

_WITHOUT_READY = (1, 22)


async def probe_webhook(attempt: Attempt) -> ProbeResult:
    """Complete a handshake, then request /ready on it. A certificate's other name is reported."""
    tls = await proven_handshake(attempt, ("http/1.1",))
    attempt.facts = tls.facts
    detail = other_name(attempt, tls.facts.certificate)
    line = line_of(attempt.target.istio_version)
    if line is not None and line <= _WITHOUT_READY:
        return ProbeResult(Outcome.OK, detail)
    http = tls.connect_socket(HttpProtocol())
    reply = await HttpClient(attempt, http).get(paths.READY)
    match reply.status:
        case 200:
            return ProbeResult(Outcome.OK, detail)
        case 503:
            return ProbeResult(Outcome.NOT_READY, "HTTP 503")
        case 401 | 403:
            return ProbeResult(Outcome.FORBIDDEN, f"HTTP {reply.status}")
        case 404 if line is None:
            return ProbeResult(Outcome.OK, detail)
    return ProbeResult(Outcome.HTTP_ERROR, f"HTTP {reply.status}")
