"""The words that a container's process is started with, as kubelet and shell make them. Pure.

In: command, arguments and variables of a container. Out: words, flags. The kubelet puts variables
in for `$(NAME)`, `$$` stands for `$`, and what it does not know stays as it is. The script that a
shell is given is split at spaces, with its variables put in, and neither run nor understood.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from itertools import islice, pairwise

from exporter.bounds import ARGUMENT, CONTAINER_VALUES, SETTINGS_TEXT

_REFERENCE = re.compile(r"\$\$|\$\(([A-Za-z_.-][A-Za-z0-9_.-]*)\)")
_SHELL_REFERENCE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")
_MOST_REFERENCES = 4
_SHELLS = frozenset({"sh", "bash", "ash", "dash", "busybox"})
_SCRIPT_FLAG = re.compile(r"-[a-z]*c")
_SHELL_WORD = re.compile(r"""(?:[^\s"';&|]++|"[^"]*+"|'[^']*+')++""")
_JOINED = re.compile(r"-[A-Za-z].")
"""A short flag with its value in the same word."""


def words_of(
    command: Sequence[str], arguments: Sequence[str], variables: Mapping[str, str]
) -> tuple[str, ...]:
    """Command and arguments in one row, a shell's script as the words in it."""
    words = (*command, *arguments)[:CONTAINER_VALUES]
    at = _script_of(words)
    if at is None:
        return tuple(expanded(word, variables) for word in words)
    split = islice(_split(words[at]), CONTAINER_VALUES)
    script = (_of_shell(expanded(word, variables), variables) for word in split)
    others = (expanded(word, variables) for word in words[at + 1 :])
    return (*words[:at], *script, *others)[:CONTAINER_VALUES]


def starts(program: str, command: Sequence[str], arguments: Sequence[str]) -> bool:
    """Whether one of the first words, or a word of a shell's script, is a program's name or path.

    Nothing is put in or split for that: any container of a pod may have a long script.
    """
    words = (*command, *arguments)[:_MOST_BEFORE_SCRIPT]
    at = _script_of(words)
    if at is not None and _in_script(program).search(words[at]):
        return True
    return any(base_name(word).removesuffix(".sh") == program for word in words if program in word)


@cache
def _in_script(program: str) -> re.Pattern[str]:
    name = re.escape(program)
    return re.compile(rf"""{name}(?<![^\s"';&|/]{name})(?:\.sh)?(?![^\s"';&|])""")


def expanded(text: str, variables: Mapping[str, str]) -> str:
    """A text with the variables that the kubelet puts in; one that is too long as it is."""
    if "$" not in text or len(text) > ARGUMENT:
        return text
    return _REFERENCE.sub(lambda found: _value(variables, found), text, count=_MOST_REFERENCES)


def _value(variables: Mapping[str, str], found: re.Match[str]) -> str:
    name = found[found.lastindex] if found.lastindex else None
    if name is None:
        return "$"
    value = variables.get(name, found[0])
    return value if len(value) <= ARGUMENT else found[0]


def _of_shell(word: str, variables: Mapping[str, str]) -> str:
    if "$" not in word or len(word) > ARGUMENT:
        return word
    return _SHELL_REFERENCE.sub(
        lambda found: _value(variables, found), word, count=_MOST_REFERENCES
    )


def _script_of(words: Sequence[str]) -> int | None:
    """Where the script of a shell is among the words; None where no shell is started."""
    for at, (flag, script) in enumerate(pairwise(words[:_MOST_BEFORE_SCRIPT]), 1):
        if _SCRIPT_FLAG.fullmatch(flag) and _SHELLS & set(map(base_name, words[: at - 1])):
            return at if len(script) <= SETTINGS_TEXT else None
    return None


_MOST_BEFORE_SCRIPT = 8


def _split(script: str) -> Iterator[str]:
    joined = script.replace("\\\n", " ")
    for found in _SHELL_WORD.finditer(joined):
        yield found[0].replace('"', "").replace("'", "")


def base_name(word: str) -> str:
    """The name of a program without its folder."""
    return word.rpartition("/")[2]


def flags_of(words: Iterable[str]) -> dict[str, str]:
    """Each flag with its value, as `--flag=value`, `-fvalue` or in two words; the last counts."""
    found = {}
    for word, following in pairwise((*words, "")):
        flag, equals, value = word.partition("=")
        if _JOINED.match(word):
            found[word[:2]] = word[2:].removeprefix("=")
        elif flag.startswith("-"):
            found[flag] = value if equals else following
    return found
