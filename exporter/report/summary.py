"""/api/v1/summary: what is wrong in all, how old that is, and what this instance cannot see."""

import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import msgspec

from exporter.diagnosis import CAUSES
from exporter.model import Cadence, CauseClass, TargetKey
from exporter.report.target_documents import Health
from exporter.report.target_views import Filters, TargetView


class CauseCount(msgspec.Struct, frozen=True, kw_only=True):
    """How many of the targets have a cause, and what to do about it."""

    cause: str
    cause_class: str = msgspec.field(name="class")
    sentence: str
    advice: str
    targets: int


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """A namespace or a role: how many targets are in it, and how many of these are unhealthy."""

    name: str
    targets: int
    unhealthy: int


class PollFreshness(msgspec.Struct, frozen=True, kw_only=True):
    """How fresh all that is. `interval`: seconds from one look at a target to the next.

    `newest` and `oldest` are the last looks of the targets that were looked at last and longest
    ago; null when there was none. `overdue` targets were looked at so long ago that their samples
    are told no more, `waiting` ones never.
    """

    interval: float
    newest: float | None
    oldest: float | None
    overdue: int
    waiting: int


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """The mesh in one document. `now` is this exporter's clock.

    `targets`, `states`, `causes` and `looks` count what namespace and role let through;
    `namespaces` and `roles` count all. `runbooks`: the address to which a cause's `#id` is
    appended, relative to the page where the runbooks are this exporter's own. `unseen`: what this
    instance cannot see.
    """

    version: str
    now: float
    targets: int
    states: dict[str, int]
    causes: tuple[CauseCount, ...]
    looks: PollFreshness
    namespaces: tuple[Group, ...]
    roles: tuple[Group, ...]
    runbooks: str
    unseen: tuple[str, ...]


@dataclass(slots=True)
class SummaryBuilder:
    """What a walk adds up to, one target at a time."""

    interval: float
    is_expired: Callable[[TargetKey, float], bool]
    now: float = field(default_factory=time.time)
    states: Counter[str] = field(default_factory=Counter)
    causes: Counter[str] = field(default_factory=Counter)
    namespaces: dict[str, list[int]] = field(default_factory=dict)
    roles: dict[str, list[int]] = field(default_factory=dict)
    newest: float | None = None
    oldest: float | None = None
    overdue: int = 0
    waiting: int = 0

    def add(self, found: TargetView, filters: Filters) -> None:
        """Count one target."""
        unhealthy = found.health is Health.UNHEALTHY
        for groups, name in (
            (self.namespaces, found.target.key.namespace),
            (self.roles, str(found.target.role)),
        ):
            counts = groups.setdefault(name, [0, 0])
            counts[0] += 1
            counts[1] += unhealthy
        if not filters.is_in_scope(found.target):
            return
        self.states[found.health] += 1
        if found.cause:
            self.causes[found.cause] += 1
        self._add_look(found)

    def _add_look(self, found: TargetView) -> None:
        looked = found.record.polled.get(Cadence.FAST) if found.record else None
        if looked is None:
            self.waiting += 1
            return
        self.newest = looked if self.newest is None else max(looked, self.newest)
        self.oldest = looked if self.oldest is None else min(looked, self.oldest)
        self.overdue += self.is_expired(found.target.key, self.now)

    def summary(self, version: str, runbooks: str, unseen: tuple[str, ...]) -> Summary:
        """The document; the arguments are its fields of these names."""
        return Summary(
            version=version,
            now=self.now,
            targets=self.states.total(),
            states={health: self.states[health] for health in Health},
            causes=tuple(_cause_count(cause, n) for cause, n in _pressing(self.causes)),
            looks=PollFreshness(
                interval=self.interval,
                newest=self.newest,
                oldest=self.oldest,
                overdue=self.overdue,
                waiting=self.waiting,
            ),
            namespaces=_groups(self.namespaces),
            roles=_groups(self.roles),
            runbooks=runbooks,
            unseen=unseen,
        )


def _pressing(causes: Counter[str]) -> Iterable[tuple[str, int]]:
    """Faults first, then by how many targets have the cause, then in the table's order."""
    table = list(CAUSES)
    order = list(CauseClass)
    order.sort(key=lambda cause_class: cause_class is not CauseClass.FAULT)
    return sorted(
        causes.items(),
        key=lambda item: (
            order.index(CAUSES[item[0]].cause_class),
            -item[1],
            table.index(item[0]),
        ),
    )


def _cause_count(cause: str, targets: int) -> CauseCount:
    known = CAUSES[cause]
    return CauseCount(
        cause=cause,
        cause_class=known.cause_class,
        sentence=known.sentence,
        advice=known.advice,
        targets=targets,
    )


def _groups(counted: dict[str, list[int]]) -> tuple[Group, ...]:
    return tuple(
        Group(name=name, targets=targets, unhealthy=unhealthy)
        for name, (targets, unhealthy) in sorted(counted.items())
    )
