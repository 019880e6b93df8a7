"""Sharding: a partition that hardly moves when it grows."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.config import ordinal_of
from exporter.discovery.shard import fnv64a, jump, owns
from tests.cpu_time import LIMIT, seconds

UIDS = [f"603de7be-a11f-4793-8b8d-{number:012d}" for number in range(3000)]


@pytest.mark.parametrize(
    ("data", "value"),
    [(b"", 0xCBF29CE484222325), (b"a", 0xAF63DC4C8601EC8C), (b"foobar", 0x85944171F73967E8)],
)
def test_hash_is_the_published_one(data: bytes, value: int) -> None:
    assert fnv64a(data) == value


@pytest.mark.parametrize(
    ("key", "buckets", "bucket"), [(0, 1, 0), (1, 1, 0), (0xDEAD10CC, 666, 361), (256, 1024, 520)]
)
def test_jump_is_the_published_one(key: int, buckets: int, bucket: int) -> None:
    assert jump(key, buckets) == bucket


def test_a_uid_without_end_is_owned_in_no_time() -> None:
    assert seconds(lambda: owns("u" * 2**20, 0, 3)) < LIMIT


@given(st.text(), st.integers(min_value=1, max_value=40))
def test_each_target_has_exactly_one_owner(uid: str, total: int) -> None:
    assert sum(owns(uid, ordinal, total) for ordinal in range(total)) == 1


@given(st.text(), st.integers(min_value=1, max_value=40))
def test_a_new_replica_only_takes(uid: str, total: int) -> None:
    before, after = jump(fnv64a(uid.encode()), total), jump(fnv64a(uid.encode()), total + 1)
    assert after in (before, total)


def test_shards_are_about_equal() -> None:
    sizes = [sum(owns(uid, ordinal, 5) for uid in UIDS) for ordinal in range(5)]
    assert min(sizes) > 500
    assert max(sizes) < 700


@pytest.mark.parametrize("pod", ["exporter", "exporter-", "exporter-1a", ""])
def test_other_names_have_no_ordinal(pod: str) -> None:
    with pytest.raises(ValueError, match="is not the name of a StatefulSet's pod"):
        ordinal_of(pod)
