"""The project's Markdown pages, parsed: headings, links and fenced blocks."""

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).parent.parent.parent
_NAMED = re.compile(r"#\s*(?P<name>[\w./-]+\.ya?ml)\s*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Fence:
    """One fenced block: its language and text, and the line where its text begins."""

    page: Path
    line: int
    language: str
    text: str

    @property
    def where(self) -> str:
        """For messages: the page and the line."""
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def file(self) -> str:
        """The file that a first line such as `# exporter.yaml` says this block is."""
        named = _NAMED.match(self.text)
        return named["name"] if named else ""


def pages() -> tuple[Path, ...]:
    """Every Markdown page of the project; what tools keep in the tree is none of its own."""
    return tuple(sorted(p for p in ROOT.rglob("*.md") if _is_ours(p.relative_to(ROOT))))


def _is_ours(page: Path) -> bool:
    return not any(part.startswith(".") or part == "node_modules" for part in page.parts)


@cache
def _tokens(page: Path) -> tuple[Token, ...]:
    return tuple(MarkdownIt("commonmark").enable("table").parse(page.read_text()))


def fences(page: Path) -> Iterator[Fence]:
    """The fenced blocks of a page."""
    for token in _tokens(page):
        if token.type == "fence" and token.map:
            yield Fence(page, token.map[0] + 2, token.info.strip(), token.content)


def code_spans(page: Path) -> Iterator[str]:
    """The code in the page's sentences, tables and headings."""
    for token in _tokens(page):
        for child in token.children or ():
            if child.type == "code_inline":
                yield child.content


def links(page: Path) -> Iterator[str]:
    """Where the page's links and pictures lead."""
    for token in _tokens(page):
        for child in token.children or ():
            if child.type == "link_open":
                yield str(child.attrs["href"])
            elif child.type == "image":
                yield str(child.attrs["src"])


@cache
def anchors(page: Path) -> frozenset[str]:
    """The anchors that a forge makes of the page's headings; a repeated one gets a number."""
    made: list[str] = []
    tokens = _tokens(page)
    for opening, inline in itertools.pairwise(tokens):
        if opening.type == "heading_open":
            slug = _slug(inline)
            times = sum(1 for known in made if re.fullmatch(rf"{re.escape(slug)}(-\d+)?", known))
            made.append(f"{slug}-{times}" if times else slug)
    return frozenset(made)


def _slug(inline: Token) -> str:
    text = "".join(child.content for child in inline.children or ())
    return re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
