"""Reading YAML with the line of every key: text in, plain values and lines out.

PyYAML's events carry positions that its constructed objects have lost, so values are built
from the events here. Duplicate keys are refused. The rule: whatever is wrong with
a file becomes a `Problem` that names file, line and key.
"""

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

from exporter.bounded_file import read_bounded
from exporter.bounds import FILE
from exporter.config.problems import ConfigError, Document, KeyPath, Problem, spell
from exporter.config.yaml_events import LOADER, MAX_DEPTH, Event, YamlEvents

_TEXT = "tag:yaml.org,2002:str"
_TIMESTAMP = "tag:yaml.org,2002:timestamp"
"""A plain scalar that looks like a time: it stays text, as in JSON."""

_QUOTED = re.compile(r" [\"'](?!<)[^\"']{2,}[\"']")
"""What an error of YAML quotes from the file: the name of an alias, a tag."""

BAD_SCALARS = (ValueError, ArithmeticError, LookupError, AttributeError, TypeError)
"""What PyYAML raises for scalars that do not fit their tag: `!!int ""`, `!!bool x`."""


_BASE_60 = re.compile(r"[-+]?[0-9_]++(:[0-9_]++){20,}+(\.[0-9_]*+)?")
"""A number such as 1:30:00, whose parts YAML 1.1 multiplies: so many take seconds."""


FileStamp = tuple[int, int, int] | None


def stamp_of(path: Path) -> FileStamp:
    """What changes when a file does, also where a link was turned elsewhere; None without one."""
    try:
        found = os.stat(path)  # noqa: PTH116 - a hot path: half the cost of Path.stat
    except (OSError, ValueError):  # no file has a name with a null byte
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


def check_structure(text: str, most: int) -> None:
    """Check YAML before anything is built of it: there may be no aliases.

    PyYAML composes recursively in C, where nesting that is too deep ends the process. Raises
    RecursionError for that, ValueError for aliases, for more than `most` keys and values and for
    numbers without end, and YAMLError.
    """
    depth = 0
    for number, event in enumerate(yaml.parse(text, Loader=LOADER)):
        if number > most:
            raise ValueError("has too many values")
        if isinstance(event, yaml.AliasEvent):
            raise ValueError("has aliases")  # noqa: TRY004 - no type of ours
        if isinstance(event, yaml.ScalarEvent):
            _check_number(event.value)
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise RecursionError


def _check_number(text: str) -> None:
    if _BASE_60.fullmatch(text):
        raise ValueError("has too long a number")


_SECOND_DOCUMENT = "but found another document"
"""PyYAML's words for it."""

TakeItem = Callable[[Document, KeyPath], object]
"""Makes something of one item of a list, which is at that key."""


def read_document(text: str, file: str, take: TakeItem | None = None) -> Document:
    """Parse one YAML (or JSON) document; raises ConfigError with every duplicate key.

    Where it is a list and `take` is given, each item becomes what that makes of it as soon as it is
    read, and its lines are forgotten: those of thousands of targets would take more memory than the
    targets.
    """
    loader = LOADER(text)
    reader = _Reader(loader, file, take)
    try:
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
    finally:
        loader.dispose()
    if reader.problems:
        raise ConfigError(*reader.problems)
    return Document(file, value, reader.lines)


class _Reader:
    """Builds plain values from events, noting lines and problems on the way."""

    def __init__(self, loader: Any, file: str, take: TakeItem | None) -> None:  # noqa: ANN401
        self.loader = loader
        self.file = file
        self.take = take
        self.events = iter(YamlEvents(loader, file))
        self.lines: dict[KeyPath, int] = {}
        self.problems: list[Problem] = []

    def read(self) -> object:
        event = next(self.events, None)
        value = None if event is None else self.value(event, ())
        next(self.events, None)  # there is no other; to find that out is an error where there is
        return value

    def value(self, event: Event, path: KeyPath) -> object:
        self.lines.setdefault(path, event.start_mark.line + 1)
        if isinstance(event, yaml.AliasEvent):
            self.complain(self.lines[path], path, "contains itself")
            return None
        if isinstance(event, yaml.MappingStartEvent):
            return self.mapping(path)
        if isinstance(event, yaml.SequenceStartEvent):
            return self.sequence(path)
        return self.scalar(event)

    def until_end(self) -> Iterator[Event]:
        """The first event of each part of what has just begun; who takes it reads the others."""
        for event in self.events:
            if isinstance(event, yaml.CollectionEndEvent):
                return
            yield event

    def sequence(self, path: KeyPath) -> list[object]:
        if path or self.take is None:
            return [
                self.value(event, (*path, index)) for index, event in enumerate(self.until_end())
            ]
        lines, items = self.lines, []
        for index, event in enumerate(self.until_end()):
            self.lines = {**lines}
            value = self.value(event, (index,))
            items.append(self.take(Document(self.file, value, self.lines), (index,)))
        self.lines = lines
        return items

    def mapping(self, path: KeyPath) -> dict[str, object]:
        result: dict[str, object] = {}
        for event in self.until_end():
            line = event.start_mark.line + 1
            if not isinstance(event, yaml.ScalarEvent):
                self.complain(line, path, "a key must be text, not a list or a mapping")
                self.skip(event)
                self.skip(next(self.events))
                continue
            key = event.value
            here = (*path, key)
            if key in result:
                message = f"is defined twice; the first is on line {self.lines[here]}"
                self.complain(line, here, message)
                self.skip(next(self.events))
                continue
            self.lines[here] = line
            result[key] = self.value(next(self.events), here)
        return result

    def skip(self, event: Event) -> None:
        """Read what begins with this event, and nothing of it."""
        if isinstance(event, yaml.CollectionStartEvent):
            for inner in self.until_end():
                self.skip(inner)

    def scalar(self, event: Event) -> object:
        text, tag = event.value, event.tag
        if tag in (None, "!"):
            tag = self.loader.resolve(yaml.ScalarNode, text, event.implicit)
        if tag in (_TEXT, _TIMESTAMP):
            return text
        _check_number(text)
        node = yaml.ScalarNode(tag, text, event.start_mark, event.end_mark)
        scalar = self.loader.construct_object(node)
        self.loader.constructed_objects.clear()
        return scalar

    def complain(self, line: int, path: KeyPath, message: str) -> None:
        self.problems.append(Problem(self.file, line, spell(path), message))
