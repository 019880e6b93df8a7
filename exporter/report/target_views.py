"""Targets as lists and summaries see them: one view per target, filters, pages. Pure."""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import partial
from operator import attrgetter
from typing import Any

import msgspec

from exporter.model import Cadence, Target, TargetKey, TargetRecord
from exporter.report.health import Health, health_of

_pod = attrgetter("pod")

PortVerdicts = tuple[tuple[int, bool | None], ...]


class TargetView(msgspec.Struct, frozen=True, gc=False):
    """One target with what its last poll came to; `record` None: it was not polled yet.

    `verdicts`: each port with whether it is up, in the order of the record.
    """

    target: Target
    record: TargetRecord | None
    health: Health
    cause: str
    last_poll: float | None
    verdicts: PortVerdicts


class Filters(msgspec.Struct, frozen=True, kw_only=True):
    """Which targets a request wants; empty means every one. `text` is in lower case."""

    namespace: str = ""
    role: str = ""
    state: str = ""
    cause: str = ""
    text: str = ""

    def is_in_scope(self, target: Target) -> bool:
        """Whether namespace and role match."""
        return self.namespace in ("", target.key.namespace) and self.role in ("", target.role)

    def matches(self, view: TargetView) -> bool:
        """Whether every filter matches."""
        return (
            self.is_in_scope(view.target)
            and self.state in ("", view.health)
            and self.cause in ("", view.cause)
            and (not self.text or self.text in _searched_text(view))
        )


class Page(msgspec.Struct, frozen=True):
    """Which part of a list a request wants."""

    offset: int
    limit: int

    def of(self, views: list[TargetView]) -> list[TargetView]:
        """That part of these."""
        return views[self.offset : self.offset + self.limit]


class TargetViews:
    """The views of all targets, in order; each is made again when its record has changed.

    Reading every verdict of 20,000 records takes ten times as long as comparing the records. A
    record of which no view can be made counts as none. `attempt(key, action)` returns what the
    action does, None where it raises anything.
    """

    def __init__(
        self,
        attempt: Callable[[TargetKey, Callable[[], Any]], Any] = lambda _key, action: action(),
    ) -> None:
        self._attempt = attempt
        self._keys: list[TargetKey] = []
        self._sorted: list[TargetKey] = []
        self._views: dict[TargetKey, TargetView] = {}
        self._verdicts: dict[PortVerdicts, PortVerdicts] = {}

    def views(
        self,
        targets: Mapping[TargetKey, Target],
        record_of: Callable[[TargetKey], TargetRecord | None],
    ) -> Iterator[TargetView]:
        """Every target by namespace and pod; one that is removed meanwhile is left out."""
        self._follow(targets)
        for key in self._sorted:
            target = targets.get(key)
            if target is None:
                continue
            record = record_of(key)
            view = self._views.get(key)
            if view is None or view.record is not record or view.target is not target:
                made = self._attempt(key, partial(self._view, target, record, view))
                view = self._views[key] = made or self._view(target, None, None)
            yield view

    def _follow(self, targets: Mapping[TargetKey, Target]) -> None:
        """Sort and forget when targets came or went; lists of the same objects compare fast."""
        keys = list(targets)
        if keys == self._keys:
            return
        self._keys, self._sorted = keys, _by_name(keys)
        self._views = {key: view for key, view in self._views.items() if key in targets}
        self._verdicts = {view.verdicts: view.verdicts for view in self._views.values()}

    def _view(
        self, target: Target, record: TargetRecord | None, before: TargetView | None
    ) -> TargetView:
        if record is None:
            return TargetView(target, None, Health.UNJUDGED, "", None, ())
        last_poll = record.polled.get(Cadence.FAST)
        if before and before.record and _is_unchanged(before.record, record):
            return TargetView(
                target, record, before.health, before.cause, last_poll, before.verdicts
            )
        verdicts = tuple([(verdict.port, verdict.up) for verdict in record.verdicts])
        return TargetView(
            target,
            record,
            health_of(record),
            record.cause,
            last_poll,
            self._verdicts.setdefault(verdicts, verdicts),
        )


def _is_unchanged(before: TargetRecord, after: TargetRecord) -> bool:
    """Whether a poll found the same as the one before: then the records share these parts."""
    return (
        after.verdicts is before.verdicts
        and after.ready is before.ready
        and after.diagnosis is before.diagnosis
    )


def _by_name(keys: Collection[TargetKey]) -> list[TargetKey]:
    """The keys by namespace and pod: strings compare several times as fast as pairs of them."""
    namespaces: defaultdict[str, list[TargetKey]] = defaultdict(list)
    for key in keys:
        namespaces[key.namespace].append(key)
    return [key for name in sorted(namespaces) for key in sorted(namespaces[name], key=_pod)]


def _searched_text(view: TargetView) -> str:
    """The text that a text filter searches."""
    target = view.target
    key, addresses = target.key, " ".join(target.addresses)
    return (
        f"{key.namespace}/{key.pod}\n{addresses}\n{target.node}\n{target.workload}\n"
        f"{target.revision}\n{target.istio_version}\n{view.cause}"
    ).lower()
