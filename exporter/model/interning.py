"""Equal values kept once: thousands of targets have the same ports, verdicts and counters. Pure.

In: a value that nobody changes. Out: the first one that was equal to it. The tables are bounded:
a full one begins anew, so that values which only one target has do not stay. What counts is how
long they are, too: a pod whose annotations change would fill a table with megabytes.
"""

from collections.abc import Hashable, Mapping
from typing import Any, NoReturn, TypeVar

H = TypeVar("H", bound=Hashable)
K = TypeVar("K", bound=Hashable)
V = TypeVar("V", bound=Hashable)
T = TypeVar("T")

_LIMIT = 4096
_CHARACTERS = 4 * 2**20
"""What the values of a table have as text (`repr`), which takes five times that at most."""


class _NoEntries(dict[Any, Any]):
    """The empty mapping that nobody adds to; a dict, because JSON is made of it."""

    __slots__ = ()

    def __setitem__(self, key: object, value: object) -> NoReturn:
        raise TypeError("this mapping is shared by all that have no entries")

    def __hash__(self) -> int:  # type: ignore[override]
        return 0


NO_ENTRIES: Mapping[Any, Any] = _NoEntries()
"""For every field that has none: a target has some twenty, and a dict of its own takes 64 bytes."""


class _Table(dict[Hashable, Any]):
    """Values that are shared."""

    room = _CHARACTERS

    def keep(self, key: Hashable, value: T) -> T:
        """The value, which is new, for others to find."""
        size = len(repr(value))
        if size > self.room or len(self) >= _LIMIT:
            self.clear()
            self.room = _CHARACTERS
        self.room -= size
        self[key] = value
        return value


_values = _Table()
_mappings = _Table()


def shared(value: H) -> H:
    """The value, or one of the same type that is equal to it and was there before.

    One that holds a mapping, as facts may, has no hash and is left as it is.
    """
    key = (type(value), value)
    try:
        found = _values.get(key)
    except TypeError:
        return value
    return _values.keep(key, value) if found is None else found


def shared_mapping(mapping: Mapping[K, V]) -> Mapping[K, V]:
    """The mapping, or one with the same keys, values and types in the same order."""
    if not mapping:
        return NO_ENTRIES
    key = (tuple(mapping.items()), tuple(map(type, mapping.values())))
    found = _mappings.get(key)
    return _mappings.keep(key, mapping) if found is None else found
