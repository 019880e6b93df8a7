"""What is wrong with a file, by file, line and key; no word of it shows a secret."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from exporter.bounds import PROBLEMS, SENTENCE, TENANT_TEXT, cut_text

KeyPath = tuple[str | int, ...]

_SECRET = re.compile(r"-----BEGIN.*|eyJ[\w-]{8,}[\w.-]*|\$2[aby]\$\S{10,}", re.DOTALL)
"""A PEM file, a JSON web token, a bcrypt hash: none is printed, whatever option it was given to."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong in a file. Line 0: the file as a whole; key may be empty."""

    file: str
    line: int
    key: str
    message: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        message = cut_text(_SECRET.sub("[secret]", self.message), SENTENCE)
        return ": ".join(part for part in (place, self.key, message) if part)


class ConfigError(Exception):
    """The user's configuration cannot be used; `every` has the reasons, in the files' order.

    A template makes one mistake in each of thousands of targets: of very many `problems`, which are
    named, has the first, and those first of each file.
    """

    def __init__(self, *problems: Problem) -> None:
        self.every = problems
        if len(problems) > PROBLEMS:
            named, rest = _first_of_each_file(problems)
            files = {one.file for one in rest}
            file, have = (
                (rest[0].file, "has") if len(files) == 1 else ("", f"{len(files)} files have")
            )
            more = f"{have} {len(rest)} more problems, which are not listed"
            problems = (*named, Problem(file, 0, "", more))
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems


def _first_of_each_file(problems: Sequence[Problem]) -> tuple[list[Problem], list[Problem]]:
    """Those that are named, with as many files as can be, and the others; each in their order."""
    before: Counter[str] = Counter()
    ranks = []
    for place, one in enumerate(problems):
        ranks.append((before[one.file], place))
        before[one.file] += 1
    named = {place for _, place in sorted(ranks)[:PROBLEMS]}
    return (
        [one for place, one in enumerate(problems) if place in named],
        [one for place, one in enumerate(problems) if place not in named],
    )


@dataclass(frozen=True, slots=True)
class Document:
    """A YAML document: its value in plain Python and the line on which each key stands."""

    file: str
    value: object
    lines: Mapping[KeyPath, int]

    def problem(self, path: KeyPath, message: str) -> Problem:
        """A problem at this key, or at the nearest key above it that the file has."""
        known = path
        while known and known not in self.lines:
            known = known[:-1]
        return Problem(self.file, self.lines.get(known, 0), spell(path), message)


def spell(path: KeyPath) -> str:
    """A key path as people write it: discovery.static.targets[0].address."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{_shown(part)}" for part in path)
    return text.removeprefix(".")


def _shown(key: str) -> str:
    """A key that may be printed: of another file given by mistake, a secret may stand there."""
    return key if len(key) <= TENANT_TEXT and key.isprintable() else "[a long key]"
