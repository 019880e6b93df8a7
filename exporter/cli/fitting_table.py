"""A table that breaks no word: where its columns do not fit, each row becomes a paragraph."""

from collections.abc import Iterable, Sequence
from itertools import chain, compress

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

_BORDERS = 3
"""Columns of a terminal that a cell's border and padding take."""

_INDENT = 2

Row = Sequence[str | Text]


def indented(text: Text) -> Padding:
    """The text a little to the right, the lines that it is broken into too."""
    return Padding(text, (0, 0, 0, _INDENT), expand=False)


class FittingTable:
    """Rows below headings, in sections; a column in which no cell has anything is left out.

    `title`: the headings of the cells that a paragraph begins with, which it does not name.
    """

    def __init__(
        self,
        headings: Sequence[str],
        sections: Iterable[Sequence[Row]],
        caption: str = "",
        *,
        title: Sequence[str],
    ) -> None:
        found = [[[_text(cell) for cell in row] for row in rows] for rows in sections]
        used = [any(column) for column in zip(*chain(*found), strict=True)] or [True] * len(
            headings
        )
        self._headings = list(compress(headings, used))
        self._sections = [[list(compress(row, used)) for row in rows] for rows in found]
        self._caption = caption
        self._title = title

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The table, or the paragraphs (called by rich)."""
        columns = [
            [Text(heading), *cells]
            for heading, *cells in zip(self._headings, *chain(*self._sections), strict=True)
        ]
        least = [max(map(_longest_word, cells)) for cells in columns]
        wanted = [max(cell.cell_len for cell in cells) for cells in columns]
        spare = options.max_width - _BORDERS * len(columns) - 1 - sum(least)
        if spare >= 0:
            yield self._table(_widths(least, wanted, spare))
        else:
            yield from self._paragraphs(options.max_width)

    def _table(self, widths: Sequence[int]) -> Table:
        table = Table(caption=self._caption or None, caption_justify="left")
        for heading, width in zip(self._headings, widths, strict=True):
            table.add_column(heading, width=width)
        for rows in self._sections:
            for row in rows:
                table.add_row(*row)
            table.add_section()
        return table

    def _paragraphs(self, width: int) -> RenderResult:
        for row in chain(*self._sections):
            named = dict(zip(self._headings, row, strict=True))
            first, *others = (named.pop(heading, Text()) for heading in self._title)
            begin = [Text(first.plain, "bold", overflow="fold"), *others] if first else others
            yield from _packed(filter(None, begin), width)
            parts = [
                Text(f"{name.lower()}: ", "dim") + cell for name, cell in named.items() if cell
            ]
            yield from map(indented, _packed(parts, width - _INDENT))
        if self._caption:
            yield Text(self._caption, "dim italic")


def _packed(parts: Iterable[Text], width: int) -> list[Text]:
    """Lines of whole parts, as many in each as fit; a part that is longer has its own."""
    lines: list[Text] = []
    for part in parts:
        if lines and lines[-1].cell_len + 2 + part.cell_len <= width:
            lines[-1] = Text("  ").join([lines[-1], part])
        else:
            lines.append(part)
    return lines


def _text(cell: str | Text) -> Text:
    return cell if isinstance(cell, Text) else Text(cell)


def _widths(least: Sequence[int], wanted: Sequence[int], spare: int) -> list[int]:
    """Each column has its longest word, and of what is spare as much as its cells are longer."""
    lacking = [most - width for width, most in zip(least, wanted, strict=True)]
    shared = min(1.0, spare / (sum(lacking) or 1))
    return [width + int(lack * shared) for width, lack in zip(least, lacking, strict=True)]


def _longest_word(text: Text) -> int:
    return max(map(cell_len, text.plain.split()), default=0)
