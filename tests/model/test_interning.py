"""Equal values are kept once, and none is taken for an equal one of another type."""

import tracemalloc

import pytest

from exporter.model import Growth, IstiodFacts, Memory, ProxyStatus
from exporter.model.interning import NO_ENTRIES, shared, shared_mapping


def test_equal_values_are_one_object() -> None:
    assert shared(Growth(1.0)) is shared(Growth(1.0))
    assert shared_mapping({"cds": 1.0}) is shared_mapping({"cds": 1.0})


def test_what_holds_a_mapping_is_left_as_it_is() -> None:
    facts = (IstiodFacts(xds_rejects={"cds": 1.0}),)
    assert shared(facts) is facts


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


def test_long_values_of_which_each_is_another_take_little_memory() -> None:
    """As the settings of one pod whose annotations change."""
    tracemalloc.start()
    for number in range(400):
        text = f"{number}" * 50_000
        shared((text,))
        shared_mapping({"a": text + "b"})
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert kept < 20 * 2**20


def test_what_has_no_entries_has_the_one_empty_mapping_and_nobody_adds_to_it() -> None:
    assert Memory().rejected is Memory().growth is ProxyStatus().bound is NO_ENTRIES
    assert NO_ENTRIES == {}
    with pytest.raises(TypeError, match="shared"):
        NO_ENTRIES["cds"] = 1.0  # type: ignore[index] # what the interpreter lets pass
    assert {**NO_ENTRIES, "cds": 1.0} == {"cds": 1.0}
