"""Equal values are kept once, and none is taken for an equal one of another type."""

import pytest

from exporter.model import Growth
from exporter.model.shared import shared, shared_mapping


def test_equal_values_are_one_object() -> None:
    assert shared(Growth(1.0)) is shared(Growth(1.0))
    assert shared_mapping({"cds": 1.0}) is shared_mapping({"cds": 1.0})


@pytest.mark.parametrize(("value", "other"), [(True, 1.0), (0, False), (1, 1.0)])
def test_equal_values_of_two_types_are_two(value: float, other: float) -> None:
    assert type(shared(value)) is type(value)
    assert type(shared(other)) is type(other)
    assert type(shared_mapping({"a": value})["a"]) is type(value)
    assert type(shared_mapping({"a": other})["a"]) is type(other)


def test_the_order_of_a_mapping_is_its_own() -> None:
    assert list(shared_mapping({"a": 1, "b": 2})) == ["a", "b"]
    assert list(shared_mapping({"b": 2, "a": 1})) == ["b", "a"]


def test_the_tables_are_bounded() -> None:
    kept = shared(("one", "of", "many"))
    for number in range(10_000):
        shared((number,))
        shared_mapping({number: number})

    assert shared(("one", "of", "many")) == kept
