"""The table of bounds, and how text is cut."""

from hypothesis import given
from hypothesis import strategies as st

from docs import limits
from exporter.bounds import BOUNDS, cut_text


def test_the_page_of_limits_is_the_table() -> None:
    assert limits.PAGE.read_text() == limits.page()
    assert len({bound.what for bound in BOUNDS}) == len(BOUNDS)
    assert all(bound > 0 and bound.reason and bound.excess for bound in BOUNDS)


@given(st.text(st.characters(), max_size=400), st.integers(16, 255))
def test_a_text_is_kept_or_has_its_length_in_bytes(text: str, most: int) -> None:
    cut = cut_text(text, most)
    size = len(text.encode(errors="replace"))
    assert len(cut.encode(errors="replace")) <= most
    assert (cut == text) == (size <= most)


def test_texts_that_differ_behind_the_cut_stay_different() -> None:
    texts = ["é" * 100 + end for end in ("", "a", "b", "ab")]
    assert len({cut_text(text, 63) for text in texts}) == len(texts)
