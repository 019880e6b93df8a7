"""What one lost packet may be. Pure.

A port that answered in the poll before and is silent now may have lost a packet: it is unjudged in
this poll, and its silence in the next one counts, though the pod's own view shows that it is up. So
is one that is silent in its target's first poll, where another follows; who polls once judges it.
More silence at once is no chance: it counts.
"""

from collections import Counter
from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from exporter.catalogue import TargetPort
from exporter.model import Memory, Observation, Outcome, PortName, Probe, ProbeKind, View

_AFTER_AN_ANSWER = (
    "no answer this once: it answered in the poll before, so a packet may have been lost"
)
_AT_FIRST = "no answer to the first poll: a packet may have been lost, the next poll decides"

_TOO_MANY = 3
"""So many connects to one address do not all get lost in one poll."""


def read_lost(
    ports: Iterable[TargetPort], observations: Sequence[Observation], memory: Memory
) -> Sequence[Observation]:
    """The observations, with each silence that a lost packet explains as `LOST`.

    An answer gets lost less often than a connect, of which a packet is all: only where nothing else
    is silent. `memory` is what the last poll left.
    """
    silent = [seen for seen in observations if _is_silent(seen)]
    is_first = memory.polls == 0 and memory.is_followed
    if not silent or not (is_first or memory.last_ok.up):
        return observations
    inbound = next((one.number for one in ports if one.name == PortName.VIRTUAL_INBOUND), 0)
    counts = Counter(seen.address for seen in silent)
    lost = {
        seen.probe
        for seen in silent
        if (len(silent) == 1 or (seen.connected is False and counts[seen.address] < _TOO_MANY))
        and seen.probe not in memory.silent
        and (is_first or _judged_by(seen, inbound) in memory.last_ok.up)
    }
    detail = _AT_FIRST if is_first else _AFTER_AN_ANSWER
    return [
        replace(seen, outcome=Outcome.LOST, detail=detail, facts=None)
        if seen.probe in lost
        else seen
        for seen in observations
    ]


def silent_probes(observations: Iterable[Observation]) -> frozenset[Probe]:
    """The probes over the network to which nothing came back, for the next poll's memory."""
    return frozenset([seen.probe for seen in observations if _is_silent(seen)])


def _is_silent(seen: Observation) -> bool:
    """Whether nothing came back over the network; hellos are remembered in their own way."""
    is_hello = seen.probe.kind in (ProbeKind.HELLO, ProbeKind.HBONE_HELLO, ProbeKind.SERVER_HELLO)
    return seen.view is View.NETWORK and seen.outcome is Outcome.TIMEOUT and not is_hello


def _judged_by(seen: Observation, inbound: int) -> int:
    """The port whose verdict rests on the probe: the control port shows 15006."""
    return inbound if seen.probe.kind is ProbeKind.CONTROL else seen.port
