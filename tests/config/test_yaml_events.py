"""YAML read event by event: the same values as PyYAML's, in little memory."""

import tracemalloc

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from exporter.config import ConfigError
from exporter.config.yaml_document import read_document

MOST_BYTES = 100
"""Of an item that nothing was made of; its value alone takes more."""

SCALARS = ["x", "1", "'1'", "true", "~", "1.5", "0x1F", "yes", '"a\\nb"', "! 1", "!!str 1", '""']


@st.composite
def nodes(draw: st.DrawFn, anchors: tuple[str, ...] = (), depth: int = 0) -> str:
    """YAML in flow style; aliases are of `anchors`, of which each is defined before."""
    kinds = ["list", "mapping", "scalar", "alias"][2 * (depth > 3) : 4 if anchors and depth else 3]
    kind = draw(st.sampled_from(kinds))
    if kind == "alias":
        return f"*{draw(st.sampled_from(anchors))} "
    if kind == "scalar":
        return draw(st.sampled_from(SCALARS))
    items = draw(st.lists(nodes(anchors, depth + 1), max_size=3))
    if kind == "list":
        return f"[{', '.join(items)}]"
    return "{" + ", ".join(f"k{index}: {item}" for index, item in enumerate(items)) + "}"


@st.composite
def documents(draw: st.DrawFn) -> str:
    """A list of nodes with anchors, each of which may hold aliases of those before it."""
    rows: list[str] = []
    for index in range(draw(st.integers(1, 5))):
        known = tuple(f"a{number}" for number in range(index))
        rows.append(f"- &a{index} {draw(nodes(known))}\n")
    return "".join(rows)


@given(documents())
def test_values_are_those_of_the_library(text: str) -> None:
    assert read_document(text, "file").value == yaml.safe_load(text)


@given(documents())
def test_what_takes_items_one_by_one_sees_the_same_values_and_lines(text: str) -> None:
    taken = []
    whole = read_document(text, "file")
    read_document(text, "file", lambda item, key: taken.append((item, key)))
    assert [item.value for item, _ in taken] == whole.value
    for item, key in taken:
        assert item.lines == {
            path: line for path, line in whole.lines.items() if path[:1] in ((), key)
        }


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("a: *b\n", 1, "found undefined alias"),
        ("a: &b 1\nc: &b 2\n", 2, "second occurrence"),
        ("a: 1\n---\nb: 2\n", 2, "another document"),
        ("a: &b [1]\n? *b\n: 2\n", 1, "a key must be text"),
        ("a: &b\n  - 1\n  - *b\n", 1, "contains itself"),
        ("a: &b\n  c: *b\n", 2, "contains itself"),
    ],
)
def test_what_is_wrong_with_anchors_is_told_with_its_line(
    text: str, line: int, reason: str
) -> None:
    with pytest.raises(ConfigError, match=reason) as caught:
        read_document(text, "file")
    assert {problem.line for problem in caught.value.problems} == {line}


@pytest.mark.parametrize("nothing", ["---\n", "---\n# a comment\n", "---\n---\n", "...\n---\n"])
@pytest.mark.parametrize("text", ["a: 1\n", "---\na: 1\n", "[1]\n", '{"a": [1]}\n'])
def test_nothing_after_the_last_mark_is_no_document(text: str, nothing: str) -> None:
    assert read_document(text + nothing, "file") == read_document(text, "file")


@pytest.mark.parametrize("second", ["''", "0", "~", "[]", "b: 2"])
def test_a_value_after_a_mark_is_another_document(second: str) -> None:
    with pytest.raises(ConfigError, match="another document"):
        read_document(f"a: 1\n---\n{second}\n---\n", "file")


def test_what_items_are_read_from_is_not_kept() -> None:
    """Not only in the end: a reload of thousands of targets would take much more for a moment."""
    count = 1_000
    row = "- {{namespace: a, pod: web-{0}, address: 10.0.0.1, settings: {{a: [{0}, {0}]}}}}\n"
    text = "".join(row.format(index) for index in range(count))
    tracemalloc.start()
    try:
        read_document(text, "file", lambda *_: None)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < len(text) + count * MOST_BYTES
