"""The last record of every target, and the bytes rendered from it; outlives reloads.

Everybody who writes or reads is on one event loop, and each change is made within one turn: there
are no locks. The rule: every block was rendered with the same families. A reload that changes them
renders beside what is served (`prepare`), in slices, and then swaps (`commit`): in no time, however
many there are.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

from msgspec import Struct

from exporter.diagnosis.repeats import Repeats
from exporter.exposition import Blocks, Family, render
from exporter.kube.object_reader import ObjectReader
from exporter.model import TargetKey, TargetRecord
from exporter.turn import current_turn

Last = tuple[TargetRecord, Blocks]
Render = Callable[[TargetRecord, Sequence[Family], Last | None], Blocks]

_RENDERED_AT_ONCE = 32
_STALE_AFTER_INTERVALS = 3


def expiry(now: float, interval: float) -> float:
    """When samples vanish that were made now, unless newer ones come: after three intervals."""
    return now + _STALE_AFTER_INTERVALS * interval


class _Entry(Struct, gc=False):
    """A target's record; `repeats` may have a newer one, and the blocks may be older ones'."""

    record: TargetRecord
    expires: float
    repeats: Repeats | None = None
    is_rendered: bool = True

    def newest(self) -> TargetRecord:
        """The record of the last poll."""
        if self.repeats is not None:
            self.repeats.add_up()
            record = self.repeats.record
            if record is not None and record is not self.record:
                self.record, self.expires = record, self.repeats.expires
                self.is_rendered = False
        return self.record

    def is_expired(self, now: float) -> bool:
        """Whether the last poll is too long ago."""
        self.newest()
        return self.expires <= now


class _NextRendering:
    """Blocks of other families: those that stay are taken over, the others rendered.

    A record that cannot be rendered with them has none until its next poll. `blocks` are in the
    order of those of the families before, and the same until they are rendered.
    """

    def __init__(
        self,
        families: tuple[Family, ...],
        before: tuple[Family, ...],
        blocks: Mapping[TargetKey, Blocks],
        reader: ObjectReader,
    ) -> None:
        self.families = families
        self.blocks = dict(blocks)
        self._reader = reader
        self._new = tuple(family for family in families if family not in before)
        both = (*before, *self._new)
        self._places = tuple(both.index(family) for family in families)

    def add(self, record: TargetRecord, blocks: Blocks, render_new: Render) -> None:
        """Render what a target's blocks of the families before lack."""
        key = record.target.key
        render_anew = partial(render_new, record, self._new, None)
        new = self._reader.attempt("reports", key.pod, key.namespace, render_anew)
        both = blocks + (new or (b"",) * len(self._new))
        self.blocks[key] = tuple([both[place] for place in self._places])


class State:
    """Records and rendered blocks by target, in the order in which targets first came."""

    def __init__(
        self,
        families: tuple[Family, ...],
        render_with: Render = render,
        refused: Callable[[str], None] = lambda _resource: None,
    ) -> None:
        """Hold nothing yet. `refused` is called for each record that other families cannot show."""
        self.families = families
        self._reader = ObjectReader(refused)
        self._render = render_with
        self._entries: dict[TargetKey, _Entry] = {}
        self._blocks: dict[TargetKey, Blocks] = {}
        self._next: _NextRendering | None = None
        self._old_blocks: dict[TargetKey, Blocks] = {}

    def put(self, record: TargetRecord, expires: float) -> None:
        """Replace the record of its target, and render it.

        Args:
            record: what the last poll found.
            expires: when its samples are too old to be served (`expiry`; seconds since the epoch,
                by a clock that nobody sets).
        """
        key = record.target.key
        before = self._entries.get(key)
        last = (before.record, self._blocks[key]) if before and before.record.polls != 0 else None
        blocks = self._blocks[key] = self._render(record, self.families, last)
        self._entries[key] = _Entry(record, expires)
        if self._next:
            self._next.add(record, blocks, self._render)

    def repeat(self, key: TargetKey, repeats: Repeats) -> None:
        """The polls of this target from now on that are counted here find the same again.

        Its record is made when somebody reads it, and what differs is rendered for a scrape.
        """
        entry = self._entries.get(key)
        if entry is not None:
            entry.newest()
            entry.repeats = repeats

    def render_repeats(self) -> Iterator[None]:
        """Render what polls have found again, some targets at a time; `blocks` does the rest.

        Twice, for polls go on: the second time is short, so that few are left.
        """
        for _ in range(2):
            for at, key in enumerate(self.keys()):
                if entry := self._entries.get(key):
                    self._render_newest(key, entry)
                if at % _RENDERED_AT_ONCE == 0:
                    yield

    def _render_newest(self, key: TargetKey, entry: _Entry) -> None:
        record = entry.newest()
        if entry.is_rendered:
            return
        last = record, self._blocks[key]
        blocks = self._blocks[key] = self._render(record, self.families, last)
        entry.is_rendered = True
        if self._next:
            self._next.add(record, blocks, self._render)

    def drop(self, key: TargetKey) -> None:
        """Forget a target that is gone; its series go with it. Unknown targets are fine."""
        self._entries.pop(key, None)
        self._blocks.pop(key, None)
        if self._next:
            self._next.blocks.pop(key, None)

    def get(self, key: TargetKey) -> TargetRecord | None:
        """The last record of a target, however old; None if it was not polled yet."""
        entry = self._entries.get(key)
        return None if entry is None or entry.record.polls == 0 else entry.newest()

    def is_expired(self, key: TargetKey, now: float) -> bool:
        """Whether a target's samples are not served because its last poll is too long ago."""
        entry = self._entries.get(key)
        return entry is not None and entry.is_expired(now)

    def keep(self, key: TargetKey, now: float, expires: float) -> None:
        """Serve a target's samples until then, unless they have expired already."""
        entry = self._entries.get(key)
        if entry is not None and not self.is_expired(key, now):
            entry.expires, entry.repeats = expires, None

    def keys(self) -> tuple[TargetKey, ...]:
        """Every target that has a record."""
        return tuple(self._entries)

    def records(self) -> Iterator[TargetRecord]:
        """The last record of every polled target, however old; safe to hold while polls go on."""
        records = [entry.newest() for entry in self._entries.values()]
        return iter([record for record in records if record.polls != 0])

    def blocks(self, now: float) -> list[Blocks]:
        """The blocks of every target whose samples have not expired, for `assemble`.

        A target that nobody could poll in time loses all its samples at once, so that nothing
        stale is served; `istio_port_exporter_poll_lateness_seconds` and `_polls_skipped_total`
        show why.
        """
        for key, entry in self._entries.items():
            if entry.repeats is not None or not entry.is_rendered:
                self._render_newest(key, entry)
        both = zip(self._entries.values(), self._blocks.values(), strict=True)
        return [blocks for entry, blocks in both if entry.expires > now]

    async def prepare(self, families: tuple[Family, ...]) -> None:
        """Render every record with other families, beside what is served until `commit`."""
        self._next = None  # of an attempt that did not get to `commit`
        if families == self.families:
            return
        following = _NextRendering(families, self.families, self._blocks, self._reader)
        self._next, turn = following, current_turn()
        for key in self.keys():  # no records: those that polls replace would be freed at once
            blocks = self._blocks.get(key)
            if blocks is not None and following.blocks[key] is blocks:
                following.add(self._entries[key].newest(), blocks, self._render)
            await turn.maybe_yield()

    def commit(self) -> None:
        """Serve what `prepare` rendered; `discard` frees what was served before."""
        if self._next:
            self._old_blocks = self._blocks
            self.families, self._blocks = self._next.families, self._next.blocks
            self._next = None

    async def discard(self) -> None:
        """Free the blocks of the families before, which takes a while too."""
        turn = current_turn()
        while self._old_blocks:
            self._old_blocks.popitem()
            await turn.maybe_yield()
