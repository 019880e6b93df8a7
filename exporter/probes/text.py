"""Named samples out of a Prometheus text page, without reading the rest of it.

Pages are 1 to 50 kB and a few lines matter, so each name is searched for; nothing else of the
page is parsed. Envoy prints `name{} value`, the agent `name value`. Never raises.
"""

import math
import re
from collections.abc import Iterator

_LABEL = re.compile(rb'(\w+)="((?:[^"\\]|\\.)*)"')
_TYPED = re.compile(
    rb"^(# (TYPE|HELP|EOF)|[a-zA-Z_:][\w:]*(\{[^\n]*\})? +[-+0-9.NI])", re.MULTILINE
)


def samples(page: bytes, name: bytes) -> Iterator[tuple[bytes, float]]:
    """Every sample of exactly this name: its label text (without braces) and its value.

    Values that are no finite number are left out.
    """
    at = page.find(name)
    while at >= 0:
        after = at + len(name)
        if (at == 0 or page[at - 1] == 10) and page[after : after + 1] in (b"{", b" "):  # noqa: PLR2004
            end = page.find(b"\n", after)
            line = page[after : end if end >= 0 else len(page)]
            labels, _, rest = line.rpartition(b"}")
            value = _number(rest)
            if value is not None:
                yield labels[1:], value
        at = page.find(name, after)


def sample(page: bytes, name: bytes, default: float | None = None) -> float | None:
    """The first sample of this name, or the default where there is none."""
    return next((value for _, value in samples(page, name)), default)


def total(page: bytes, name: bytes) -> float:
    """The sum of all samples of this name; 0 where there is none."""
    return sum(value for _, value in samples(page, name))


def by_label(page: bytes, name: bytes, label: bytes) -> dict[str, float]:
    """The samples of this name by one label's value; those without the label are left out."""
    found = {}
    for labels, value in samples(page, name):
        for key, text in _LABEL.findall(labels):
            if key == label:
                found[text.decode(errors="replace")] = value
    return found


def is_metrics(page: bytes) -> bool:
    """Whether the page looks like Prometheus text at all."""
    return _TYPED.search(page, 0, 65536) is not None


def _number(text: bytes) -> float | None:
    try:
        value = float(text.split(None, 1)[0])
    except (ValueError, IndexError):
        return None
    return value if math.isfinite(value) else None
