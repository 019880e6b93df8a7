"""Equal values kept once: thousands of targets have the same ports, verdicts and counters. Pure.

In: a value that nobody changes. Out: the first one that was equal to it. The tables are bounded:
a full one begins anew, so that values which only one target has do not stay.
"""

from collections.abc import Hashable, Mapping
from typing import Any, NoReturn, TypeVar

H = TypeVar("H", bound=Hashable)
K = TypeVar("K", bound=Hashable)
V = TypeVar("V", bound=Hashable)

_LIMIT = 4096


class _NoEntries(dict[Any, Any]):
    """The empty mapping that nobody adds to; a dict, because JSON is made of it."""

    __slots__ = ()

    def __setitem__(self, key: object, value: object) -> NoReturn:
        raise TypeError("this mapping is shared by all that have no entries")

    def __hash__(self) -> int:  # type: ignore[override]
        return 0


NO_ENTRIES: Mapping[Any, Any] = _NoEntries()
"""For every field that has none: a target has some twenty, and a dict of its own takes 64 bytes."""

_values: dict[Hashable, Hashable] = {}
_mappings: dict[Hashable, Mapping[Hashable, Hashable]] = {}


def shared(value: H) -> H:
    """The value, or one of the same type that is equal to it and was there before.

    One that holds a mapping, as facts may, has no hash and is left as it is.
    """
    if len(_values) >= _LIMIT:
        _values.clear()
    try:
        return _values.setdefault((type(value), value), value)  # type: ignore[return-value]
    except TypeError:
        return value


def shared_mapping(mapping: Mapping[K, V]) -> Mapping[K, V]:
    """The mapping, or one with the same keys, values and types in the same order."""
    if not mapping:
        return NO_ENTRIES
    if len(_mappings) >= _LIMIT:
        _mappings.clear()
    key = (tuple(mapping.items()), tuple(map(type, mapping.values())))
    return _mappings.setdefault(key, mapping)  # type: ignore[arg-type, return-value]
