"""What one poll changes in the memory of a target. Pure.

The rule: a counter that falls has restarted and has not grown.
"""

from typing import Any

from msgspec import Struct

from exporter.model import Growth, Memory
from exporter.model.shared import shared


class MemoryUpdate(Struct, eq=False):
    """The memory before a poll and what the poll changes in it."""

    before: Memory
    now: float
    changes: dict[str, Any] = {}

    def mapping(self, name: str) -> dict[Any, Any]:
        """A mapping of the memory, copied on its first change."""
        if name not in self.changes:
            self.changes[name] = dict(getattr(self.before, name))
        changed: dict[Any, Any] = self.changes[name]
        return changed

    def grow(self, name: str, value: float | None, *, is_close: bool = True) -> None:
        """Note a counter's value; a counter never seen before, or fallen, has not grown.

        Between readings that are not close a step is no more than a hint: what is ordinary once in
        a while adds up.
        """
        if value is None:
            return
        last = self.before.growth.get(name)
        if last is None or value < last.value:
            grown = Growth(value)
        elif not is_close:
            grown = Growth(value, is_hint=value > last.value)
        else:
            step = value - last.value
            grown = Growth(value, step, last.streak + 1 if step > 0 else 0)
        self.mapping("growth")[name] = shared(grown)
