"""Write the runbooks that the exporter serves from the pages of this folder: `make runbooks`.

In: alerts.md and diagnosis.md; the latter takes its order and table from the code first. Out: one
HTML page each in exporter/web/runbooks, compared by a test. Links to a heading or to the other
page stay; any other link becomes plain text, for the exporter serves nothing else of the
documentation.
"""

import re
from html import escape
from itertools import pairwise
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

from docs import diagnosis, limits

PAGES = ("alerts.md", "diagnosis.md")
FOLDER = Path(__file__).parent.parent / "exporter" / "web" / "runbooks"

_DOCS = Path(__file__).parent
_SERVED = re.compile(r"(alerts\.md|diagnosis\.md)?(#[\w-]+)?")
_LAYOUT = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title} - Istio ports</title>
<link rel="icon" href="../static/icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="../static/page.css">
</head>
<body>
<a class="skip" href="#main">Skip to content</a>
<header class="top">
  <a class="brand" href="../">
    <img src="../static/icon.svg" alt="" width="20" height="20">Istio ports
  </a>
  <nav aria-label="Runbooks"><a href="diagnosis.md">Causes</a> <a href="alerts.md">Alerts</a></nav>
</header>
<main id="main" class="prose" tabindex="-1">
{body}</main>
</body>
</html>
"""


def main() -> None:
    """Write the pages."""
    diagnosis.main()
    limits.main()
    FOLDER.mkdir(exist_ok=True)
    for name, document in documents().items():
        (FOLDER / name).write_text(document)


def documents() -> dict[str, str]:
    """Each page as HTML, by the name of its file."""
    return {f"{name.removesuffix('.md')}.html": page_of(name) for name in PAGES}


def page_of(name: str) -> str:
    """One page as HTML."""
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    parser.add_render_rule("fence", _fence)
    parser.add_render_rule("table_open", lambda *_: _TABLE_BEGIN)
    parser.add_render_rule("table_close", lambda *_: "</table>\n</div>\n")
    tokens = parser.parse((_DOCS / name).read_text())
    _lay_out(tokens)
    title = next(token.content for token in tokens if token.type == "inline")
    body = str(parser.renderer.render(tokens, parser.options, {}))
    return _LAYOUT.format(title=escape(title), body=body)


def _lay_out(tokens: list[Token]) -> None:
    """Give headings their anchors and one place below the page's own, and links what is served."""
    deeper = -1
    for token, following in pairwise(tokens):
        if token.type == "heading_open":
            token.attrs["id"] = _slug(following)
            deeper += token.tag == "h1"
        if token.type.startswith("heading_") and deeper > 0:
            token.tag = f"h{int(token.tag[1:]) + 1}"
        if token.children:
            token.children = _with_served_links(token.children)


_TABLE_BEGIN = '<div class="table" role="group" aria-label="Table" tabindex="0">\n<table>\n'
"""A table that is wider than its page scrolls by itself, by the keyboard too."""


def _fence(_renderer: object, tokens: list[Token], index: int, *_rest: object) -> str:
    """A block of code that the keyboard can scroll."""
    return f'<pre tabindex="0"><code>{escape(tokens[index].content, quote=False)}</code></pre>\n'


def _with_served_links(children: list[Token]) -> list[Token]:
    """The same text without the links that lead to what is not served."""
    kept, depth = [], 0
    for child in children:
        if child.type == "link_open" and not _SERVED.fullmatch(str(child.attrs["href"])):
            depth += 1
        elif child.type == "link_close" and depth:
            depth -= 1
        else:
            kept.append(child)
    return kept


def _slug(inline: Token) -> str:
    """The anchor that a forge makes of a heading."""
    text = "".join(child.content for child in inline.children or ())
    return re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")


if __name__ == "__main__":
    main()
