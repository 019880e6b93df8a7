"""What a poll goes by. Pure."""

from msgspec import Struct

from exporter.config import Config
from exporter.model import Cadence, Memory
from exporter.poll.plan import Plan

JITTER_SECONDS = 0.5
"""A poll that starts so much earlier than an interval after the last is one interval after it."""


class PollInputs(Struct, frozen=True, eq=False):
    """A plan, what the last polls left, and when it is.

    `due`: the cadences that are due. `now`: seconds since the epoch, by a clock that nobody sets;
    `step`: how far the wall clock, by which certificates end, is ahead of it.
    """

    plan: Plan
    memory: Memory
    due: frozenset[Cadence]
    config: Config
    now: float
    step: float = 0.0

    @property
    def is_identity_due(self) -> bool:
        """Whether the identity cadence is."""
        return Cadence.IDENTITY in self.due
