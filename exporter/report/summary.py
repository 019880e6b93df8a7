"""/api/v1/summary: what is wrong, how old the records are, what cannot be judged. Pure."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence

import msgspec

from exporter.diagnosis import CAUSES
from exporter.model import CauseClass, Role, TargetKey
from exporter.report.health import Health
from exporter.report.target_views import Filters, TargetView


class CauseCount(msgspec.Struct, frozen=True, kw_only=True):
    """How many of the targets have a cause, and what to do about it on most of them."""

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
    """How fresh the records are. `interval`: seconds from one poll of a target to the next.

    `newest` and `oldest`: the last polls of the targets that were polled last and longest ago;
    null before the first poll. `overdue` targets were polled so long ago that their samples have
    expired, `waiting` ones never.
    """

    interval: float
    newest: float | None
    oldest: float | None
    overdue: int
    waiting: int


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """The mesh in one document. `now` is this exporter's clock.

    `targets`, `states`, `causes` and `polls` count what the filters for namespace and role match;
    `namespaces` and `roles` count all. `notices`: what concerns the whole mesh, first of all that
    no istiod works, whatever the filters. `runbooks`: the address to which a cause's `#id` is
    appended, relative to the page where the runbooks are this exporter's own. `not_judged`: what
    this instance cannot judge. `looks`, `unseen`: deprecated names of `polls`, `not_judged`.
    """

    version: str
    now: float
    targets: int
    states: dict[str, int]
    causes: tuple[CauseCount, ...]
    polls: PollFreshness
    looks: PollFreshness
    namespaces: tuple[Group, ...]
    roles: tuple[Group, ...]
    notices: tuple[str, ...]
    runbooks: str
    not_judged: tuple[str, ...]
    unseen: tuple[str, ...]


class SummaryBuilder:
    """Takes the targets, some at a time, and counts them."""

    def __init__(
        self, filters: Filters, is_expired: Callable[[TargetKey], bool], now: float
    ) -> None:
        """`is_expired`: whether a target's samples have expired; `now`: the wall clock's time."""
        self._filters = filters
        self._is_expired = is_expired
        self._now = now
        self._states: Counter[str] = Counter()
        self._advices: Counter[tuple[str, str]] = Counter()
        self._namespaces: Counter[tuple[str, bool]] = Counter()
        self._roles: Counter[tuple[str, bool]] = Counter()
        self._polled: list[float] = []
        self._overdue = 0
        self._notices = _ControlPlaneNotices()

    def add(self, views: Sequence[TargetView]) -> None:
        """Count these targets; where this raises, none."""
        bad = Health.UNHEALTHY
        namespaces = [(v.target.key.namespace, v.health is bad) for v in views]
        roles = [(v.target.role, v.health is bad) for v in views]
        chosen = [view for view in views if self._filters.is_in_scope(view.target)]
        causes = [(CAUSES[view.cause].id, _advice_of(view)) for view in chosen if view.cause]
        polled = [view for view in chosen if view.last_poll is not None]
        times = [float(view.last_poll) for view in polled if view.last_poll is not None]
        overdue = sum(self._is_expired(view.target.key) for view in polled)
        self._notices.add(views)
        self._namespaces.update(namespaces)
        self._roles.update(roles)
        self._states.update([view.health for view in chosen])
        self._advices.update(causes)
        self._polled += times
        self._overdue += overdue

    def summary(
        self, version: str, interval: float, runbooks: str, not_judged: tuple[str, ...]
    ) -> Summary:
        """The document; `interval` is that of the polls, the others are fields of these names."""
        polls = PollFreshness(
            interval=interval,
            newest=max(self._polled, default=None),
            oldest=min(self._polled, default=None),
            overdue=self._overdue,
            waiting=self._states.total() - len(self._polled),
        )
        return Summary(
            version=version,
            now=self._now,
            targets=self._states.total(),
            states={health: self._states[health] for health in Health},
            causes=_cause_counts(self._advices),
            polls=polls,
            looks=polls,
            namespaces=_groups(self._namespaces),
            roles=_groups(self._roles),
            notices=self._notices.sentences(),
            runbooks=runbooks,
            not_judged=not_judged,
            unseen=not_judged,
        )


def _advice_of(view: TargetView) -> str:
    """What its diagnosis advises; for some causes that depends on the target."""
    diagnosis = view.record.diagnosis if view.record else None
    return diagnosis.advice if diagnosis else ""


def _cause_counts(advices: Counter[tuple[str, str]]) -> tuple[CauseCount, ...]:
    """Faults first, then by how many targets have the cause, then in the table's order."""
    targets: Counter[str] = Counter()
    usual: dict[str, str] = {}
    for (cause, advice), count in advices.most_common():
        targets[cause] += count
        usual.setdefault(cause, advice)
    table = list(CAUSES)
    order = list(CauseClass)
    order.sort(key=lambda cause_class: cause_class is not CauseClass.FAULT)
    rows = sorted(
        targets,
        key=lambda one: (order.index(CAUSES[one].cause_class), -targets[one], table.index(one)),
    )
    return tuple(_cause_count(cause, usual[cause], targets[cause]) for cause in rows)


def _cause_count(cause: str, advice: str, targets: int) -> CauseCount:
    row = CAUSES[cause]
    return CauseCount(
        cause=cause,
        cause_class=row.cause_class,
        sentence=row.sentence,
        advice=advice,
        targets=targets,
    )


def _groups(counts: Counter[tuple[str, bool]]) -> tuple[Group, ...]:
    names = sorted({name for name, _ in counts})
    return tuple(
        Group(
            name=name,
            targets=counts[name, True] + counts[name, False],
            unhealthy=counts[name, True],
        )
        for name in names
    )


_FAILING = frozenset({Health.UNHEALTHY, Health.TRANSITION})
"""Nothing else is proof: a policy or the exporter's own trouble hides an istiod that works."""

_CUT_OFF = frozenset({"istiod_unreachable", "xds_disconnected"})
_NAMED = 3
_EFFECT = "proxies keep their configuration, pods that start get none"


class _ControlPlaneNotices:
    """Takes the targets, some at a time, and names the control planes that do not work.

    Without an istiod every proxy keeps its configuration and seems well for hours, while no pod
    that starts gets any: it concerns the whole mesh, whatever filters the reader has chosen.
    """

    def __init__(self) -> None:
        self._istiods: defaultdict[str, list[TargetView]] = defaultdict(list)
        self._cut_off = 0

    def add(self, views: Iterable[TargetView]) -> None:
        """Count these targets; where this raises, none."""
        views = tuple(views)
        istiods = [(v.target.revision, v) for v in views if v.target.role is Role.ISTIOD]
        cut_off = sum(v.cause in _CUT_OFF for v in views if v.target.role is not Role.ISTIOD)
        for revision, view in istiods:
            self._istiods[revision].append(view)
        self._cut_off += cut_off

    def sentences(self) -> tuple[str, ...]:
        """One for each revision whose istiods all fail, or one where proxies miss any istiod."""
        if self._istiods:
            failing = {
                revision: views
                for revision, views in sorted(self._istiods.items())
                if all(view.health in _FAILING for view in views)
            }
            return tuple(_none_is_healthy(*item) for item in failing.items())
        if not self._cut_off:
            return ()
        proxies = "1 proxy has" if self._cut_off == 1 else f"{self._cut_off} proxies have"
        return (f"No istiod is among the targets, and {proxies} no connection to one: {_EFFECT}.",)


def _none_is_healthy(revision: str, views: list[TargetView]) -> str:
    named = [
        f"{view.target.key} ({view.cause})" if view.cause else str(view.target.key)
        for view in views[:_NAMED]
    ]
    if len(views) > _NAMED:
        named.append(f"{len(views) - _NAMED} more")
    of_revision = f" of revision {revision}" if revision else ""
    return f"No istiod{of_revision} is healthy: {', '.join(named)}. Until one is, {_EFFECT}."
