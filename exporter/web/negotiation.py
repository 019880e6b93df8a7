"""Which format and encoding a scraper wants: headers in, a decision out. Pure.

Sources: RFC 9110 section 12.5 (q values) and prometheus/docs instrumenting/content_negotiation.md.
"""

from collections.abc import Iterator
from dataclasses import dataclass

OPENMETRICS_TYPE = "application/openmetrics-text"
TEXT_TYPE = "text/plain"
TEXT_VERSION = "0.0.4"
OPENMETRICS_VERSION = "1.0.0"

ESCAPINGS = frozenset({"allow-utf-8", "underscores", "dots", "values"})
"""Escaping schemes a scraper may name; our names need none, so any of them is kept."""


@dataclass(frozen=True, slots=True)
class Format:
    """The format of one exposition and the Content-Type that names it."""

    openmetrics: bool
    content_type: str


@dataclass(frozen=True, slots=True)
class _Offer:
    """One element of an Accept or Accept-Encoding header."""

    name: str
    parameters: dict[str, str]
    quality: float


def choose_format(accept: str) -> Format:
    """The best of text 0.0.4 and OpenMetrics 1.0.0 by the Accept header.

    Text when nothing fits: an exposition that nobody asked for is better than none, as
    Prometheus's own libraries do. At equal quality OpenMetrics wins, as it has to be named.
    """
    best = Format(openmetrics=False, content_type=_content_type(TEXT_TYPE, TEXT_VERSION, ""))
    quality = 0.0
    for offer in _offers(accept):
        found = _format_of(offer)
        if found is None or offer.quality <= 0:
            continue
        if offer.quality > quality or (offer.quality == quality and found.openmetrics):
            best, quality = found, offer.quality
    return best


def accepts_gzip(accept_encoding: str) -> bool:
    """Whether the Accept-Encoding header allows gzip."""
    offers = {offer.name: offer.quality for offer in _offers(accept_encoding)}
    return offers.get("gzip", offers.get("*", 0.0)) > 0


def _format_of(offer: _Offer) -> Format | None:
    escaping = offer.parameters.get("escaping", "")
    version = offer.parameters.get("version", "")
    match offer.name:
        case "application/openmetrics-text" if version in ("", OPENMETRICS_VERSION):
            content = _content_type(OPENMETRICS_TYPE, OPENMETRICS_VERSION, escaping)
            return Format(openmetrics=True, content_type=content)
        case "text/plain" if version in ("", TEXT_VERSION):
            content = _content_type(TEXT_TYPE, TEXT_VERSION, escaping)
            return Format(openmetrics=False, content_type=content)
        case "text/*" | "*/*":
            content = _content_type(TEXT_TYPE, TEXT_VERSION, "")
            return Format(openmetrics=False, content_type=content)
    return None


def _content_type(name: str, version: str, escaping: str) -> str:
    kept = f"; escaping={escaping}" if escaping in ESCAPINGS else ""
    return f"{name}; version={version}; charset=utf-8{kept}"


def _offers(header: str) -> Iterator[_Offer]:
    for element in header.lower().split(","):
        name, *parameters = (part.strip() for part in element.split(";"))
        pairs = dict(_pair(parameter) for parameter in parameters)
        if name:
            yield _Offer(name, pairs, _quality(pairs.get("q", "1")))


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
