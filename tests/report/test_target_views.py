"""Views are in order and current, whatever comes, goes or changes between two reads."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from benchmarks.records import broken_sidecar, healthy_sidecar
from exporter.model import Cadence, Role, Target, TargetKey, TargetRecord
from exporter.report.health import Health
from exporter.report.target_views import Filters, TargetView, TargetViews

Records = dict[TargetKey, TargetRecord]


def views_of(views: TargetViews, records: Records) -> list[TargetView]:
    targets = {key: record.target for key, record in records.items()}
    return list(views.views(targets, records.get))


def records_of(*records: TargetRecord) -> Records:
    return {record.target.key: record for record in records}


@given(st.lists(st.sets(st.integers(0, 30)), max_size=5))
def test_every_read_has_the_targets_of_the_moment_by_namespace_and_pod(
    reads: list[set[int]],
) -> None:
    views = TargetViews()
    for indices in reads:
        records = records_of(*map(healthy_sidecar, indices))
        expected = sorted(records, key=lambda key: (key.namespace, key.pod))
        assert [view.target.key for view in views_of(views, records)] == expected


def test_a_new_record_of_the_same_target_makes_a_new_view() -> None:
    views, records = TargetViews(), records_of(healthy_sidecar(1))
    (before,) = views_of(views, records)
    assert views_of(views, records) == [before]
    (after,) = views_of(views, records_of(broken_sidecar(1)))
    assert (before.health, after.health) == (Health.HEALTHY, Health.UNHEALTHY)
    assert after.cause == "port_taken"


@given(st.lists(st.sampled_from(["same", "healthy", "broken", "polled"]), max_size=6))
def test_a_view_is_the_one_of_the_newest_record_whatever_was_read_before(
    polls: list[str],
) -> None:
    views, record = TargetViews(), healthy_sidecar(1)
    for number, poll in enumerate(polls):
        if poll == "polled":
            record = structs.replace(record, polled={Cadence.FAST: float(number)})
        elif poll != "same":
            record = (healthy_sidecar if poll == "healthy" else broken_sidecar)(1)
        assert views_of(views, records_of(record)) == views_of(TargetViews(), records_of(record))


def test_a_target_that_was_classified_again_makes_a_new_view() -> None:
    record = healthy_sidecar(1)
    key, gateway = record.target.key, replace(record.target, role=Role.GATEWAY)
    views = TargetViews()
    (view,) = views.views({key: record.target}, {key: record}.get)
    assert view.target is record.target
    (view,) = views.views({key: gateway}, {key: record}.get)
    assert view.target is gateway


def test_a_record_of_which_no_view_can_be_made_counts_as_none() -> None:
    odd = structs.replace(healthy_sidecar(1), polled=None)  # of an error of ours
    failed: list[TargetKey] = []

    def attempt(key: TargetKey, action: Callable[[], Any]) -> Any:
        try:
            return action()
        except AttributeError:
            failed.append(key)
            return None

    views = views_of(TargetViews(attempt), records_of(odd, healthy_sidecar(2)))
    assert sorted(view.health for view in views) == [Health.HEALTHY, Health.UNJUDGED]
    assert failed == [odd.target.key]


def test_a_target_without_a_record_is_unjudged() -> None:
    target = healthy_sidecar(1).target
    (view,) = TargetViews().views({target.key: target}, {}.get)
    assert (view.record, view.health, view.last_poll) == (None, Health.UNJUDGED, None)


def test_a_target_that_is_removed_during_a_read_is_left_out() -> None:
    targets: dict[TargetKey, Target] = {
        record.target.key: record.target for record in map(healthy_sidecar, range(3))
    }
    reading = TargetViews().views(targets, {}.get)
    first = next(reading).target.key
    second = next(key for key in sorted(targets, key=str) if key != first)
    del targets[second]
    assert [view.target.key for view in reading] == [
        key for key in sorted(targets, key=str) if key != first
    ]


@pytest.mark.parametrize(
    ("filters", "is_matched"),
    [
        (Filters(), True),
        (Filters(namespace="team-1", role="sidecar", state="unhealthy"), True),
        (Filters(text="team-1/reviews"), True),
        (Filters(text="port_taken"), True),
        (Filters(state="healthy"), False),
        (Filters(namespace="team"), False),
    ],
)
def test_a_target_matches_when_every_filter_does(filters: Filters, *, is_matched: bool) -> None:
    (view,) = views_of(TargetViews(), records_of(broken_sidecar(1)))
    assert filters.matches(view) is is_matched
