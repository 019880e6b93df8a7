"""What no two runs have in common, taken out of what an exporter said. Pure.

In: expositions, JSON and tables. Out: text that is the same whenever the exporter says the same.
The rule: only clocks, durations and the addresses of one replay are masked, never a verdict.
"""

import json
import re
from collections import defaultdict

MASK = "*"

Parts = dict[tuple[str, str], str]
"""Text by (target, section); the target "" is for what is said of all together."""

_ADDRESS = re.compile(r"\b198\.1[89]\.\d{1,3}\.\d{1,3}\b")
_ADDRESS6 = re.compile(r"\bfd00:1590:[0-9a-f:]*[0-9a-f]\b")
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?(\.\d+)?(Z| UTC|\+00:00)?")
_SCRATCH = re.compile(r"[^\s\"]*/behaviour-\w+/")
_DURATIONS = frozenset({"seconds"})
_FIRST_MOMENT = 1e9
"""A greater number in a document is a moment, in seconds since the epoch."""

_OF_TIME = re.compile(r"_seconds$|_seconds_(bucket|sum)$|_polls_total$")
_OWN = re.compile(r"^(istio_port_exporter|process|python)_")
_OWN_SETTLED = re.compile(r"_(info|capability|targets|configured|successful)$")
_SAMPLE = re.compile(r"^(\w+)(\{.*\})? (\S+)( .*)?$")
_POD = re.compile(r'[{,]pod="([^"]+)"')
_WIDTH = re.compile(r"  +|([─━═])\1+")


def mask_text(text: str) -> str:
    """Text without moments and without the addresses and the scratch folder of this replay."""
    text = _SCRATCH.sub("SCRATCH/", text)
    text = _ADDRESS.sub("IPV4", _ADDRESS6.sub("IPV6", text))
    return _MOMENT.sub("MOMENT", text)


def mask_table(text: str) -> str:
    """A table without what depends on how wide its cells are.

    What is not judged comes in the order in which the looks ended, so it is sorted.
    """
    head, unseen, rest = mask_text(text).partition("Not judged from here:\n")
    lines = [*head.splitlines(), unseen.strip(), *in_order(rest.splitlines())]
    return "\n".join(_WIDTH.sub(r" \1", line).rstrip() for line in lines) + "\n"


def in_order(lines: list[str]) -> list[str]:
    """Sentences in order, and so is what each of them lists after a colon."""
    parts = (line.partition(": ") for line in lines)
    return sorted(
        f"{head}{colon}{', '.join(sorted(rest.split(', ')))}" for head, colon, rest in parts
    )


def mask_json(document: object) -> str:
    """A document, indented, keys in order; the times in it are masked, null is not."""
    return (
        mask_text(json.dumps(_masked(document), indent=1, sort_keys=True, ensure_ascii=False))
        + "\n"
    )


def _masked(value: object, name: str = "") -> object:
    if isinstance(value, dict):
        return {key: _masked(one, key) for key, one in value.items()}
    if isinstance(value, list):
        return [_masked(one, name) for one in value]
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    return MASK if name in _DURATIONS or value > _FIRST_MOMENT else value


def split_exposition(text: str, section: str) -> Parts:
    """The samples of each target, sorted; comments and what is of no target come under ""."""
    lines = defaultdict(list)
    for line in mask_text(text).splitlines():
        found = _POD.search(line)
        is_of_target = found is not None and not line.startswith("#")
        lines[found[1] if found and is_of_target else ""].append(_masked_sample(line))
    return {(name, section): "\n".join(sorted(rows)) + "\n" for name, rows in lines.items()}


def _masked_sample(line: str) -> str:
    found = _SAMPLE.match(line)
    if line.startswith("#") or found is None:
        return line
    name, labels, value = found[1], found[2] or "", found[3]
    is_own = _OWN.match(name) and not _OWN_SETTLED.search(name)
    return f"{name}{labels} {MASK if is_own or _OF_TIME.search(name) else value}"
