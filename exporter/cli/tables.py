"""Targets as rich tables: the API's documents in, renderables out.

The result of a plain connect is beside the verdict: where it misleads, or of each port.
"""

import os
from collections.abc import Iterable, Iterator, Sequence

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.text import Text

from exporter.cli.fitting_table import FittingTable, indented
from exporter.model import Diagnosis
from exporter.parsing import printable
from exporter.report.health import WORST_FIRST, Health
from exporter.report.target_documents import PortState, TargetState

_MARKS = {True: ("✓", "green"), False: ("✗", "bold red"), None: ("?", "dim")}
_STYLES = {Health.HEALTHY: "green", Health.UNHEALTHY: "red", Health.UNJUDGED: "dim"}
_BESIDE = "yellow"
"""The style of what is neither healthy nor unhealthy nor unjudged."""
_LEGEND = "✓ up  ✗ down  ? not judged"

_PIPED_WIDTH = 160
"""Columns of an output that is no terminal."""


def console() -> Console:
    """Standard output; wide where it is a file or a pipe and COLUMNS is not set."""
    found = Console()
    is_free = not found.is_terminal and "COLUMNS" not in os.environ
    return Console(width=_PIPED_WIDTH) if is_free else found


def overview(targets: Iterable[TargetState]) -> FittingTable:
    """One row per target: verdicts, where a plain connect misleads, and the cause."""
    rows = [
        (
            _plain(f"{target.namespace}/{target.pod}"),
            target.role,
            _marks((port.port, _MARKS[port.up]) for port in target.ports),
            _marks((port.port, _MARKS[port.naive]) for port in target.ports if _misleads(port)),
            _verdict(target),
        )
        for target in targets
    ]
    headings = ("Target", "Role", "Ports", "Plain connect misleads", "Cause")
    return FittingTable(headings, [rows], _LEGEND, title=("Target", "Role", "Cause"))


def every_port(targets: Iterable[TargetState]) -> FittingTable:
    """One row per port: outcome, view, time and detail."""
    headings = ("Target", "Role", "Port", "Name", "Owner", "Up", "Outcome", "View")
    sections = [[tuple(map(_plain, row)) for row in _port_rows(target)] for target in targets]
    more = ("Plain connect", "Seconds", "Detail", "Cause")
    legend = f"{_LEGEND}  · not tried  ! a plain connect misleads"
    title = ("Target", "Role", "Cause")
    return FittingTable((*headings, *more), sections, legend, title=title)


def advice(targets: Iterable[TargetState]) -> Iterator[RenderableType]:
    """Each cause once: what it is, what to do, and the targets with their evidence.

    What to do may differ from target to target. Faults come first, each class in the order of its
    targets.
    """
    found: dict[str, dict[str, list[tuple[TargetState, Diagnosis]]]] = {}
    for target in sorted(targets, key=_badness):
        if one := target.diagnosis:
            found.setdefault(one.cause, {}).setdefault(one.advice, []).append((target, one))
    for cause, affected in found.items():
        first = next(diagnosis for rows in affected.values() for _, diagnosis in rows)
        yield Text(f"\n{cause}", "bold", end="").append(f" ({first.cause_class})\n", "not bold")
        yield indented(Text(first.sentence))
        for remedy, rows in affected.items():
            yield indented(Text(remedy))
            yield from (_affected(*row) for row in rows)
    if found:
        yield ""


def _affected(target: TargetState, diagnosis: Diagnosis) -> RenderableType:
    evidence = "; ".join(diagnosis.evidence)
    line = _plain(f"{target.namespace}/{target.pod}")
    return indented(line.append_text(_plain(f": {evidence}" if evidence else "", "dim")))


def report_of(
    targets: Sequence[TargetState], not_judged: Sequence[str], *, wide: bool = False
) -> RenderableType:
    """The whole report: table, advice, what was not judged, the count."""
    parts: list[RenderableType] = [every_port(targets) if wide else overview(targets)]
    parts.extend(advice(targets))
    if not_judged:
        parts.append(Text("Not judged:", style="dim"))
    parts.extend(indented(Text(sentence, style="dim")) for sentence in not_judged)
    parts.append(Text(summary(targets), style="bold"))
    return Group(*parts)


class Window:
    """As many targets as a terminal has room for, unhealthy ones first, the count and a footer."""

    def __init__(self, targets: Sequence[TargetState], footer: str) -> None:
        """`footer`: lines that always show."""
        self._targets = sorted(targets, key=_badness)
        self._foot = Group(Text(summary(targets), style="bold"), Text(footer))

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
    """How many targets have which health."""
    counts = {health: sum(target.state == health for target in targets) for health in Health}
    words = ", ".join(f"{count} {health}" for health, count in counts.items() if count)
    return f"{len(targets)} targets: {words}" if len(targets) != 1 else f"1 target: {words}"


def _badness(target: TargetState) -> int:
    return WORST_FIRST.index(Health(target.state))


def _plain(words: str | Text, style: str = "") -> Text:
    """Text from a target: neither its markup nor its control characters have an effect."""
    if isinstance(words, Text):
        return words
    return Text(printable(words), style)


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
    """The result of a plain connect; loud where it contradicts the verdict."""
    if port.naive is None:
        return "·", "dim"
    mark, style = _MARKS[port.naive]
    return (f"{mark}!", "bold yellow") if _misleads(port) else (mark, style)


def _misleads(port: PortState) -> bool:
    """Whether a plain connect contradicts the verdict."""
    return None not in (port.up, port.naive) and port.up is not port.naive


def _marks(marked: Iterable[tuple[int, tuple[str, str]]]) -> Text:
    """Port numbers with their marks; no line break parts a mark from its number."""
    return Text(" ").join(Text(f"{number}{mark}", style) for number, (mark, style) in marked)


def _verdict(target: TargetState) -> Text:
    style = _STYLES.get(Health(target.state), _BESIDE)
    if target.diagnosis:
        return Text(target.diagnosis.cause, style)
    return Text(target.state if target.polled else "waiting", style)
