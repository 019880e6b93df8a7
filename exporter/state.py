"""What is known now: the last record of every target, the bytes rendered from it, and the cluster.

One writer (the poller) and many readers on one event loop, so no locks.
"""

from collections.abc import Callable, Iterator

from msgspec import Struct

from exporter.model import ClusterRecord, TargetKey, TargetRecord

Blocks = tuple[bytes, ...]

STALE_AFTER_INTERVALS = 3
"""A target's samples vanish when they were not renewed for so many effective intervals."""


class _Entry(Struct, frozen=True):
    record: TargetRecord
    blocks: Blocks
    expires: float


class State:
    """Records and rendered blocks by target, in the order in which targets first came.

    `cluster`: what is known of the mesh as a whole; who learns a part of it replaces that part.
    """

    __slots__ = ("_entries", "cluster")

    def __init__(self) -> None:
        self.cluster = ClusterRecord()
        self._entries: dict[TargetKey, _Entry] = {}

    def put(self, record: TargetRecord, blocks: Blocks, expires: float) -> None:
        """Replace what is known of the record's target.

        `expires`: when these samples are too old to be told (seconds since the epoch; three
        effective intervals after the poll).
        """
        self._entries[record.target.key] = _Entry(record, blocks, expires)

    def drop(self, key: TargetKey) -> None:
        """Forget a target that is gone; its series go with it. Unknown targets are fine."""
        self._entries.pop(key, None)

    def get(self, key: TargetKey) -> TargetRecord | None:
        """The last record of a target, however old; None if there is none."""
        entry = self._entries.get(key)
        return None if entry is None else entry.record

    def blocks_of(self, key: TargetKey) -> Blocks | None:
        """What was last rendered of a target; None if nothing was."""
        entry = self._entries.get(key)
        return None if entry is None else entry.blocks

    def is_expired(self, key: TargetKey, now: float) -> bool:
        """Whether a target's samples are told no more because nobody renewed them in time."""
        entry = self._entries.get(key)
        return entry is not None and entry.expires <= now

    def records(self) -> Iterator[TargetRecord]:
        """Every last record, however old; safe to hold while polls go on."""
        return iter([entry.record for entry in self._entries.values()])

    def blocks(self, now: float) -> list[Blocks]:
        """The blocks of every target whose samples have not expired, for `assemble`.

        A target that nobody could poll in time loses all its samples at once, so that nothing
        stale is told; `istio_port_exporter_poll_lateness_seconds` and `_polls_skipped_total`
        tell why.
        """
        return [entry.blocks for entry in self._entries.values() if entry.expires > now]

    def render_again(self, render: Callable[[TargetRecord], Blocks]) -> None:
        """Replace every target's blocks, when a reload changed the families.

        Blocks of different families must never meet in one exposition.
        """
        for key, entry in self._entries.items():
            self._entries[key] = _Entry(entry.record, render(entry.record), entry.expires)

    def __len__(self) -> int:
        return len(self._entries)
