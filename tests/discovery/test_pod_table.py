"""The table of pods: each comes out as exactly the target that it is, or as none."""

import json

import pytest

from exporter.discovery.ambient_pods import ambient_redirection
from exporter.discovery.pods import decode_pod, targets_of_pod
from tests.discovery.pod_documents import Row, described, read_table

TABLE = read_table()
NO_TARGETS = [row for row in TABLE if row.target is None]


def test_table_is_long_enough_to_mean_something() -> None:
    assert len(TABLE) >= 40
    assert len(NO_TARGETS) >= 10


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.id)
def test_pod_is_exactly_this_target(row: Row) -> None:
    found = targets_of_pod(decode_pod(json.dumps(row.pod).encode()))
    assert [described(target) for target in found] == ([row.target] if row.target else [])


@pytest.mark.parametrize(
    "row", [row for row in TABLE if row.target is None], ids=lambda row: row.id
)
def test_pod_counts_in_ambient(row: Row) -> None:
    pod = decode_pod(json.dumps(row.pod).encode())
    assert ambient_redirection(pod, in_ambient_namespace=True) == row.ambient
