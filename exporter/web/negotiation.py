"""Which format and encoding a scraper wants: headers in, a decision out. Pure.

Sources: RFC 9110 section 12.5 (q values) and prometheus/docs instrumenting/content_negotiation.md.
"""

from collections.abc import Iterator
from dataclasses import dataclass

_TEXT = "text/plain"
_VERSIONS = {_TEXT: "0.0.4", "application/openmetrics-text": "1.0.0"}
"""The version of each format that is served."""

_ESCAPINGS = frozenset({"allow-utf-8", "underscores", "dots", "values"})
"""Escaping schemes a scraper may name; our names need none, so any of them is kept."""


@dataclass(frozen=True, slots=True)
class Format:
    """The format of one exposition and the Content-Type that names it."""

    openmetrics: bool
    content_type: str


_Offer = tuple[str, dict[str, str], float]
"""One element of an Accept or Accept-Encoding header: its name, parameters and quality."""


def choose_format(accept: str) -> Format:
    """The best of text 0.0.4 and OpenMetrics 1.0.0 by the Accept header.

    Text when nothing fits: an exposition that nobody asked for is better than none, as
    Prometheus's own libraries do. At equal quality OpenMetrics wins, as it has to be named.
    """
    best, best_quality = _format(_TEXT), 0.0
    for name, parameters, quality in _offers(accept):
        found = _format_of(name, parameters)
        if found is None or quality <= 0:
            continue
        if quality > best_quality or (quality == best_quality and found.openmetrics):
            best, best_quality = found, quality
    return best


def accepts_gzip(accept_encoding: str) -> bool:
    """Whether the Accept-Encoding header allows gzip."""
    offers = {name: quality for name, _, quality in _offers(accept_encoding)}
    return offers.get("gzip", offers.get("*", 0.0)) > 0


def _format_of(name: str, parameters: dict[str, str]) -> Format | None:
    if name in ("text/*", "*/*"):
        return _format(_TEXT)
    if name in _VERSIONS and parameters.get("version", "") in ("", _VERSIONS[name]):
        return _format(name, parameters.get("escaping", ""))
    return None


def _format(name: str, escaping: str = "") -> Format:
    kept = f"; escaping={escaping}" if escaping in _ESCAPINGS else ""
    content_type = f"{name}; version={_VERSIONS[name]}; charset=utf-8{kept}"
    return Format(openmetrics=name != _TEXT, content_type=content_type)


_MOST_OFFERS = 64
"""Prometheus makes six; of more the first count, as some thousands fit in a header."""


def _offers(header: str) -> Iterator[_Offer]:
    for element in header.lower().split(",", _MOST_OFFERS)[:_MOST_OFFERS]:
        name, *parameters = (part.strip() for part in element.split(";"))
        pairs = dict(_pair(parameter) for parameter in parameters)
        if name:
            yield name, pairs, _quality(pairs.get("q", "1"))


def _pair(parameter: str) -> tuple[str, str]:
    name, _, value = parameter.partition("=")
    return name.strip(), value.strip().strip('"')


def _quality(text: str) -> float:
    """A q value; what is not a number between 0 and 1 counts as 0."""
    try:
        value = float(text)
    except ValueError:
        return 0.0
    return value if 0.0 <= value <= 1.0 else 0.0
