"""What the istiods say of the proxies, rendered anew each interval while all of them answer.

Flows in: the istiods' records and every proxy that is known, other shards' too. Out: a record and
rendered blocks by proxy, which are told beside what the proxies' own looks found. The rule: it
holds no verdict of its own; `diagnosis.merge_replicas` decides, and where that says nothing nothing
is told.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import chain

from exporter.config import Config
from exporter.control_plane.proxy_sync import merge_replicas, why_incomplete
from exporter.model import Role, Target, TargetKey, TargetRecord
from exporter.state import STALE_AFTER_INTERVALS, State
from exporter.yielder import Yielder


@dataclass(slots=True, kw_only=True)
class SyncPublisher:
    """Keeps `told` up to date with what the istiods say.

    `targets`: this replica's own, whose records are in `records`; `other_shards`: those that other
    shards poll. `ignores_istiods`: some istiod opted out. `is_complete`: whether these are all that
    there are at this moment.
    """

    config: Callable[[], Config]
    targets: Callable[[], Mapping[TargetKey, Target]]
    other_shards: Callable[[], Mapping[TargetKey, Target]]
    ignores_istiods: Callable[[], bool]
    is_complete: Callable[[], bool]
    records: State
    told: State
    _gone: set[TargetKey] = field(default_factory=set)

    async def run(self) -> None:
        """Unite once an interval, until cancelled."""
        while True:
            await asyncio.sleep(self.config().poll.interval)
            await self.merge_replicas()

    def forget(self, key: TargetKey) -> None:
        """A proxy is gone: its series go with it."""
        self._gone.add(key)
        self.told.drop(key)

    async def merge_replicas(self) -> None:
        """Ask the union of the istiods for every proxy."""
        self._gone.clear()
        config, targets, now = self.config(), self.targets(), time.time()
        expires = now + STALE_AFTER_INTERVALS * config.poll.interval
        union = merge_replicas(self._istiods(targets, config), config, now)
        proxies = chain(tuple(targets.values()), tuple(self.other_shards().values()))
        named = set()
        yielder = Yielder()
        for proxy in proxies:
            status = union.status(proxy)
            if status and proxy.key not in self._gone:
                record = TargetRecord(target=proxy, proxy=status)
                self.told.put(record, expires)
                named.add(proxy.key)
            await yielder.maybe_yield()
        for record in self.told.records():
            if record.target.key not in named:
                self.told.drop(record.target.key)

    def _istiods(
        self, targets: Mapping[TargetKey, Target], config: Config
    ) -> list[TargetRecord | None]:
        """The last record of every istiod; none where some could be missing, or nobody asks."""
        is_asked = any(family.from_istiod for family in self.records.families)
        if (
            not is_asked
            or why_incomplete(config)
            or self.ignores_istiods()
            or not self.is_complete()
        ):
            return []
        found = (key for key, target in targets.items() if target.role is Role.ISTIOD)
        return [self.records.get(key) for key in found]
