"""Shape and types: plain YAML values become the dataclasses of `schema`, field by field.

Each value is converted by its own kind, so that every wrong one is reported with its key
and line, not only the first. The leaves are msgspec's, in strict mode: "1" is no number.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec

from exporter.catalogue import ExtraPort
from exporter.config.problems import Document, KeyPath, Problem
from exporter.config.schema import SourceLocation, StaticTarget
from exporter.config.value_types import (
    PortNumber,
    PortOrOff,
    PortRange,
    Selector,
    SpiffeId,
    UrlPath,
)
from exporter.model import Settings
from exporter.suggestions import did_you_mean

REQUIRED = object()
_WRONG = object()
_MAX_BITS = 64
_MOST_HINTS = 16
"""Each takes a tenth of a millisecond: a file of another kind may have a million keys."""

_MAX_SHOWN = 100
"""A longer text is no slip of the hand: it may be a key."""

_KINDS: dict[type, dict[Any, Any]] = {
    Settings: {
        int: PortOrOff,
        tuple[int, ...]: tuple[PortNumber, ...],
        tuple[int, ...] | None: tuple[PortNumber, ...] | None,
        tuple[tuple[int, int], ...]: tuple[PortRange, ...],
        "identity": SpiffeId,
    },
    ExtraPort: {"port": PortNumber, "path": UrlPath, "label_selector": Selector},
}
"""What is narrower in the configuration than in the code, by a section's types or keys."""

_WORDS = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}


@dataclass(frozen=True, slots=True)
class Key:
    """A key of a section: its kind, and its default; REQUIRED where it has to be there."""

    name: str
    kind: Any
    default: object


@cache
def keys_of(section: type) -> tuple[Key, ...]:
    """The keys a section allows, in order."""
    hints = get_type_hints(section, include_extras=True)
    narrower = _KINDS.get(section, {})
    return tuple(
        Key(name, narrower.get(name, narrower.get(hints[name], hints[name])), _default(found))
        for found in fields(section)
        if hints[name := found.name] is not SourceLocation
    )


def _default(found: "Field[Any]") -> object:
    if found.default_factory is not MISSING:
        return found.default_factory()
    return REQUIRED if found.default is MISSING else found.default


def describe(kind: Any) -> str:  # noqa: ANN401
    """A value of this kind in words: `a port, 1 to 65535`."""
    meta = meta_of(kind)
    if meta is not None and meta.description:
        return meta.description
    origin, args = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return " or ".join("null" if arg is NoneType else describe(arg) for arg in args)
    if origin is tuple:
        return f"a list, each of it {describe(args[0])}"
    if origin is Literal:
        return "one of " + ", ".join(arg or '""' for arg in args)
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return "one of " + ", ".join(kind)
    if section_of(kind) is not None:
        return "a mapping of keys"
    return _WORDS.get(kind, "a mapping of text to text")


class Converter:
    """Converts one document; wrong values are left out and collected in `problems`.

    Paths to files are relative to `folder`, except those at the keys `as_given`.
    """

    def __init__(
        self, document: Document, folder: Path, as_given: Collection[KeyPath] = ()
    ) -> None:
        self.as_given = as_given
        self.document = document
        self.folder = folder
        self.problems: list[Problem] = []

    def section(self, kind: Any, value: object, path: KeyPath) -> Any:  # noqa: ANN401
        """The dataclass `kind` of a mapping; nothing at all means its defaults."""
        given = self.given(kind, value, path)
        keys = keys_of(kind)
        missing = [key.name for key in keys if key.default is REQUIRED and key.name not in given]
        for name in missing:
            if not (isinstance(value, dict) and name in value):
                self.complain(path, f"needs the key {name}")
        if missing:
            return _WRONG
        if kind is StaticTarget:
            line = self.document.lines.get(path, 0)
            given["source"] = SourceLocation(self.document.file, line)
        return kind(**given)

    def given(self, kind: Any, value: object, path: KeyPath) -> dict[str, Any]:  # noqa: ANN401
        """The converted values of the keys that a mapping names."""
        keys = {key.name: key.kind for key in keys_of(kind)}
        if value is None:
            return {}
        if not isinstance(value, dict):
            self.complain(path, f"must be a mapping of keys, not {_name(value, path)}")
            return {}
        result, allowed = {}, ", ".join(keys)
        for name, item in value.items():
            if name not in keys:
                hint = did_you_mean(name, keys) if len(self.problems) < _MOST_HINTS else ""
                self.complain((*path, name), f"unknown key{hint or f'; allowed: {allowed}'}")
                continue
            converted = self.value(keys[name], item, (*path, name))
            if converted is not _WRONG:
                result[name] = converted
        return result

    def value(self, kind: Any, value: object, path: KeyPath) -> Any:  # noqa: ANN401
        """One value by its kind: a section, a list, or a leaf."""
        section = section_of(kind)
        if section is not None:
            return self.section(section, value, path)
        meta = meta_of(kind)
        extra = (meta.extra if meta else None) or {}
        if "fields_of" in extra:
            return self.given(extra["fields_of"], value, path)
        if get_origin(kind) is tuple:
            return self._list(get_args(kind)[0], value, path)
        if NoneType in get_args(kind):
            inner = next(arg for arg in get_args(kind) if arg is not NoneType)
            return None if value is None else self.value(inner, value, path)
        return self._leaf(kind, value, path, extra)

    def _list(self, kind: Any, value: object, path: KeyPath) -> Any:  # noqa: ANN401
        if not isinstance(value, list):
            self.complain(path, f"must be {describe(tuple[kind, ...])}, not {_name(value, path)}")
            return _WRONG
        items = [self.value(kind, item, (*path, index)) for index, item in enumerate(value)]
        return tuple(item for item in items if item is not _WRONG)

    def _leaf(self, kind: Any, value: object, path: KeyPath, extra: Mapping[str, Any]) -> Any:  # noqa: ANN401
        try:
            if "read" in extra:
                return extra["read"](value)
            result = msgspec.convert(value, kind, strict=True)
        except msgspec.ValidationError:
            hint = ": put it in quotes" if kind is str and isinstance(value, int | float) else ""
            self.complain(path, f"{_name(value, path)} is not {describe(kind)}{hint}")
            return _WRONG
        except ValueError as error:
            is_text = isinstance(value, str)
            message = str(error).replace(repr(value), _name(value)) if is_text else str(error)
            self.complain(path, message)
            return _WRONG
        is_relative = "file" in extra and result and path not in self.as_given
        return str(self.folder / result) if is_relative else result

    def complain(self, path: KeyPath, message: str) -> None:
        """Note what is wrong at a key."""
        self.problems.append(self.document.problem(path, message))


def leaves(section: type, path: str = "") -> Iterator[tuple[str, Key]]:
    """Every key below a section with its dotted path; lists as `ports[]`. For documentation."""
    for key in keys_of(section):
        here = f"{path}.{key.name}" if path else key.name
        many = get_origin(key.kind) is tuple
        inner = section_of(get_args(key.kind)[0] if many else key.kind)
        extra = (meta_of(key.kind) or msgspec.Meta()).extra or {}
        if inner is not None:
            yield from leaves(inner, f"{here}[]" if many else here)
        elif "fields_of" in extra:
            yield from leaves(extra["fields_of"], here)
        else:
            yield here, key


def meta_of(kind: Any) -> msgspec.Meta | None:  # noqa: ANN401
    """The annotation of a kind, if it has one."""
    if get_origin(kind) is Annotated:
        return next((part for part in kind.__metadata__ if isinstance(part, msgspec.Meta)), None)
    return None


def section_of(kind: Any) -> type | None:  # noqa: ANN401
    """The dataclass whose fields are the keys of a section; None for a leaf."""
    return kind if isinstance(kind, type) and is_dataclass(kind) else None


def _is_line(path: KeyPath) -> bool:
    return not any(isinstance(part, str) for part in path)


def _name(value: object, path: KeyPath = ("",)) -> str:
    """A value as messages show it: short, and what it is where that is not plain.

    A text that is the whole document, or a line of it, may be all of a key or a token.
    """
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int) and value.bit_length() > _MAX_BITS:
        return "a very large number"
    if isinstance(value, dict | list):
        return "a mapping" if isinstance(value, dict) else "a list"
    if isinstance(value, str) and (len(value) > _MAX_SHOWN or "\n" in value or _is_line(path)):
        return "a text"
    return repr(value) if isinstance(value, str | int | float) else f"'{value}'"
