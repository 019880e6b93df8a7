"""What each alert means and what to do, from the runbook that this package serves."""

import re
from dataclasses import dataclass
from functools import cache
from html import unescape
from pathlib import Path

_PAGE = Path(__file__).parent.parent / "web" / "runbooks" / "alerts.html"
_SECTION = re.compile(r'<h3 id="\w+">(\w+)</h3>\n(.*?)(?=<h[23] |</main>)', re.DOTALL)
_PART = re.compile(r"<p>(.*?)</p>|<tr>\n((?:<td>.*?</td>\n)+)</tr>", re.DOTALL)
"""A paragraph, or a row of a table with its cells."""

_ADVICE = "What to do. "


@dataclass(frozen=True, slots=True)
class AlertRunbook:
    """One alert: the paragraphs on its meaning, the first with its severity, and on what to do."""

    name: str
    meaning: tuple[str, ...]
    advice: tuple[str, ...]


@cache
def alert_runbooks() -> dict[str, AlertRunbook]:
    """Every alert by its name in lower case; a row of a table is a paragraph, too."""
    found = _SECTION.findall(_PAGE.read_text(encoding="utf-8"))
    return {name.lower(): _runbook(name, text) for name, text in found}


def _runbook(name: str, text: str) -> AlertRunbook:
    parts = _PART.findall(text)
    paragraphs = [_plain(part or row.replace("</td>\n<td>", ": ")) for part, row in parts]
    begin = next(
        (place for place, paragraph in enumerate(paragraphs) if paragraph.startswith(_ADVICE)),
        len(paragraphs),
    )
    advice = [paragraph.removeprefix(_ADVICE) for paragraph in paragraphs[begin:]]
    return AlertRunbook(name, tuple(paragraphs[:begin]), tuple(advice))


def _plain(html: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]+>", "", html)).split())
