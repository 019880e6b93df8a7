"""Targets as rich tables: the API's documents in, renderables out.

The verdict and what a plain connect says always stand side by side.
"""

import os
from collections.abc import Iterable, Iterator, Sequence

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from exporter.report.target_documents import CauseDocument, Health, PortState, TargetState

_MARKS = {True: ("✓", "green"), False: ("✗", "bold red"), None: ("?", "dim")}
_ORDER = (Health.UNHEALTHY, Health.UNJUDGED, Health.HEALTHY)
_STYLES = {Health.HEALTHY: "green", Health.UNHEALTHY: "red", Health.UNJUDGED: "dim"}
LEGEND = "✓ up  ✗ down  ? not judged  · not tried  ! a plain connect is wrong"


PIPED_WIDTH = 160
"""Columns where no terminal says how many there are."""


def console() -> Console:
    """Standard output; wide where it is a file or a pipe and COLUMNS says nothing."""
    found = Console()
    is_free = not found.is_terminal and "COLUMNS" not in os.environ
    return Console(width=PIPED_WIDTH) if is_free else found


def overview(targets: Iterable[TargetState]) -> Table:
    """One row a target: verdicts, what a plain connect says, and the cause."""
    table = Table(caption=LEGEND, caption_justify="left")
    table.add_column("Target", overflow="fold")
    table.add_column("Role")
    table.add_column("Ports", ratio=3)
    table.add_column("A plain connect says", ratio=3)
    table.add_column("CauseDocument", overflow="fold")
    for target in targets:
        table.add_row(
            _plain(f"{target.namespace}/{target.pod}"),
            target.role,
            _marks((port.port, _MARKS[port.up]) for port in target.ports),
            _marks((port.port, _naive_mark(port)) for port in target.ports),
            _verdict(target),
        )
    return table


def every_port(targets: Iterable[TargetState]) -> Table:
    """One row a port: outcome, view, time and detail."""
    table = Table(caption=LEGEND, caption_justify="left")
    headings = ("Target", "Role", "Port", "Name", "Owner", "Up", "Outcome", "View")
    for heading in (*headings, "Plain connect", "Seconds", "Detail", "CauseDocument"):
        table.add_column(heading, overflow="fold")
    for target in targets:
        for row in _port_rows(target):
            table.add_row(*map(_plain, row))
        table.add_section()
    return table


def advice(targets: Iterable[TargetState]) -> Text:
    """Each cause once: what it is, what to do, and the targets with their evidence."""
    found: dict[str, list[tuple[TargetState, CauseDocument]]] = {}
    for target in targets:
        if target.diagnosis:
            found.setdefault(target.diagnosis.cause, []).append((target, target.diagnosis))
    text = Text()
    for cause, having in found.items():
        first = having[0][1]
        text.append(f"\n{cause}", style="bold").append(f" ({first.cause_class})\n")
        text.append(f"  {first.sentence}\n  {first.advice}\n")
        for target, diagnosis in having:
            evidence = "; ".join(diagnosis.evidence)
            text.append_text(_plain(f"  {target.namespace}/{target.pod}"))
            text.append_text(_plain(f": {evidence}" if evidence else "", "dim")).append("\n")
    return text


def report(
    targets: Sequence[TargetState], unseen: Sequence[str], *, wide: bool = False
) -> RenderableType:
    """The whole answer: table, advice, what cannot be judged from here, the count."""
    parts: list[RenderableType] = [every_port(targets) if wide else overview(targets)]
    if any(target.diagnosis for target in targets):
        parts.append(advice(targets))
    if unseen:
        lines = "".join(f"\n  {sentence}" for sentence in unseen)
        parts.append(Text(f"Not judged from here:{lines}", style="dim"))
    parts.append(Text(summary(targets), style="bold"))
    return Group(*parts)


class Window:
    """What a terminal has room for: unhealthy targets first, then the count and some last words."""

    def __init__(self, targets: Sequence[TargetState], last_words: str) -> None:
        """`last_words` are lines that always show."""
        self._targets = sorted(targets, key=lambda target: _ORDER.index(Health(target.state)))
        self._foot = Group(Text(summary(targets), style="bold"), Text(last_words))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The table with as many rows as fit (called by rich)."""
        whole = options.update(height=None)

        def height(part: RenderableType) -> int:
            return len(console.render_lines(part, whole))

        room = console.height - height(self._foot) - 2
        count = min(len(self._targets), max(1, room))
        while count > 1 and (lines := height(overview(self._targets[:count]))) > room:
            count = min(count - 1, count * room // lines)
        count = max(1, count)
        yield overview(self._targets[:count])
        if left := len(self._targets) - count:
            yield Text(f"... and {left} more", style="dim")
        yield self._foot


def summary(targets: Sequence[TargetState]) -> str:
    """How many targets there are of each standing."""
    counts = {s: sum(target.state == s for target in targets) for s in Health}
    told = ", ".join(f"{count} {health}" for health, count in counts.items() if count)
    return f"{len(targets)} targets: {told}" if len(targets) != 1 else f"1 target: {told}"


def _plain(words: str | Text, style: str = "") -> Text:
    """Words that a target may have chosen: neither markup nor control characters count."""
    if isinstance(words, Text):
        return words
    return Text("".join(c if c.isprintable() else "\ufffd" for c in words), style)


def _port_rows(target: TargetState) -> Iterator[tuple[str | Text, ...]]:
    for index, port in enumerate(target.ports):
        first = index == 0
        yield (
            f"{target.namespace}/{target.pod}" if first else "",
            target.role if first else "",
            str(port.port),
            port.name,
            port.component,
            Text(*_MARKS[port.up]),
            port.outcome,
            port.view,
            Text(*_naive_mark(port)),
            f"{port.seconds:.3f}",
            port.detail,
            _verdict(target) if first else "",
        )


def _naive_mark(port: PortState) -> tuple[str, str]:
    """What a plain connect says; loud where it contradicts the verdict."""
    if port.naive is None:
        return "·", "dim"
    mark, style = _MARKS[port.naive]
    is_wrong = port.up is not None and port.up is not port.naive
    return (f"{mark}!", "bold yellow") if is_wrong else (mark, style)


def _marks(marked: Iterable[tuple[int, tuple[str, str]]]) -> Text:
    """Port numbers with their marks; a mark never parts from its number."""
    return Text(" ").join(Text(f"{number}{mark}", style) for number, (mark, style) in marked)


def _verdict(target: TargetState) -> Text:
    if target.diagnosis:
        return Text(target.diagnosis.cause, _STYLES[Health(target.state)])
    return Text(target.state if target.polled else "waiting", _STYLES[Health(target.state)])
