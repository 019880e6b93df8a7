"""The pod's own socket table, read in its network namespace: what `lsof -i` shows."""

from exporter.model import Outcome
from exporter.probes.attempt import Attempt, ProbeResult


async def probe_sockets(attempt: Attempt) -> ProbeResult:
    """Read who listens in the pod."""
    return ProbeResult(Outcome.OK, facts=await attempt.dialer.sockets())
