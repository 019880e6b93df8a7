"""Which cadences a poll reads: those that are due, but for slower ones that find no slot."""

import math

from exporter import clock
from exporter.config import Config
from exporter.model import AGENT_ROLES, FAST_ONLY, Cadence
from exporter.poll.page_due import with_pages
from exporter.scheduler.target_table import ScheduledTarget, TargetTable

_NONE: frozenset[Cadence] = frozenset()


class DueCadences:
    """The cadences of one configuration, for the targets of a table."""

    def __init__(self, config: Config, table: TargetTable) -> None:
        self._config = config
        self._table = table
        poll = config.poll
        spans = {
            Cadence.DETAIL: poll.detail_interval,
            Cadence.PAGE: poll.page_interval,
            Cadence.IDENTITY: poll.identity_interval,
        }
        self._slower = [(slow, math.ceil(span / poll.interval)) for slow, span in spans.items()]

    def of(self, row: ScheduledTarget) -> frozenset[Cadence]:
        """What a poll that starts reads: what is due, but for slower cadences without a slot.

        A slow target has a slot of the slow ones already, in which it reads all.
        """
        if slower := self._slower_due(row):
            row.owed |= slower
        if not row.owed:
            return FAST_ONLY
        owed, slots = self._table.owed, self._table.slots
        has_slot = row.is_made_up or slots.free_pages > len(owed)
        if row.is_slow or (has_slot and slots.take_pages()):
            cadences, row.owed = FAST_ONLY | row.owed, _NONE
            return cadences
        if not row.is_queued:
            row.is_queued = True
            owed.append(row)
        return FAST_ONLY

    def _slower_due(self, row: ScheduledTarget) -> frozenset[Cadence]:
        if row.is_made_up:
            return _NONE
        number, due = row.polls + row.spread, _NONE
        for cadence, every in self._slower:
            if row.polls == 0 or number % every == 0:
                due |= {cadence}
        if not due and row.target.role not in AGENT_ROLES:
            return due
        due = with_pages(due, row.target, row.memory, self._config, clock.now())
        return due & row.plan.cadences if due and row.plan else due
