"""The pod's own socket table, read inside its network namespace: what `lsof -i` shows."""

from exporter.model import Outcome
from exporter.probes.visit import Answer, Visit


async def probe_sockets(visit: Visit) -> Answer:
    """Read who listens in the pod."""
    return Answer(Outcome.OK, facts=await visit.dialer.sockets())
