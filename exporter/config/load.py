"""Configuration: a YAML file and command line overrides in, one frozen `Config` out.

`yaml_document` reads YAML with lines, `convert` checks shape and types against `schema` and
`value_types`, `constraints` the cross-references. The rule: every problem is reported at once,
each with file, line and key, and nothing half-checked comes out.
"""

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from exporter.config.constraints import broken_rules, broken_target
from exporter.config.convert import Converter
from exporter.config.problems import ConfigError, Document, KeyPath, Problem
from exporter.config.schema import Config, StaticTarget

if TYPE_CHECKING:
    from exporter.config.yaml_document import TakeItem

_COMMAND_LINE = "command line"


def load(path: Path | None, overrides: Mapping[str, object] | None = None) -> Config:
    """The configuration of a file, or the defaults; overrides (`web.listen_address`) win.

    Paths to files in it are relative to its folder. Raises ConfigError with all problems.
    """
    document = Document(_COMMAND_LINE, None, {}) if path is None else _read(path)
    folder = Path() if path is None else path.parent
    overrides = overrides or {}
    converter = Converter(document, folder, {tuple(key.split(".")) for key in overrides})
    value = _from_environment(_overridden(document.value, converter, overrides), converter)
    config = converter.section(Config, value, ())
    if converter.problems:
        raise ConfigError(*_in_order(converter.problems))
    broken = [document.problem(key, message) for key, message in broken_rules(config)]
    if broken:
        raise ConfigError(*_in_order(broken))
    return config  # type: ignore[no-any-return]


def read_targets(path: Path) -> tuple[StaticTarget, ...]:
    """The targets of a file that holds a list of them; raises ConfigError.

    An empty file is an error, for a file is empty while it is being written. Each is checked as it
    is read: what thousands of them are made of is never there at once.
    """
    problems: list[Problem] = []
    broken: list[Problem] = []
    seen: set[str] = set()

    def take(document: Document, key: KeyPath) -> object:
        converter = Converter(document, path.parent)
        target = converter.value(StaticTarget, document.value, key)
        problems.extend(converter.problems)
        if not converter.problems:
            found = broken_target(target, seen)
            broken.extend(document.problem((*key, *inner), message) for inner, message in found)
        return target

    document = _read(path, take)
    if not isinstance(document.value, list):
        converter = Converter(document, path.parent)
        converter.value(tuple[StaticTarget, ...], document.value, ())
        problems = converter.problems
    if problems or broken:
        raise ConfigError(*(_in_order(problems) or broken))
    return tuple(document.value)  # type: ignore[arg-type]


def _read(path: Path, take: "TakeItem | None" = None) -> Document:
    """What a file holds. PyYAML is imported here: commands that read no file do without it."""
    from exporter.config.yaml_document import read_document, read_file

    return read_document(read_file(path), str(path), take)


def _overridden(value: object, converter: Converter, overrides: Mapping[str, object]) -> object:
    """The file's values with the command line's laid over them; checked on their own first."""
    wanted: dict[str, object] = {}
    for key, item in overrides.items():
        _put(wanted, tuple(key.split(".")), item)
    command = Converter(Document(_COMMAND_LINE, wanted, {}), Path())
    command.given(Config, wanted, ())
    converter.problems += command.problems
    if command.problems or not overrides or not (value is None or isinstance(value, dict)):
        return value
    return _merged(value or {}, wanted)


def _put(tree: dict[str, object], path: tuple[str, ...], item: object) -> None:
    for part in path[:-1]:
        inner = tree.setdefault(part, {})
        tree = inner if isinstance(inner, dict) else {}
    tree[path[-1]] = item


def _merged(below: object, above: object) -> object:
    if not isinstance(above, dict) or not isinstance(below, dict):
        return above
    return {**below, **{key: _merged(below.get(key), item) for key, item in above.items()}}


def _from_environment(value: object, converter: Converter) -> object:
    """Replace `auto` by what our own pod's environment holds."""
    for path, read, otherwise in _AUTO:
        found = value
        for part in path:
            found = found.get(part) if isinstance(found, dict) else None
        if found != "auto":
            continue
        wanted: dict[str, object] = {}
        try:
            _put(wanted, path, read())
        except ValueError as error:
            converter.complain(path, f"auto: {error}")
            _put(wanted, path, otherwise)
        value = _merged(value, wanted)
    return value


def ordinal_of(pod: str) -> int:
    """A StatefulSet pod's ordinal: exporter-3 -> 3. Raises ValueError for other names."""
    found = re.search(r"-(\d+)$", pod)
    if found is None:
        raise ValueError(f"{pod!r} is not the name of a StatefulSet's pod such as exporter-0")
    return int(found[1])


def _own_ordinal() -> int:
    try:
        return ordinal_of(os.environ.get("POD_NAME") or os.environ.get("HOSTNAME", ""))
    except ValueError as error:
        raise ValueError(f"{error} (POD_NAME, HOSTNAME)") from None


def _own_node() -> str:
    if name := os.environ.get("NODE_NAME"):
        return name
    raise ValueError("NODE_NAME is not set: it is to hold the pod's spec.nodeName")


_AUTO: tuple[tuple[tuple[str, ...], Callable[[], object], object], ...] = (
    (("shard", "ordinal"), _own_ordinal, 0),
    (("discovery", "kubernetes", "node"), _own_node, ""),
)
"""Keys that may be `auto`: how they are found, and what stands in where they are not."""


def _in_order(problems: list[Problem]) -> list[Problem]:
    return sorted(problems, key=lambda problem: problem.line)
