"""/api/v1/matrix: targets by ports, one short row each, what is wrong first."""

from collections import Counter
from dataclasses import dataclass, field

import msgspec

from exporter.model import Cadence, Verdict
from exporter.report.target_documents import Health
from exporter.report.target_views import Page, TargetView

_WORST_FIRST = (Health.UNHEALTHY, Health.UNJUDGED, Health.HEALTHY)


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """One port of one target; the words are those of a target's `ports`."""

    port: int
    up: bool | None
    outcome: str
    naive: bool | None
    exposed: bool


class MatrixRow(msgspec.Struct, frozen=True, kw_only=True):
    """One target; `looked` null: it was not looked at yet. `cause` and `class` may be empty."""

    namespace: str
    pod: str
    role: str
    state: str
    cause: str
    cause_class: str = msgspec.field(name="class")
    looked: float | None
    ports: tuple[Cell, ...]


class Column(msgspec.Struct, frozen=True, kw_only=True):
    """A port that some target in the list has, and what is said of it over the whole list."""

    port: int
    up: int
    down: int
    unjudged: int


class Matrix(msgspec.Struct, frozen=True, kw_only=True):
    """A part of the list. `total` and `ports` count everything that the filters let through."""

    total: int
    offset: int
    limit: int
    ports: tuple[Column, ...]
    targets: tuple[MatrixRow, ...]


@dataclass(slots=True)
class MatrixBuilder:
    """The matrix while it is filled, one target at a time."""

    rows: dict[Health, list[TargetView]] = field(
        default_factory=lambda: {health: [] for health in _WORST_FIRST}
    )
    verdicts: Counter[tuple[int, bool | None]] = field(default_factory=Counter)

    def add(self, found: TargetView) -> None:
        """Take one target that the filters let through."""
        self.rows[found.health].append(found)
        if found.record:
            self.verdicts.update((verdict.port, verdict.up) for verdict in found.record.verdicts)

    def matrix(self, part: Page) -> Matrix:
        """The document of one part."""
        found = [one for rows in self.rows.values() for one in rows]
        return Matrix(
            total=len(found),
            offset=part.offset,
            limit=part.limit,
            ports=tuple(map(self._column, sorted({port for port, _ in self.verdicts}))),
            targets=tuple(map(_row, part.of(found))),
        )

    def _column(self, port: int) -> Column:
        return Column(
            port=port,
            up=self.verdicts[port, True],
            down=self.verdicts[port, False],
            unjudged=self.verdicts[port, None],
        )


def _row(found: TargetView) -> MatrixRow:
    record = found.record
    diagnosis = record.diagnosis if record else None
    return MatrixRow(
        namespace=found.target.key.namespace,
        pod=found.target.key.pod,
        role=found.target.role,
        state=found.health,
        cause=found.cause,
        cause_class=diagnosis.cause_class if diagnosis else "",
        looked=record.polled.get(Cadence.FAST) if record else None,
        ports=tuple(map(_cell, record.verdicts)) if record else (),
    )


def _cell(verdict: Verdict) -> Cell:
    return Cell(
        port=verdict.port,
        up=verdict.up,
        outcome=verdict.outcome,
        naive=verdict.naive,
        exposed=verdict.exposed,
    )
