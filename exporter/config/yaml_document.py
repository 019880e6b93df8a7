"""Reading YAML with the line of every key: text in, plain values and lines out.

PyYAML's composed nodes carry positions that its constructed objects have lost, so values
are built from the nodes here. Duplicate keys are refused. The rule: whatever is wrong with
a file becomes a `Problem` that names file, line and key.
"""

import math
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from exporter.bounded_file import read_bounded
from exporter.bounds import FILE
from exporter.config.problems import ConfigError, Document, KeyPath, Problem, spell

LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TIMESTAMP = "tag:yaml.org,2002:timestamp"
"""A plain scalar that looks like a time: it stays text, as in JSON."""

_QUOTED = re.compile(r" [\"'](?!<)[^\"']{2,}[\"']")
"""What an error of YAML quotes from the file: the name of an alias, a tag."""

_MAX_DEPTH = 100
_MAX_REPEATED = 200_000

BAD_SCALARS = (ValueError, ArithmeticError, LookupError, AttributeError, TypeError)
"""What PyYAML raises for scalars that do not fit their tag: `!!int ""`, `!!bool x`."""


FileStamp = tuple[int, int, int] | None


def stamp_of(path: Path) -> FileStamp:
    """What changes when a file does, also where a link was turned elsewhere; None without one."""
    try:
        found = os.stat(path)  # noqa: PTH116 - a hot path: half the cost of Path.stat
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def read_file(path: Path) -> str:
    """The text of a file; raises ConfigError when it cannot be read."""
    try:
        return read_bounded(path, FILE).decode()
    except OSError as error:
        reason = error.strerror or str(error)
        raise ConfigError(Problem(str(path), 0, "", f"cannot be read: {reason}")) from error
    except UnicodeDecodeError as error:
        raise ConfigError(Problem(str(path), 0, "", "is not UTF-8 text")) from error


def check_structure(text: str, *, aliases: bool = True, most: float = math.inf) -> bool:
    """Check YAML before anything is built of it; returns whether it has aliases.

    PyYAML composes recursively in C, where nesting that is too deep ends the process. Raises
    RecursionError for that, ValueError for aliases where there may be none and for more than `most`
    keys and values, and YAMLError.
    """
    depth, has_aliases = 0, False
    for number, event in enumerate(yaml.parse(text, Loader=LOADER)):
        if number > most:
            raise ValueError("has too many values")
        has_aliases = has_aliases or isinstance(event, yaml.AliasEvent)
        if has_aliases and not aliases:
            raise ValueError("has aliases")
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > _MAX_DEPTH:
            raise RecursionError
    return has_aliases


_SECOND_DOCUMENT = "but found another document"
"""PyYAML's words for it."""


def read_document(text: str, file: str) -> Document:
    """Parse one YAML (or JSON) document; raises ConfigError with every duplicate key."""
    reader = _NodeReader(text, file)
    try:
        reader.has_aliases = check_structure(text)
        value = reader.read()
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else 0
        reason = _QUOTED.sub("", getattr(error, "problem", None) or str(error).splitlines()[0])
        if reason == _SECOND_DOCUMENT:
            message = "has another document from here on: give one document in each file"
            raise ConfigError(Problem(file, line, "", message)) from error
        raise ConfigError(Problem(file, line, "", f"is not YAML: {reason}")) from error
    except BAD_SCALARS as error:
        message = "is not YAML: a value does not fit its tag"
        raise ConfigError(Problem(file, 0, "", message)) from error
    except RecursionError as error:
        raise ConfigError(Problem(file, 0, "", "is nested too deeply")) from error
    if reader.problems:
        raise ConfigError(*reader.problems)
    return Document(file, value, reader.lines)


class _NodeReader:
    """Builds plain values from composed nodes, noting lines and problems on the way.

    Where nothing has an alias, no node is needed twice: each is freed once it was read, because
    those of thousands of targets take as much memory as what is made of them.
    """

    def __init__(self, text: str, file: str) -> None:
        self.loader = LOADER(text)
        self.file = file
        self.lines: dict[KeyPath, int] = {}
        self.problems: list[Problem] = []
        self.open: list[yaml.Node] = []
        self.seen: set[yaml.Node] = set()
        self.repeated = 0
        self.has_aliases = True

    def read(self) -> object:
        try:
            node = self.loader.get_single_node()
            return None if node is None else self.value(node, ())
        finally:
            self.loader.dispose()

    def value(self, node: yaml.Node, path: KeyPath) -> object:
        self.count(node)
        self.lines.setdefault(path, node.start_mark.line + 1)
        if node in self.open:
            line = self.lines[path]
            self.problems.append(Problem(self.file, line, spell(path), "contains itself"))
            return None
        self.open.append(node)
        try:
            return self.content(node, path)
        finally:
            self.open.pop()

    def count(self, node: yaml.Node) -> None:
        """Bound what aliases repeat: a few nested ones would stand for billions of values."""
        if not self.has_aliases:
            return
        self.repeated += node in self.seen
        self.seen.add(node)
        if self.repeated > _MAX_REPEATED:
            message = f"aliases repeat more than {_MAX_REPEATED} values"
            raise ConfigError(Problem(self.file, node.start_mark.line + 1, "", message))

    def content(self, node: yaml.Node, path: KeyPath) -> object:
        if isinstance(node, yaml.MappingNode):
            return self.mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item, (*path, index)) for index, item in enumerate(self.items(node))]
        if node.tag == _TIMESTAMP:
            return node.value
        scalar = self.loader.construct_object(node)
        if not self.has_aliases:
            self.loader.constructed_objects.clear()
        return scalar

    def items(self, node: yaml.SequenceNode) -> Iterator[yaml.Node]:
        if self.has_aliases:
            yield from node.value
            return
        node.value.reverse()
        while node.value:
            yield node.value.pop()

    def mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, object]:
        result: dict[str, object] = {}
        for key_node, value_node in node.value:
            self.count(key_node)
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                message = "a key must be text, not a list or a mapping"
                self.problems.append(Problem(self.file, line, spell(path), message))
                continue
            key = key_node.value
            here = (*path, key)
            if key in result:
                message = f"is defined twice; the first is on line {self.lines[here]}"
                self.problems.append(Problem(self.file, line, spell(here), message))
                continue
            self.lines[here] = line
            result[key] = self.value(value_node, here)
        return result
