"""Pages of any length, of which little is kept: the first bytes, and the lines of named families.

A body is fed in pieces as it arrives and is never whole in memory. 15020's page of an agent has
the agent's own part first; ztunnel's has its counts last, behind megabytes. What is kept can be
read with `metrics_text` whenever reading ended, also early. Takes time in proportion to the page
and never raises.
"""

from collections.abc import Sequence

KEPT_BYTES = 65536
"""The most that is kept of a page's beginning, and the most of its named lines."""

PAGE_SECONDS = 10.0
"""How long such a page may take: an agent gives its own scrapes 8 s, then its part comes."""

_MOST_LINE = 4096
"""Longer lines are not kept, in bytes."""


class PageReader:
    """Keeps the first bytes of a page, up to a line's end, and the lines of `families` after them.

    `families` are names of samples as Prometheus text has them; a name stands for every family
    that begins with it.
    """

    __slots__ = ("_first", "_lines", "_names", "_rest", "_room", "_start")

    def __init__(self, families: Sequence[bytes] = (), *, first: int = KEPT_BYTES) -> None:
        self._names = tuple(b"\n" + name for name in families)
        self._first = first
        self._start = bytearray()
        self._rest: bytes | None = None
        self._lines: list[bytes] = []
        self._room = KEPT_BYTES

    def feed(self, data: bytes) -> None:
        """Take the next bytes of the page."""
        if self._rest is None:
            self._start += data
            if len(self._start) <= self._first:
                return
            data = self._end_start()
        if self._names and self._room >= 0:
            self._scan(self._rest or b"", data)
        else:
            self._rest = b""

    @property
    def kept(self) -> bytes:
        """What is kept of the page so far: its first lines, then the named ones."""
        if self._rest is None:
            return bytes(self._start)
        return b"".join((self._start, *self._lines, *self._found(self._rest + b"\n")))

    def _end_start(self) -> bytes:
        """End the first part with its last whole line; returns what belongs to the rest."""
        end = self._start.rfind(b"\n", 0, self._first) + 1
        after = bytes(self._start[end:])
        del self._start[end:]
        self._rest = b"\n"
        return after

    def _scan(self, before: bytes, data: bytes) -> None:
        """Keep the named lines that end in `data`; `before` begins with the newline before it."""
        end = data.rfind(b"\n")
        if end < 0:
            before += data
            # Of a line that is too long nothing is kept: what follows begins no line.
            self._rest = before if len(before) <= _MOST_LINE else b"-"
            return
        self._keep(before + data[: end + 1])
        self._rest = data[end:]
        if len(self._rest) > _MOST_LINE:
            self._rest = b"-"

    def _keep(self, text: bytes) -> None:
        for line in self._found(text):
            self._room -= len(line)
            if self._room >= 0:
                self._lines.append(line)

    def _found(self, text: bytes) -> list[bytes]:
        """The whole lines of the text that begin with one of the names, each with its end."""
        found = []
        for name in self._names:
            at = text.find(name)
            while at >= 0:
                end = text.find(b"\n", at + 1)
                if end < 0:
                    break
                if end - at <= _MOST_LINE:
                    found.append(text[at + 1 : end + 1])
                at = text.find(name, end)
        return found
