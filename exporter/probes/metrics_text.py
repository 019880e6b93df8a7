"""Named samples out of a Prometheus text page, without reading the rest of it.

Pages are 1 to 50 kB and a few lines matter, so each name is searched for; nothing else of the
page is parsed. Envoy prints `name{} value`, the agent `name value`. Never raises, and takes time
in proportion to the page whatever is on it: what answers may be hostile.
"""

import re
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from itertools import islice

from exporter.bounds import STATS_PAGE

_MOST_LINE = 4096
"""Longer lines are no samples of ours, in bytes."""

_MOST_SAMPLES = 10_000
_LARGEST = 1e300
"""The sum of all samples stays finite, as JSON and counters have to be."""

_LABEL = re.compile(rb'[ ,]*+(\w++)="((?:[^"\\]++|\\.)*+)"')
_TYPED = re.compile(
    rb"^(# (TYPE|HELP|EOF)|[a-zA-Z_:][\w:]*(\{[^\n]*\})? +[-+0-9.NI])", re.MULTILINE
)


def samples(page: bytes, name: bytes, *, signed: bool = False) -> Iterator[tuple[bytes, float]]:
    """Every sample of exactly this name: its label text (without braces) and its value.

    Values that are no number, or so large that a sum of them is none, are left out, and so are
    lines that are too long. So is what lies below zero, which no count does, but where `signed`.
    """
    for line in islice(_lines(page, name), _MOST_SAMPLES):
        labels, _, rest = line.rpartition(b"}")
        value = _number(rest)
        if value is not None and (signed or value >= 0):
            yield labels[1:], value


def _lines(page: bytes, name: bytes) -> Iterator[bytes]:
    """What follows the name on each line that starts with it."""
    start = b"\n" + name
    after = len(name) if page.startswith(name) else _after(page, start, 0)
    while after:
        if page[after : after + 1] in (b"{", b" "):
            end = page.find(b"\n", after, after + _MOST_LINE)
            if end >= 0 or len(page) - after < _MOST_LINE:
                yield page[after : end if end >= 0 else len(page)]
        after = _after(page, start, after)


def _after(page: bytes, start: bytes, begin: int) -> int:
    """Where the next occurrence ends; 0 without one."""
    at = page.find(start, begin, STATS_PAGE)
    return at + len(start) if at >= 0 else 0


def sample(page: bytes, name: bytes, default: float | None = None) -> float | None:
    """The first sample of this name, or the default where there is none."""
    return next((value for _, value in samples(page, name)), default)


def total(page: bytes, name: bytes) -> float:
    """The sum of all samples of this name; 0 where there is none."""
    return sum(value for _, value in samples(page, name))


def by_label(
    page: bytes,
    name: bytes,
    label: bytes,
    known: AbstractSet[str] | None = None,
    *,
    signed: bool = False,
) -> dict[str, float]:
    """The samples of this name by one label's value; those without the label are left out.

    With `known` only these values are kept: what becomes a label of ours is a closed set. `signed`
    as for `samples`.
    """
    found = {}
    for labels, value in samples(page, name, signed=signed):
        text = _label(labels, label)
        if text is not None and (known is None or text in known):
            found[text] = value
    return found


def _label(labels: bytes, label: bytes) -> str | None:
    match = _LABEL.match(labels)
    while match is not None:
        if match[1] == label:
            return match[2].decode(errors="replace")
        match = _LABEL.match(labels, match.end())
    return None


def is_metrics(page: bytes) -> bool:
    """Whether the page is Prometheus text at all."""
    return _TYPED.search(page, 0, 65536) is not None


def _number(text: bytes) -> float | None:
    try:
        value = float(text.split(None, 1)[0])
    except (ValueError, IndexError):
        return None
    return value if abs(value) <= _LARGEST else None
