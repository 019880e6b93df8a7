"""/api/v1/matrix: targets by ports, one short row each, unhealthy ones first. Pure."""

from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial

import msgspec

from exporter.model import TargetKey
from exporter.report.health import WORST_FIRST, Health
from exporter.report.target_views import Filters, Page, PortVerdicts, TargetView


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """One port of one target, with the fields of a target's `ports`."""

    port: int
    up: bool | None
    outcome: str
    naive: bool | None
    exposed: bool


class MatrixRow(msgspec.Struct, frozen=True, kw_only=True):
    """One target; `last_poll` null: not polled yet. `cause` and `class` may be empty.

    `looked`: the deprecated name of `last_poll`.
    """

    namespace: str
    pod: str
    role: str
    state: str
    cause: str
    cause_class: str = msgspec.field(name="class")
    last_poll: float | None
    looked: float | None
    ports: tuple[Cell, ...]


class Column(msgspec.Struct, frozen=True, kw_only=True):
    """A port that some target in the list has, with the number of targets by verdict."""

    port: int
    up: int
    down: int
    unjudged: int


class Matrix(msgspec.Struct, frozen=True, kw_only=True):
    """A part of the list. `total` and `ports` count every target that the filters match."""

    total: int
    offset: int
    limit: int
    ports: tuple[Column, ...]
    targets: tuple[MatrixRow, ...]


class MatrixBuilder:
    """Takes the targets by name, some at a time, and builds the matrix of them."""

    def __init__(self, filters: Filters) -> None:
        self._filters = filters
        self._rows: dict[Health, list[TargetView]] = {health: [] for health in WORST_FIRST}
        self._verdicts: Counter[PortVerdicts] = Counter()

    def add(self, views: Iterable[TargetView]) -> None:
        """Take those of these targets that the filters match; where this raises, none."""
        matching = [view for view in views if self._filters.matches(view)]
        for view in matching:
            self._rows[view.health].append(view)
        self._verdicts.update([view.verdicts for view in matching])

    def matrix(
        self,
        page: Page,
        document: Callable[[TargetKey, Callable[[], MatrixRow]], MatrixRow | None],
    ) -> Matrix:
        """The document of one page; `document` makes that of a row, or None of one to leave out."""
        views = [view for rows in self._rows.values() for view in rows]
        rows = [document(view.target.key, partial(_row, view)) for view in page.of(views)]
        return Matrix(
            total=len(views),
            offset=page.offset,
            limit=page.limit,
            ports=_columns(self._verdicts),
            targets=tuple([row for row in rows if row is not None]),
        )


def _columns(verdicts: Counter[PortVerdicts]) -> tuple[Column, ...]:
    """A column for each port; many targets share their verdicts, so each set counts once."""
    counts: Counter[tuple[int, bool | None]] = Counter()
    for of_target, targets in verdicts.items():
        for verdict in of_target:
            counts[verdict] += targets
    return tuple(
        Column(
            port=port, up=counts[port, True], down=counts[port, False], unjudged=counts[port, None]
        )
        for port in sorted({port for port, _ in counts})
    )


def _row(view: TargetView) -> MatrixRow:
    record = view.record
    diagnosis = record.diagnosis if record else None
    return MatrixRow(
        namespace=view.target.key.namespace,
        pod=view.target.key.pod,
        role=view.target.role,
        state=view.health,
        cause=view.cause,
        cause_class=diagnosis.cause_class if diagnosis else "",
        last_poll=view.last_poll,
        looked=view.last_poll,
        ports=msgspec.convert(
            record.verdicts if record else (), tuple[Cell, ...], from_attributes=True
        ),
    )
