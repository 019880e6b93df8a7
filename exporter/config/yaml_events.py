"""A YAML document's events in order: text in, one event after the other out.

PyYAML would compose a whole document first, which takes as much memory as all that is made of it.
Here only what has an anchor is kept, and comes again in the place of each of its aliases. The
bounds: how deep anything is nested, how much aliases repeat. Errors are those of PyYAML.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import yaml

from exporter.config.problems import ConfigError, Problem

LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

Event = Any
"""One of PyYAML's, whose types do not show that these have marks."""

MAX_DEPTH = 100
_MAX_REPEATED = 200_000


class YamlEvents:
    """The events of one document, an empty one has none.

    Raises RecursionError where it is nested too deeply, ConfigError for too many aliases, and
    YAMLError. An alias of what it is in comes as it is, marked where its anchor is.
    """

    def __init__(self, loader: Any, file: str) -> None:  # noqa: ANN401 - PyYAML has no types
        """Read nothing yet. `file` is for problems."""
        self._loader = loader
        self._file = file
        self._anchored: dict[str, list[Event]] = {}
        self._open: list[str] = []
        self._ends: list[tuple[int, str]] = []
        self._depth = self._repeated = 0

    def __iter__(self) -> Iterator[Event]:
        """Each event of the document's only value."""
        get = self._loader.get_event
        get()
        if isinstance(get(), yaml.StreamEndEvent):
            return
        yield from self._read(iter(get, None))
        get()
        while not isinstance(event := get(), yaml.StreamEndEvent):
            if not _is_nothing(get()):
                raise yaml.composer.ComposerError(
                    problem="but found another document", problem_mark=event.start_mark
                )
            get()

    def _read(self, events: Iterable[Event]) -> Iterator[Event]:
        """Those of one value, as the parser has them: the first to close is the last."""
        for event in events:
            if isinstance(event, yaml.AliasEvent):
                yield from self._aliased(event)
            else:
                if getattr(event, "anchor", None) is not None:
                    self._anchor(event)
                self._count_depth(event)
                yield event
            self._record(event)
            if not self._depth:
                return

    def _anchor(self, event: Event) -> None:
        name = event.anchor
        if name in self._anchored:
            raise yaml.composer.ComposerError(
                problem="second occurrence", problem_mark=event.start_mark
            )
        self._anchored[name] = []
        self._open.append(name)
        self._ends.append((self._depth, name))

    def _record(self, event: Event) -> None:
        """Keep an event with every anchor that it is below."""
        for _, name in self._ends:
            self._anchored[name].append(event)
        while self._ends and self._ends[-1][0] == self._depth:
            self._open.remove(self._ends.pop()[1])

    def _aliased(self, alias: Event) -> Iterator[Event]:
        name = alias.anchor
        if name not in self._anchored:
            raise yaml.composer.ComposerError(
                problem="found undefined alias", problem_mark=alias.start_mark
            )
        first = self._anchored[name][0]
        if name in self._open:
            yield yaml.AliasEvent(name, first.start_mark, first.end_mark)
            return
        self._open.append(name)
        for event in self._anchored[name]:
            if isinstance(event, yaml.AliasEvent):
                yield from self._aliased(event)
                continue
            self._count_depth(event)
            self._count_repeated(event)
            yield event
        self._open.pop()

    def _count_depth(self, event: Event) -> None:
        self._depth += isinstance(event, yaml.CollectionStartEvent)
        self._depth -= isinstance(event, yaml.CollectionEndEvent)
        if self._depth > MAX_DEPTH:
            raise RecursionError

    def _count_repeated(self, event: Event) -> None:
        """Bound what aliases repeat: a few nested ones would stand for billions of values."""
        self._repeated += isinstance(event, yaml.NodeEvent)
        if self._repeated > _MAX_REPEATED:
            message = f"aliases repeat more than {_MAX_REPEATED} values"
            raise ConfigError(Problem(self._file, event.start_mark.line + 1, "", message))


def _is_nothing(event: Event) -> bool:
    """Whether a document has no value, as behind the `---` with which istioctl ends its output."""
    return isinstance(event, yaml.ScalarEvent) and not event.value and not event.style
